"""The services of an OpenCensus Agent, as handlers of calls.

Floor 5, agent: imports crowds, forwarding, health, intake, refusal and store, server and status, and ``puremux.proto``.
Spec: opencensus-proto's agent services.  As the real agents do, an Export call is answered by its status alone, once
the client has half-closed it and everything on it has been taken.
"""

from __future__ import annotations

from typing import Any, Callable

from ..proto import metrics_service_pb2, trace_config_pb2, trace_service_pb2
from ..server import Handler, Method, Responder
from ..status import StatusCode
from . import crowds
from .forwarding import HOP
from .health import HealthService
from .intake import MetricsIntake, TraceIntake
from .refusal import IntakeError
from .store import Store

__all__ = ["SERVICES", "TOO_MANY_ITEMS", "ConfigService", "methods"]

SERVICES = (
    "opencensus.proto.agent.trace.v1.TraceService",
    "opencensus.proto.agent.metrics.v1.MetricsService",
)

TOO_MANY_ITEMS = "too_many_items"  # as calls that end for it are counted

MOST_UNREAD = 64 * 1024  # bytes of updates that wait for a client
MOST_SAID = 32 * 1024 * 1024  # bytes kept of what all clients say of themselves on Config calls


def methods(
    store: Store, config: ConfigService, health: HealthService, ended_call: Callable[[str], None], name: str
) -> dict[str, Method]:
    """What the agent serves, by path.

    Args:
        ended_call: told why a call is ended of which not all was looked at.
        name: the agent's, by which it knows what it has handed on itself.
    """
    most = store.limits.max_message_items
    trace_request, metrics_request = (
        trace_service_pb2.ExportTraceServiceRequest,
        metrics_service_pb2.ExportMetricsServiceRequest,
    )
    spans = _Reader(trace_request.FromString, crowds.spans_items, most, ended_call)
    metrics = _Reader(metrics_request.FromString, crowds.metrics_items, most, ended_call)
    return {
        trace_service_pb2.TRACE_SERVICE_EXPORT_PATH: lambda responder: _Export(
            responder, spans, TraceIntake(store), name
        ),
        metrics_service_pb2.METRICS_SERVICE_EXPORT_PATH: lambda responder: _Export(
            responder, metrics, MetricsIntake(store), name
        ),
        trace_service_pb2.TRACE_SERVICE_CONFIG_PATH: config.serve,
        **health.methods(),
    }


class _Unreadable(Exception):
    def __init__(self, code: StatusCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class _Reader:
    """Bytes in, requests out."""

    def __init__(
        self,
        parse: Callable[[bytes], Any],
        items: Callable[[Any], int],
        most_items: int,
        ended_call: Callable[[str], None],
    ) -> None:
        self._parse = parse
        self._items = items
        self._most = most_items
        self._ended_call = ended_call

    def read(self, payload: bytes) -> Any:
        """A request.

        Raises:
            _Unreadable: it is none, or holds too much.
        """
        may_be_crowded = len(payload) > crowds.LEAST_BYTES * self._most
        if may_be_crowded and crowds.has_more_fields(payload, self._most):  # before all of them take memory
            raise self._crowded()
        try:
            request = self._parse(payload)
        except Exception as error:  # noqa: BLE001  without its C core protobuf raises more than DecodeError
            raise _Unreadable(StatusCode.INVALID_ARGUMENT, f"the message cannot be read: {error}") from None
        if may_be_crowded and self._items(request) > self._most:
            raise self._crowded()
        return request

    def _crowded(self) -> _Unreadable:
        self._ended_call(TOO_MANY_ITEMS)
        return _Unreadable(StatusCode.RESOURCE_EXHAUSTED, f"a message may hold {self._most} things; this one has more")


class _Export:
    """One Export call: each message goes to the store, the half-close is answered with OK."""

    def __init__(self, responder: Responder, reader: _Reader, intake: TraceIntake | MetricsIntake, name: str) -> None:
        self._responder = responder
        self._reader = reader
        self._intake = intake
        if (HOP, name) in responder.request.metadata:
            responder.finish(StatusCode.FAILED_PRECONDITION, "this agent would hand everything on to itself")

    def message(self, payload: bytes) -> None:
        try:
            self._intake.receive(self._reader.read(payload), payload)
        except _Unreadable as error:
            self._responder.finish(error.code, str(error))
        except IntakeError as error:
            self._responder.finish(error.code, str(error), error.metadata)

    def half_closed(self) -> None:
        self._responder.finish(StatusCode.OK)

    def ended(self) -> None:
        pass


class ConfigService:
    """The Config streams of all clients: hears what they do, tells them what to do.

    Args:
        most_bytes: of what a client says of itself; it is kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._said = 0  # bytes
        self._update: bytes | None = None
        self._streams: set[_Config] = set()

    def serve(self, responder: Responder) -> Handler:
        """Handle one client's Config call."""
        return _Config(self, responder)

    @property
    def in_force(self) -> list[trace_service_pb2.CurrentLibraryConfig]:
        """What the connected clients last said of themselves, a message each."""
        return [stream.current for stream in list(self._streams) if stream.current is not None]

    @property
    def pushed(self) -> trace_config_pb2.TraceConfig | None:
        """What clients are asked for."""
        if self._update is None:
            return None
        return trace_service_pb2.UpdatedLibraryConfig.FromString(self._update).config

    def push(self, config: bytes) -> None:
        """Ask all clients, and those who come, to use a serialized TraceConfig.  Under the driver's lock."""
        update = trace_service_pb2.UpdatedLibraryConfig()
        update.config.MergeFromString(config)
        self._update = update.SerializeToString()
        for stream in list(self._streams):
            stream.push(self._update)

    def drain(self) -> None:
        """End all calls, which would hold up the end.  Under the driver's lock."""
        for stream in list(self._streams):
            stream.half_closed()

    def has_room(self, growth: int) -> bool:
        """Count in so many bytes that a client says, if they may be kept."""
        if growth > 0 and self._said + growth > MOST_SAID:
            return False
        self._said += growth
        return True

    def joined(self, stream: _Config) -> None:
        """A client has announced itself."""
        if stream not in self._streams:
            self._streams.add(stream)
            if self._update is not None:
                stream.push(self._update)

    def left(self, stream: _Config) -> None:
        """A client's Config call is over."""
        self._streams.discard(stream)
        self._said -= stream.size
        stream.size = 0


class _Config:
    def __init__(self, service: ConfigService, responder: Responder) -> None:
        self.current: trace_service_pb2.CurrentLibraryConfig | None = None
        self.size = 0
        """Bytes kept of it."""
        self._service = service
        self._responder = responder

    def push(self, update: bytes) -> None:
        if self._responder.pending > MOST_UNREAD:
            self._end(StatusCode.RESOURCE_EXHAUSTED, "this client does not read what it is told")
        else:
            self._responder.send(update)

    def message(self, payload: bytes) -> None:
        if len(payload) > self._service.most_bytes:
            self._end(StatusCode.RESOURCE_EXHAUSTED, f"the message is larger than {self._service.most_bytes} bytes")
            return
        try:
            current = trace_service_pb2.CurrentLibraryConfig.FromString(payload)
        except Exception as error:  # noqa: BLE001  as above
            self._end(StatusCode.INVALID_ARGUMENT, f"the message cannot be read: {error}")
            return
        if self.current is None and not current.HasField("node"):
            self._end(StatusCode.INVALID_ARGUMENT, "Config's first message must have a Node")
            return
        if self.current is not None and not current.HasField("node"):
            current.node.CopyFrom(self.current.node)
        growth = current.ByteSize() - self.size
        if not self._service.has_room(growth):
            self._end(StatusCode.RESOURCE_EXHAUSTED, "this agent keeps as much of Config calls as it may")
            return
        self.size += growth
        self.current = current
        self._service.joined(self)

    def half_closed(self) -> None:
        self._end(StatusCode.OK, "")

    def ended(self) -> None:
        self._service.left(self)

    def _end(self, code: StatusCode, sentence: str) -> None:
        self._service.left(self)
        self._responder.finish(code, sentence)
