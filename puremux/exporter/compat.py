"""The names of opencensus-ext-ocagent: an application that changes its import line has puremux instead.

Floor 4, exporter: imports exporter, and ``puremux.proto``.  opencensus itself is looked up in one function only, where
its interval thread is wanted, and by the name that the caller's own program has installed.
Source: opencensus-ext-ocagent 0.7.1, whose names, arguments and defaults it keeps.

What is different for the better: nothing waits for the agent, one connection carries everything, and what a broken
connection takes with it is sent again.  So there is no use for a ``client`` made with grpcio, which is refused.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Callable

from ..proto import metrics_service_pb2, trace_config_pb2
from .exporter import Exporter

__all__ = ["DEFAULT_ENDPOINT", "ExportRpcHandler", "StatsExporter", "TraceExporter", "new_stats_exporter"]

DEFAULT_ENDPOINT = "localhost:55678"

OPENCENSUS_TRANSPORTS = "opencensus.common.transports."


class TraceExporter:
    """Exports spans to an OpenCensus Agent.

    Args:
        service_name: of the program.
        host_name: None for this machine's.
        endpoint: ``host:port`` of the agent; None for ``localhost:55678``.
        client: must be None; a stub of grpcio's has no place here.
        transport: a class of ``opencensus.common.transports``, or whatever makes an object with ``export`` from an
            exporter.  opencensus's own are accepted and not made: spans go straight to the exporter's thread, which
            neither waits for the agent as SyncTransport does nor stays behind in the parent of a fork as
            AsyncTransport's does.  Any other is made and used.
        options: what else :class:`puremux.Exporter` takes, such as ``tls`` and ``compression``.
    Raises:
        TypeError: ``client`` was given, or an option does not exist.
        AddressError: the endpoint cannot be read.
    """

    def __init__(
        self,
        service_name: str | None,
        host_name: str | None = None,
        endpoint: str | Sequence[str] | None = None,
        client: Any = None,
        transport: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> None:
        _refuse_client(client)
        self.service_name = service_name
        self.endpoint = DEFAULT_ENDPOINT if endpoint is None else endpoint
        self.exporter = _exporter(service_name, host_name, self.endpoint, options)
        self.transport: Any
        if transport is None or _is_opencensus(transport):
            self.transport = _Direct(self.exporter)
        else:
            self.transport = transport(self)

    def emit(self, span_datas: Iterable[Any]) -> None:
        """Hand spans to the exporter's thread."""
        self.exporter.export(span_datas)

    def export(self, span_datas: Iterable[Any]) -> None:
        """Hand spans to the transport, which gives them to :meth:`emit` now or later."""
        self.transport.export(span_datas)

    def update_config(self, config: Any) -> trace_config_pb2.TraceConfig:
        """The TraceConfig that is in force here.

        The Config stream is kept open by itself, and what the agent pushes is applied to
        :attr:`puremux.Exporter.sampler`; ``config`` is taken as if the agent had pushed it.

        Args:
            config: a TraceConfig, of whichever package; None to ask only.
        """
        sampler = self.exporter.sampler
        if config is not None:
            sampler.apply(config.SerializeToString())
        return trace_config_pb2.TraceConfig.FromString(sampler.current())

    @property
    def sampler(self) -> Any:
        """A sampler that does what the agent asks for; see :attr:`puremux.Exporter.sampler`."""
        return self.exporter.sampler

    def flush(self, timeout: float | None = 5.0) -> bool:
        """See :meth:`puremux.Exporter.flush`; a transport that can be flushed is flushed first."""
        flush_transport = getattr(self.transport, "flush", None)
        if flush_transport is not None:
            flush_transport()
        return self.exporter.flush(timeout)

    def stop(self, timeout: float | None = None) -> bool:
        """See :meth:`puremux.Exporter.stop`."""
        return self.exporter.stop(timeout)


class _Direct:
    """The transport that adds nothing: the exporter has a thread already."""

    def __init__(self, exporter: Exporter) -> None:
        self.export = exporter.export  # not the TraceExporter's: the two would keep each other alive


class ExportRpcHandler:
    """Sends ready requests of metrics.

    Args:
        client: must be None, as with :class:`TraceExporter`.
        service_name, host_name, endpoint, options: as :class:`TraceExporter` takes them.
    """

    def __init__(
        self,
        client: Any = None,
        service_name: str | None = None,
        host_name: str | None = None,
        endpoint: str | Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        _refuse_client(client)
        self.exporter = _exporter(service_name, host_name, DEFAULT_ENDPOINT if endpoint is None else endpoint, options)

    def send(self, request: metrics_service_pb2.ExportMetricsServiceRequest) -> None:
        """Send an ``ExportMetricsServiceRequest``, of whichever package, in the background."""
        self.exporter.export_metrics_request(request)


class StatsExporter:
    """Exports metrics to an OpenCensus Agent.

    Args:
        rpc_handler: what brings them there.
    """

    def __init__(self, rpc_handler: ExportRpcHandler) -> None:
        self._rpc_handler = rpc_handler
        self.interval_thread: threading.Thread | None = None
        """Exports at each interval, if :func:`new_stats_exporter` made this."""

    @property
    def exporter(self) -> Exporter:
        """Flushes, stops, and tells what became of the metrics."""
        return self._rpc_handler.exporter

    def export_metrics(self, metrics: Iterable[Any]) -> None:
        """Hand over metrics; does not wait."""
        self.exporter.export_metrics(metrics)


def new_stats_exporter(
    service_name: str | None = None,
    hostname: str | None = None,
    endpoint: str | Sequence[str] | None = None,
    interval: float | None = None,
    **options: Any,
) -> StatsExporter:
    """Export opencensus's views at each interval, by a thread of opencensus's own.

    The thread ends when the exporter that is returned is dropped: keep it.

    Args:
        interval: seconds; None for opencensus's default of 60.
    Raises:
        ModuleNotFoundError: opencensus is not installed.
        AddressError: the endpoint cannot be read.
    """
    transport = _opencensus("opencensus.metrics.transport")
    stats = _opencensus("opencensus.stats.stats").stats
    exporter = StatsExporter(ExportRpcHandler(None, service_name, hostname, endpoint, **options))
    exporter.interval_thread = transport.get_exporter_thread([stats], exporter, interval)
    return exporter


def _is_opencensus(transport: Any) -> bool:
    made_by = getattr(transport, "func", transport)  # of a functools.partial, which sets a wait_period
    return str(getattr(made_by, "__module__", "")).startswith(OPENCENSUS_TRANSPORTS)


def _opencensus(name: str) -> Any:
    """A module of opencensus's: whoever wants its thread has it, and nobody else needs it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"new_stats_exporter() exports the views of opencensus, which cannot be imported: {error}; "
            "pip install opencensus"
        ) from error


def _exporter(service_name: str | None, host_name: str | None, endpoint: Any, options: dict[str, Any]) -> Exporter:
    # Plaintext was all there was; whoever wants TLS says so.
    options = {"insecure": None if options.get("tls") else True, **options}
    return Exporter(endpoint, service_name=service_name, host_name=host_name, **options)


def _refuse_client(client: Any) -> None:
    if client is not None:
        raise TypeError(
            f"client= takes a grpcio stub in opencensus-ext-ocagent, here nothing, not {type(client).__name__}: "
            "name the agent by endpoint="
        )
