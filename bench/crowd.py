"""Very many services in one process: each a connection of its own, all on one selector, by the sans-I/O core.

Each service connects, opens its Export stream with its own Node, and reports the four views of OpenCensus's
end-to-end example.  The streams stay open, as an exporter's do.
"""

from __future__ import annotations

import resource
import selectors
import socket
import time
from collections.abc import Iterable

from puremux.proto import common_pb2, metrics_pb2, metrics_service_pb2
from puremux.proto.well_known_pb2 import Timestamp
from puremux.protocol.connection import Connection
from puremux.protocol.events import CallEnded, ConnectionEnded, SettingsAcknowledged
from puremux.protocol.metadata import request_headers

__all__ = ["HISTOGRAMS", "VIEWS", "Crowd", "descriptors_needed"]

PATH = metrics_service_pb2.METRICS_SERVICE_EXPORT_PATH
AT_ONCE = 100  # connections that are being made at one time; an agent's backlog is not endless
READ_SIZE = 16 * 1024
SPARE = 200  # descriptors for everything else

LATENCY_BOUNDS = [10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000]
LENGTH_BOUNDS = [10, 20, 50, 100, 150, 200, 500, 800]

HISTOGRAMS = ("opdemo/latency", "opdemo/line_lengths")
VIEWS = ("opdemo/latency", "opdemo/process_counts", "opdemo/line_lengths", "opdemo/line_counts")

Type = metrics_pb2.MetricDescriptor
Distribution = metrics_pb2.DistributionValue


def descriptors_needed(services: int) -> None:
    """Raise this process's limit of open descriptors as far as it takes.

    Raises:
        SystemExit: the hard limit is below that.
    """
    wanted = services + SPARE
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{services} connections need {wanted} descriptors, and the hard limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Service:
    """One service's connection; watched by the crowd's selector."""

    def __init__(self, number: int, address: tuple[str, int], views: bytes) -> None:
        self.is_proven = False
        """True once the agent's HTTP/2 has had the report, by its acknowledgement of what was sent behind it."""
        self.ended: str | None = None
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.connect_ex(address)
        self._connection = Connection(client_side=True)
        self._connection.initiate()
        headers = request_headers(PATH, authority=f"{address[0]}:{address[1]}", scheme="http")
        stream_id = self._connection.open(headers)
        node = metrics_service_pb2.ExportMetricsServiceRequest(node=_node(number)).SerializeToString()
        self._connection.send_message(stream_id, node + views)
        self._probe = self._connection.probe()
        self._unsent = self._connection.data_to_send()

    def fileno(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    @property
    def events(self) -> int:
        """What to watch for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def ready(self) -> None:
        """Read what has come, write what there is."""
        try:
            self._read()
            self._unsent += self._connection.data_to_send()
            if self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self.ended = str(error)

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        if not data:
            self.ended = "the agent closed the connection"
            return
        for event in self._connection.receive_data(data, time.monotonic()):
            if isinstance(event, SettingsAcknowledged):
                self.is_proven = event.ordinal >= self._probe
            elif isinstance(event, (CallEnded, ConnectionEnded)):
                self.ended = repr(event)

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()


class Crowd:
    """So many services; they connect when :meth:`connect` is called, and stay until :meth:`close`."""

    def __init__(self, services: int, host: str, port: int) -> None:
        self._address = (host, port)
        self._left = iter(range(services))
        self._count = services
        self._views = _views()
        self._selector = selectors.DefaultSelector()
        self._services: list[Service] = []
        self.proven = 0

    def connect(self, timeout: float) -> float:
        """Connect and report; seconds until each report is proven to be with the agent.

        Raises:
            AssertionError: it took longer, or the agent ended a connection or a call.
        """
        begin = time.monotonic()
        while self.proven < self._count:
            assert time.monotonic() - begin < timeout, f"{self.proven} of {self._count} after {timeout} s"
            while len(self._services) - self.proven < AT_ONCE and self._begin_one():
                pass
            self._turn()
        return time.monotonic() - begin

    def _begin_one(self) -> bool:
        number = next(self._left, None)
        if number is None:
            return False
        service = Service(number, self._address, self._views)
        self._services.append(service)
        self._selector.register(service, service.events)
        return True

    def _turn(self) -> None:
        for key, _ in self._selector.select(1.0):
            service = key.fileobj
            assert isinstance(service, Service)
            was_proven, watched = service.is_proven, service.events
            service.ready()
            assert service.ended is None, service.ended
            self.proven += service.is_proven and not was_proven
            if service.events != watched:
                self._selector.modify(service, service.events)

    def close(self) -> None:
        """All leave."""
        self._selector.close()
        for service in self._services:
            service.close()


def _node(number: int) -> common_pb2.Node:
    return common_pb2.Node(
        identifier=common_pb2.ProcessIdentifier(
            host_name=f"host-{number % 100}", pid=1000 + number, start_timestamp=Timestamp(seconds=1_700_000_000)
        ),
        library_info=common_pb2.LibraryInfo(language=8, exporter_version="bench"),
        service_info=common_pb2.ServiceInfo(name=f"service-{number:05}"),
    )


def _views() -> bytes:
    """The four views as they stand in a request, behind its Node."""
    now = Timestamp(seconds=int(time.time()))
    values = (
        metrics_pb2.Point(timestamp=now, distribution_value=_distribution(LATENCY_BOUNDS)),
        metrics_pb2.Point(timestamp=now, int64_value=100),
        metrics_pb2.Point(timestamp=now, distribution_value=_distribution(LENGTH_BOUNDS)),
        metrics_pb2.Point(timestamp=now, int64_value=200),
    )
    metrics = [_metric(name, point) for name, point in zip(VIEWS, values)]
    return metrics_service_pb2.ExportMetricsServiceRequest(metrics=metrics).SerializeToString()


def _metric(name: str, point: metrics_pb2.Point) -> metrics_pb2.Metric:
    is_distribution = point.HasField("distribution_value")
    descriptor = Type(
        name=name,
        description=f"What {name} counts",
        unit="1",
        type=Type.CUMULATIVE_DISTRIBUTION if is_distribution else Type.CUMULATIVE_INT64,
        label_keys=[metrics_pb2.LabelKey(key=key) for key in ("client", "method")],
    )
    labels = [metrics_pb2.LabelValue(value=value, has_value=True) for value in ("cli", "repl")]
    start = Timestamp(seconds=point.timestamp.seconds - 60)
    series = metrics_pb2.TimeSeries(start_timestamp=start, label_values=labels, points=[point])
    return metrics_pb2.Metric(metric_descriptor=descriptor, timeseries=[series])


def _distribution(bounds: Iterable[float]) -> metrics_pb2.DistributionValue:
    bounds = list(bounds)
    return Distribution(
        count=10 * (len(bounds) + 1),
        sum=1234.5,
        sum_of_squared_deviation=99.5,
        bucket_options=Distribution.BucketOptions(explicit=Distribution.BucketOptions.Explicit(bounds=bounds)),
        buckets=[Distribution.Bucket(count=10) for _ in range(len(bounds) + 1)],
    )
