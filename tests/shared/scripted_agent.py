"""An agent for tests: takes what comes, and answers as the test wants it to."""

from __future__ import annotations

from typing import Any, Callable

from puremux.proto import metrics_service_pb2, trace_service_pb2
from puremux.server import Responder, Server, ServerLimits
from puremux.status import StatusCode
from tests.shared.waiting import eventually

TRACE_EXPORT = trace_service_pb2.TRACE_SERVICE_EXPORT_PATH
TRACE_CONFIG = trace_service_pb2.TRACE_SERVICE_CONFIG_PATH
METRICS_EXPORT = metrics_service_pb2.METRICS_SERVICE_EXPORT_PATH


class Stream:
    """One call that a client made."""

    def __init__(self, agent: ScriptedAgent, responder: Responder) -> None:
        self.agent = agent
        self.responder = responder
        self.messages: list[bytes] = []
        self.has_half_closed = False
        self.has_ended = False

    def message(self, payload: bytes) -> None:
        self.messages.append(payload)
        self.agent.on_message(self)

    def half_closed(self) -> None:
        self.has_half_closed = True
        self.agent.on_half_close(self)

    def ended(self) -> None:
        self.has_ended = True


class ScriptedAgent:
    """Confirms every stream, unless told otherwise; refuses the Config stream as the real agents do.

    Args:
        limits: of the server, such as ``max_streams=1``.
    """

    def __init__(self, address: str = "127.0.0.1:0", **limits: Any) -> None:
        self.streams: list[Stream] = []
        self.configs: list[Stream] = []
        self.on_message: Callable[[Stream], None] = lambda stream: None
        self.on_half_close: Callable[[Stream], None] = self.confirm
        self.on_config: Callable[[Stream], None] = lambda stream: stream.responder.finish(
            StatusCode.UNKNOWN, "unimplemented"
        )
        methods = {TRACE_EXPORT: self._export, METRICS_EXPORT: self._export, TRACE_CONFIG: self._config}
        self.server = Server(methods, limits=ServerLimits(**limits))
        self.address = self.server.listen(address)

    def confirm(self, stream: Stream) -> None:
        """Say that everything on the stream was taken."""
        stream.responder.finish(StatusCode.OK)

    def stop(self) -> None:
        """Close everything at once, as a kill does."""
        self.server.stop()

    def requests(self, path: str = TRACE_EXPORT) -> list[trace_service_pb2.ExportTraceServiceRequest]:
        """All requests so far."""
        kind = {
            TRACE_EXPORT: trace_service_pb2.ExportTraceServiceRequest,
            METRICS_EXPORT: metrics_service_pb2.ExportMetricsServiceRequest,
        }[path]
        with self.server.driver.lock:
            payloads = [
                payload
                for stream in self.streams
                if stream.responder.request.path == path
                for payload in stream.messages
            ]
        return [kind.FromString(payload) for payload in payloads]

    def span_names(self) -> list[str]:
        """The names of all spans that came, doubles included."""
        return [span.name.value for request in self.requests() for span in request.spans]

    def spans_by_pid(self) -> dict[int, list[str]]:
        """Names of the spans that each Node sent."""
        found: dict[int, list[str]] = {}
        with self.server.driver.lock:
            streams = [list(stream.messages) for stream in self.streams]
        for messages in streams:
            requests = [trace_service_pb2.ExportTraceServiceRequest.FromString(payload) for payload in messages]
            names = [span.name.value for request in requests for span in request.spans]
            found.setdefault(requests[0].node.identifier.pid, []).extend(names)
        return found

    def wait_for_spans(self, count: int, timeout: float = 10.0) -> list[str]:
        """The names of the spans, once there are so many different ones."""
        eventually(lambda: len(set(self.span_names())) >= count, timeout)
        return self.span_names()

    def _export(self, responder: Responder) -> Stream:
        stream = Stream(self, responder)
        self.streams.append(stream)
        return stream

    def _config(self, responder: Responder) -> Stream:
        stream = Stream(self, responder)
        self.configs.append(stream)
        self.on_config(stream)
        return stream


NewAgent = Callable[..., ScriptedAgent]
"""Starts an agent that ends with the test: the fixture ``new_agent``."""
