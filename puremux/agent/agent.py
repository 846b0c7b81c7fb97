"""The embedded agent as one object: for programs, tests and notebooks.

Floor 5, agent: imports the rest of ``agent``.
"""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..server import Server
from ..transport.driver import Driver
from .limits import AgentLimits
from .services import ConfigService, methods
from .store import Store

if TYPE_CHECKING:
    from .prometheus import Page
    from .spanlog import SpanLog

__all__ = ["Agent"]

DEFAULT_PORT = 55678
EXPIRE_EVERY = 10.0  # seconds between two looks for clients that are gone


class Agent:
    """An OpenCensus Agent in this process; it serves from when it is made until :meth:`stop`.

    Args:
        address: where to listen, ``host:port`` or ``unix:/path``; port 0 for any free one.
        prometheus: where to serve the Prometheus page, ``host:port``, port 0 for any free one; None for no page.  It
            takes the extra ``puremux[agent]``.
        spans: file to append spans to as JSON lines, ``"-"`` for standard output; None for none.
        tls: a context of :func:`puremux.transport.tls.server_context`; None for plaintext.
        limits: what clients may ask of the agent.
    Raises:
        AddressError: an address cannot be read.
        OSError: an address cannot be listened on, or the file cannot be opened; the message says which.
    """

    def __init__(
        self,
        address: str = "localhost:55678",
        *,
        prometheus: str | None = None,
        spans: str | None = None,
        tls: ssl.SSLContext | None = None,
        limits: AgentLimits | None = None,
    ) -> None:
        self.store = Store(limits or AgentLimits())
        """What the agent knows of its clients."""
        self._config = ConfigService()
        self._driver = Driver("puremux agent")
        self._server = Server(
            methods(self.store, self._config), driver=self._driver, tls=tls, limits=self.store.limits.of_server
        )
        self._page: Page | None = None
        self._span_log: SpanLog | None = None
        try:
            if spans is not None:
                self._log_spans(spans)
            self.address = self._server.listen(address, DEFAULT_PORT)
            """Where it listens, with the port it got."""
            if prometheus is not None:
                self._page = self._serve_page(prometheus)
        except BaseException:
            self.stop()
            raise
        self._expire()

    @property
    def page(self) -> str | None:
        """The URL of the Prometheus page."""
        return self._page.url if self._page is not None else None

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return self._server.connections

    def push_config(self, config: Any) -> None:
        """Ask all clients, and those who come, to sample as a ``TraceConfig`` message says.

        Args:
            config: a ``TraceConfig`` of :mod:`puremux.proto.trace_config_pb2`.
        Source: opencensus-proto's TraceService.Config.
        """
        with self._driver.lock:
            self._config.push(config.SerializeToString())

    def stop(self, grace: float = 0.0) -> None:
        """Stop serving.  A second time does nothing.

        Args:
            grace: seconds that running calls have to end.
        """
        self._server.stop(grace)
        if self._page is not None:
            self._page.close()
            self._page = None
        if self._span_log is not None:
            self._span_log.close()
            self._span_log = None

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _log_spans(self, path: str) -> None:
        from .spanlog import SpanLog  # here, since few agents have one

        self._span_log = SpanLog(path)
        self.store.on_spans(self._span_log.receive)

    def _serve_page(self, address: str) -> Page:
        from .prometheus import serve_page  # here, since it needs prometheus-client, which is an extra

        host, _, port = address.rpartition(":")
        if not port.isdigit():
            raise ValueError(f"the Prometheus page takes host:port, not {address!r}")
        return serve_page(self.store, host.strip("[]") or "127.0.0.1", int(port))

    def _expire(self) -> None:
        self.store.expire()
        self._driver.call_later(EXPIRE_EVERY, self._expire)
