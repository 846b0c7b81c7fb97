"""The embedded agent as one object: for programs, tests and notebooks.

Floor 5, agent: imports the rest of ``agent``, and zpages, exporter, server, methods and transport below.
"""

from __future__ import annotations

import secrets
import ssl
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..exporter import Exporter
from ..methods import MethodView
from ..server import Server
from ..transport.address import UnixSocket, parse_address
from ..transport.driver import Driver
from .health import HealthService
from .limits import AgentLimits
from .services import SERVICES, ConfigService, methods
from .store import Store
from .views import AgentView, SamplingView, ServerView

if TYPE_CHECKING:
    from ..page import PageServer
    from ..zpages import Served
    from .forwarding import Forwarder, NextAgent
    from .spanlog import SpanLog

__all__ = ["Agent"]

DEFAULT_PORT = 55678
EVERYWHERE = ("0.0.0.0", "::")  # hosts by which one listens at all addresses of the machine
LONGEST_GRACE = 30 * 86_400.0  # seconds; what is longer, or has no end, no system call takes
EXPIRE_EVERY = 10.0  # seconds between two looks for clients that are gone, at the most


class Agent:
    """An OpenCensus Agent in this process; it serves from when it is made until :meth:`stop`.

    Args:
        address: where to listen, ``host:port`` or ``unix:/path``; port 0 for any free one.
        prometheus: where to serve the Prometheus page, ``host:port``, port 0 for any free one; None for no page.  It
            takes the extra ``puremux[agent]``.
        zpages: where to serve pages about the agent and its clients, under ``/debug``: ``host:port``, port 0 for any
            free one; None for none.  They take the extra ``puremux[zpages]``, and let whoever can reach them change
            the samplers of all clients.
        spans: file to append spans to as JSON lines, ``"-"`` for standard output; None for none.
        forward: the next agent, to which all spans and metrics are handed on: its address, a
            :class:`puremux.agent.forwarding.NextAgent`, or an exporter that has options of its own, and is stopped with
            the agent.
        tls: a context of :func:`puremux.transport.tls.server_context`; None for plaintext.
        limits: what clients may ask of the agent.
    Raises:
        AddressError: an address cannot be read.
        OSError: an address cannot be listened on, or the file cannot be opened; the message says which.
        ValueError: a page's address is not ``host:port``, or the agent would hand everything on to itself.
        PuremuxError: zPages are asked for, and jinja2 is not installed.
        ModuleNotFoundError: the Prometheus page is asked for, and prometheus-client is not installed.
    """

    def __init__(
        self,
        address: str = "localhost:55678",
        *,
        prometheus: str | None = None,
        zpages: str | None = None,
        spans: str | None = None,
        forward: str | NextAgent | Exporter | None = None,
        tls: ssl.SSLContext | None = None,
        limits: AgentLimits | None = None,
    ) -> None:
        self.store = Store(limits or AgentLimits())
        """What the agent knows of its clients."""
        self._config = ConfigService(self.store.limits.max_node_bytes)
        self._health = HealthService(SERVICES)
        self._driver = Driver("puremux agent")
        self._name = secrets.token_hex(8)
        self._server = Server(
            methods(self.store, self._config, self._health, self._ended_call, self._name),
            driver=self._driver,
            tls=tls,
            limits=self.store.limits.of_server,
        )
        self._page: PageServer | None = None
        self._zpages: Served | None = None
        self._forwarder: Forwarder | None = None
        self._span_log: SpanLog | None = None
        self._expire()  # before anybody is served: what follows is the driver's, the one thread that writes
        try:
            if forward is not None:
                self._forward(forward)
            if spans is not None:
                self._log_spans(spans)
            self.address = self._server.listen(address, DEFAULT_PORT)
            """Where it listens, with the port it got."""
            self._check_forwarding()
            if prometheus is not None:
                self._page = self._serve_page(prometheus)
            if zpages is not None:
                self._zpages = self._serve_zpages(zpages)
        except BaseException:
            self.stop()
            raise

    @property
    def page(self) -> str | None:
        """The URL of the Prometheus page."""
        return self._page.url if self._page is not None else None

    @property
    def zpages(self) -> str | None:
        """The URL of the zPages."""
        return self._zpages.url if self._zpages is not None else None

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return self._server.connections

    def view(self) -> AgentView:
        """What came in, what was refused, and what was handed on."""
        server = self._server
        refused = dict(server.refused_connections), dict(server.refused_calls)
        forward = self._forwarder.view() if self._forwarder is not None else None
        return AgentView(self.store.totals(), ServerView(server.connections, *refused), forward)

    def calls(self) -> list[MethodView]:
        """What became of the clients' calls, by method."""
        return self._server.calls.views()

    def sampling(self) -> SamplingView:
        """What sampling the clients were asked for, and what each says that it does."""
        return SamplingView(self._config.pushed, self._config.in_force)

    def push_config(self, config: Any) -> None:
        """Ask all clients, and those who come, to sample as a ``TraceConfig`` message says.

        Args:
            config: a ``TraceConfig`` of :mod:`puremux.proto.trace_config_pb2`.
        Source: opencensus-proto's TraceService.Config.
        """
        self._server.do(lambda: self._config.push(config.SerializeToString()))

    def stop(self, grace: float = 0.0) -> bool:
        """Stop serving.  A second time does nothing.

        With a grace, the clients are told to leave (GOAWAY), health checks to look elsewhere; what clients half-close
        meanwhile is confirmed; and what waits for the next agent is delivered.

        Args:
            grace: seconds that all this may take.
        Returns:
            False when something was left that the next agent has not confirmed.
        """
        grace = min(grace, LONGEST_GRACE)
        until = self._driver.clock() + grace
        if grace > 0:
            self._server.do(self._leave)
            # A client that never half-closes, as Go's exporter, must not use up the time to deliver the rest.
            self._server.wait(grace if self._forwarder is None else grace / 2)
        self._server.stop()
        delivered = self._stop_forwarding(max(0.0, until - self._driver.clock()))
        if self._page is not None:
            self._page.close()
            self._page = None
        if self._zpages is not None:
            self._zpages.close()
            self._zpages = None
        if self._span_log is not None:
            self._span_log.close()
            self._span_log = None
        return delivered

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _ended_call(self, reason: str) -> None:
        self._server.ended_call(reason)

    def _leave(self) -> None:
        self._health.drain()
        self._config.drain()
        self._server.drain()

    def _stop_forwarding(self, timeout: float) -> bool:
        forwarder, self._forwarder = self._forwarder, None
        return forwarder is None or forwarder.stop(timeout)

    def _forward(self, to: str | NextAgent | Exporter) -> None:
        from .forwarding import Forwarder, NextAgent  # here, since few agents have one

        self._forwarder = Forwarder(NextAgent(to) if isinstance(to, str) else to, self._name)
        self.store.on_spans(self._forwarder.spans)
        self.store.on_metrics(self._forwarder.metrics)

    def _check_forwarding(self) -> None:
        forwarder = self._forwarder
        if forwarder is not None and any(leads_back(to, self.address) for to in forwarder.addresses):
            raise ValueError(f"the agent at {self.address} cannot be its own next agent")

    def _log_spans(self, path: str) -> None:
        from .spanlog import SpanLog  # here, for the same reason

        self._span_log = SpanLog(path)
        self.store.on_spans(self._span_log.receive)

    def _serve_page(self, address: str) -> PageServer:
        from .prometheus import serve_page  # here, since it needs prometheus-client, which is an extra

        return serve_page(self.store, *_host_and_port(address, "the Prometheus page takes"), view=self.view)

    def _serve_zpages(self, address: str) -> Served:
        from ..zpages.serving import serve_site  # here, since it needs jinja2, which is an extra
        from .zpages import AgentSite

        return serve_site(AgentSite(self), *_host_and_port(address, "zPages take"))

    def _expire(self) -> None:
        self.store.expire()
        self._driver.call_later(min(EXPIRE_EVERY, max(0.1, self.store.limits.stale_after / 4)), self._expire)


def leads_back(forward: str, listening: str) -> bool:
    """Whether an agent would hand everything on to itself, without end; as far as the two addresses tell.

    Args:
        forward: the next agent's.
        listening: where the agent listens, with its port.
    """
    there, here = (parse_address(each, DEFAULT_PORT).places[0] for each in (forward, listening))
    if isinstance(there, UnixSocket) or isinstance(here, UnixSocket):
        return there == here
    if there.port != here.port:
        return False
    on_this_machine = there.is_local and here.is_local and "localhost" in (there.host, here.host)
    return there.host == here.host or on_this_machine or (there.is_local and here.host in EVERYWHERE)


def _host_and_port(address: str, what_takes: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise ValueError(f"{what_takes} host:port, not {address!r}")
    return host.strip("[]") or "127.0.0.1", int(port)
