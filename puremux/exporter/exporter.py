"""The exporter: what most users of puremux import.

Floor 4, exporter: imports the rest of ``exporter``, and channel below.
Source: the options mirror those of Go's ``contrib.go.opencensus.io/exporter/ocagent``; ``export`` and ``emit`` are
those of opencensus.trace's exporters, ``export_metrics`` those of opencensus.metrics'.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ..channel import Channel
from ..checks import check_kinds, check_numbers, check_whole_numbers, checked_timeout
from ..copies import NoCopies
from ..errors import Metadata
from ..proto.paths import METRICS_SERVICE_EXPORT_PATH, TRACE_SERVICE_EXPORT_PATH
from ..protocol.metadata import encode_metadata
from ..subchannel import Backoff, Keepalive
from ..transport.tap import Tap
from .batches import Batch
from .complaints import Complaint
from .ending import at_end, never_at_end
from .engine import Engine
from .identity import Identity
from .limits import SpanLimits
from .sampling import AgentSampler
from .sentences import reason_of
from .signals import Fields, Signal
from .streams import Pace
from .watching import Watcher

if TYPE_CHECKING:
    import ssl

__all__ = ["Exporter"]

DEFAULT_PORT = 55678  # of an OpenCensus Agent
MOST_SERIES = 1000  # of one metric in a message; agents refuse messages of 4 MiB, careful ones of 1 MiB
BACKOFF = Backoff(initial=1.0, maximum=5.0)  # when no reconnection period is asked for


class Exporter(NoCopies):
    """Sends spans and metrics to an OpenCensus Agent, in the background.

    Nothing here waits for the agent, but :meth:`flush` and :meth:`stop`, whose waits are bounded; nothing raises
    because of it.  What goes wrong is counted in :meth:`stats`, and logged once a minute by ``puremux.exporter``.

    Args:
        address: ``host:port`` or another form that :class:`puremux.Channel` takes, or a list of agents of which one is
            used at a time; the default port is 55678.
        insecure: True for plaintext, False for TLS, None for plaintext to this machine only.
        tls: own certificates and trust.
        service_name: the name of the program, in the Node that the agent is told.
        reconnection_period: seconds between attempts to reach an agent that is away, made shorter by a random part of
            up to a third; None for steps from 1 to 5 seconds.
        headers: metadata sent with each stream, a mapping or pairs.
        compression: ``gzip`` to compress what is sent.
        resource: what the program runs on: a mapping of labels, an opencensus Resource, or a function that finds it;
            None to read ``OC_RESOURCE_TYPE`` and ``OC_RESOURCE_LABELS``.
        metric_name_prefix: put before the name of each metric, with a ``/``.
        sampler: used while the agent asks for no other sampling; None for opencensus's default probability.
        start: False to connect only at :meth:`start`.
        span_limits: attributes, annotations, message events and links that a span keeps.
        queue_size: spans held at the most until the background thread takes them; the oldest make room.
        replay_bytes: encoded spans held at the most until the agent is proven to have them, and metrics likewise.
        bundle_count, bundle_delay: a batch leaves when it has so many spans, or after so many seconds.
        pace: how often streams are rotated, and when the agent is taken for dead.
        own_metrics: seconds between two reports of :meth:`stats` to the agent, as metrics named
            ``puremux/exporter/...``; None for none.
        keepalive, proxy, connect_timeout, authority, user_agent, tap: as :class:`puremux.Channel` takes them.
    Raises:
        AddressError: an address cannot be read.
        ValueError, TypeError: another option does not fit.
    """

    def __init__(
        self,
        address: str | Sequence[str] = "localhost:55678",
        *,
        insecure: bool | None = None,
        tls: ssl.SSLContext | None = None,
        service_name: str | None = None,
        reconnection_period: float | None = None,
        headers: Mapping[str, str] | Metadata | None = None,
        compression: str | None = None,
        resource: Any = None,
        metric_name_prefix: str = "",
        sampler: Any = None,
        start: bool = True,
        host_name: str | None = None,
        span_limits: SpanLimits | None = None,
        queue_size: int = 20_000,
        replay_bytes: int = 32 * 1024 * 1024,
        bundle_count: int = 300,
        bundle_delay: float = 2.0,
        pace: Pace | None = None,
        own_metrics: float | None = None,
        keepalive: Keepalive | None = None,
        proxy: str | None = None,
        policy: str = "pick_first",
        connect_timeout: float = 5.0,
        authority: str | None = None,
        user_agent: str | None = None,
        tap: Tap | None = None,
    ) -> None:
        check_whole_numbers(1, bundle_count=bundle_count, queue_size=queue_size)
        check_numbers("bytes", replay_bytes=replay_bytes)
        check_numbers("seconds", bundle_delay=bundle_delay)
        check_numbers("seconds", or_none=True, own_metrics=own_metrics, reconnection_period=reconnection_period)
        check_kinds(SpanLimits, span_limits=span_limits)
        check_kinds(Pace, pace=pace)
        check_kinds(str, compression=compression, metric_name_prefix=metric_name_prefix)
        limits = span_limits or SpanLimits()
        self.service_name = service_name
        self.metric_name_prefix = metric_name_prefix
        self._identity = Identity(service_name=service_name, resource=resource, host_name=host_name)
        self._sampler = AgentSampler(sampler, limits)
        channel = Channel(
            address,
            insecure=insecure,
            tls=tls,
            metadata=_pairs(headers),
            compression=compression,
            backoff=_backoff(reconnection_period),
            keepalive=keepalive,
            proxy=proxy,
            policy=policy,
            connect_timeout=connect_timeout,
            idle_timeout=None,
            authority=authority,
            user_agent=user_agent,
            tap=tap,
            default_port=DEFAULT_PORT,
        )
        self._spans = Signal(
            "spans",
            TRACE_SERVICE_EXPORT_PATH,
            _load_spans(self._sampler),
            queue_size,
            replay_bytes,
            bundle_count,
        )
        self._metrics = Signal(
            "metrics",
            METRICS_SERVICE_EXPORT_PATH,
            _load_metrics(metric_name_prefix),
            queue_size,
            replay_bytes,
            bundle_count,
        )
        self._engine = Engine(
            channel,
            [self._spans, self._metrics],
            identity=self._identity.in_request,
            node=self._identity.node,
            following=self._sampler,
            bundle_delay=bundle_delay,
            pace=pace or Pace(),
            compression=compression,
            own_metrics=own_metrics,
        )
        at_end(self._engine)
        # Else a program that drops an exporter would keep its thread; what it holds still leaves, by the engine.
        weakref.finalize(self, self._engine.retire).atexit = False
        if start:
            self.start()

    # The application's threads

    def export(self, span_datas: Iterable[Any]) -> None:
        """Hand over ended spans (``opencensus.trace`` SpanData); microseconds, never waits, never raises."""
        signal = self._spans
        try:
            if type(span_datas) is list:  # as tracers have it: what put() would do with it, but for the call
                items = signal.items
                items.extend(span_datas)
                held = len(items)
                if held < signal.threshold:  # which is never above the queue's size: nothing has to make room
                    return
                if held > signal.queue.size:
                    held = signal.queue.put(())
            else:
                held = signal.queue.put(span_datas)
        except Exception as error:  # noqa: BLE001  not a sequence of spans; the application must not suffer for it
            self._engine.complain("export", _refusal("export", span_datas, error))
            held = len(signal.queue)
        if held >= signal.threshold:
            self._engine.summon()

    emit = export

    def export_metrics(self, metrics: Iterable[Any]) -> None:
        """Hand over metrics (``opencensus.metrics`` Metric); never waits, never raises.

        A metric of more than a thousand time series travels, and is counted, as several.
        """
        signal = self._metrics
        try:
            for metric in metrics:
                if metric is not None:  # what opencensus's registry gives for a gauge without values
                    signal.queue.put(_pieces(metric))
        except Exception as error:  # noqa: BLE001  as above
            self._engine.complain("export_metrics", _refusal("export_metrics", metrics, error))
        if len(signal.queue):  # metrics come once a period, and their time is theirs: no waiting for more
            self._engine.summon_all()

    def export_trace_request(self, request: Any, *, make_room: bool = True) -> bool:
        """Send a ready ``ExportTraceServiceRequest``; its Node and Resource hold for its own spans.

        Args:
            request: of :mod:`puremux.proto`, or anybody's message of that type.
            make_room: False to rather not take it than drop older spans, when as much is held as may be.
        Returns:
            Whether it was taken; True unless ``make_room`` is False.
        Raises:
            AttributeError: it is no message; one of another type may raise protobuf's DecodeError.
        Source: opencensus-proto's TraceService.Export.
        """
        from ..proto import trace_service_pb2  # here, since whoever has such a message has loaded protobuf

        parsed = trace_service_pb2.ExportTraceServiceRequest.FromString(request.SerializeToString())
        return self._export_request(self._spans, parsed, "spans", make_room)

    def export_metrics_request(self, request: Any, *, make_room: bool = True) -> bool:
        """Send a ready ``ExportMetricsServiceRequest``, as :meth:`export_trace_request` does."""
        from ..proto import metrics_service_pb2  # as above

        parsed = metrics_service_pb2.ExportMetricsServiceRequest.FromString(request.SerializeToString())
        return self._export_request(self._metrics, parsed, "metrics", make_room)

    def _export_request(self, signal: Signal, request: Any, field: str, make_room: bool) -> bool:
        count = len(getattr(request, field))
        identity = self._identity.of_request(request)
        request.ClearField("node")
        request.ClearField("resource")
        batch = Batch(request.SerializeToString(), count, identity)
        return self._engine.submit(signal, batch, make_room=make_room)

    # Life

    def start(self) -> None:
        """Connect, if that is not done yet.  Returns at once; an agent that is away is tried until :meth:`stop`."""
        self._engine.start()

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Send what was handed over so far, and wait until the agent has proven that it has it.

        Args:
            timeout: seconds to wait at the most.
        Returns:
            False when the proof did not come in time; the exporter goes on trying.
        Raises:
            TypeError, ValueError: ``timeout`` is no number; likewise :meth:`stop`.
        """
        return self._engine.flush(timeout)

    def stop(self, timeout: float | None = None) -> bool:
        """Flush, and close the connection.  What is handed over afterwards is dropped and counted.

        Args:
            timeout: seconds to wait at the most; None for 5 with an agent that answers, 1 with one that does not.
        Returns:
            False when something was not delivered; :meth:`stats` tells how much.
        """
        checked_timeout(timeout)  # before anything is done
        never_at_end(self._engine)
        return self._engine.stop(timeout)

    def __enter__(self) -> Exporter:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # To look at

    @property
    def sampler(self) -> AgentSampler:
        """A sampler for ``Tracer(sampler=...)`` that does what the agent's Config stream asks for."""
        return self._sampler

    def stats(self) -> dict[str, Any]:
        """What became of everything, in numbers of spans; the same for metrics under ``"metrics"``.

        Returns:
            ``queue``: handed over, not encoded yet; ``waiting``: encoded, not sent; ``unconfirmed``: sent, not proven
            to have arrived; ``confirmed``; ``dropped``: given up, by reason; ``accepted``: the sum of these;
            ``sent`` and ``replayed``: put on a stream the first time, and again.
            ``batches``: how many of them were ``sent``, ``confirmed`` and ``replayed``.
            ``connections``, ``reconnects``, ``state``, ``last_error`` speak of the connection.
        """
        return self._engine.stats()

    @property
    def target(self) -> str:
        """The agent's address, or the addresses."""
        return self._engine.channel.name

    def complaints(self) -> list[Complaint]:
        """The newest sentences about what went wrong, the newest first; at most twenty."""
        return self._engine.complaints.newest()

    def watch(self, watcher: Watcher) -> None:
        """Have a watcher told what is sent, on the exporter's thread, until :meth:`unwatch`."""
        self._engine.watchers.add(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell a watcher nothing more."""
        self._engine.watchers.remove(watcher)


def _refusal(method: str, given: Any, error: Exception) -> str:
    return f"{method}() was given {type(given).__name__}: {reason_of(error)}"


# Functions of their own, since the exporter's would keep an exporter alive that its user has dropped.


def _load_spans(sampler: AgentSampler) -> Callable[[], Fields]:
    def load() -> Fields:
        from .spans import SpanEncoder

        encoder = SpanEncoder(sampler.limits)

        def fields(spans: Iterable[Any], refuse: Callable[[BaseException], object]) -> Iterator[bytes]:
            if encoder.limits is not sampler.limits:
                encoder.limits = sampler.limits
            return encoder.fields(spans, refuse)

        return fields

    return load


def _load_metrics(prefix: str) -> Callable[[], Fields]:
    def load() -> Fields:
        from .metrics import MetricEncoder

        return MetricEncoder(prefix).fields

    return load


class _Piece(NamedTuple):
    """Some of a metric's time series: a metric in its own right."""

    descriptor: Any
    time_series: Sequence[Any]


def _pieces(metric: Any) -> Iterator[Any]:
    """The metric, or several with its descriptor, none of them too large for one message."""
    try:
        series = metric.time_series
        is_small = len(series) <= MOST_SERIES
    except Exception:  # noqa: BLE001  no metric, or one of another shape: the encoder sees what can be sent, and counts
        is_small = True
    if is_small:
        yield metric
        return
    for begin in range(0, len(series), MOST_SERIES):
        yield _Piece(metric.descriptor, series[begin : begin + MOST_SERIES])


def _pairs(headers: Mapping[str, str] | Metadata | None) -> Metadata:
    if headers is None:
        return ()
    try:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        metadata = tuple((key.lower(), value) for key, value in pairs)
    except (AttributeError, TypeError, ValueError):  # its type only, since what it holds may be secret
        given = type(headers).__name__
        raise TypeError(f"headers takes a mapping of names to values, or pairs of them, not this {given}") from None
    try:
        encode_metadata(metadata)
    except (TypeError, ValueError) as error:
        raise type(error)(f"headers: {error}") from None
    return metadata


def _backoff(reconnection_period: float | None) -> Backoff:
    if reconnection_period is None:
        return BACKOFF
    # With a jitter of a fifth both ways, five sixths of the period keep every wait within it.
    return Backoff(reconnection_period / 1.2, multiplier=1.0, maximum=reconnection_period)
