"""What is asked of a server: which services answer, without leaving spans or metrics behind.

Floor 5, probe: imports conversation, findings, reach, exporter.identity, status and ``puremux.proto``.
Spec: opencensus-proto's agent services; grpc.health.v1; OpenTelemetry's OTLP, whose requests may be empty.

An Export call carries one message with a Node and nothing else, and is half-closed with it: the agents end it with OK.
The Node says ``puremux-probe``, so that whoever lists clients can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..exporter.identity import Identity
from ..proto import health_pb2, metrics_service_pb2, trace_service_pb2
from ..status import StatusCode
from .conversation import Answer
from .findings import Finding, Mark, failed, found, left_out, printable
from .reach import milliseconds

__all__ = ["Service", "judge", "services", "verdict"]

OTLP = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"


@dataclass(frozen=True)
class Service:
    """One service, and how to ask whether it is there."""

    name: str
    path: str
    request: bytes


def _node() -> bytes:
    """Field 1 of each first message of OpenCensus is the Node."""
    message = trace_service_pb2.CurrentLibraryConfig()
    message.node.MergeFromString(Identity("puremux-probe", resource={}).node())
    return message.SerializeToString()


TRACES, METRICS, CONFIG = "OpenCensus traces", "OpenCensus metrics", "OpenCensus config"
OTLP_TRACES, OTLP_METRICS = "OTLP traces", "OTLP metrics"
HEALTH = "health"


def services() -> tuple[Service, ...]:
    """What to ask, in this order; whoever is asked hears of one client."""
    node = _node()
    return (
        Service(TRACES, trace_service_pb2.TRACE_SERVICE_EXPORT_PATH, node),
        Service(METRICS, metrics_service_pb2.METRICS_SERVICE_EXPORT_PATH, node),
        Service(CONFIG, trace_service_pb2.TRACE_SERVICE_CONFIG_PATH, node),
        Service(HEALTH, health_pb2.HEALTH_CHECK_PATH, b""),
        Service(OTLP_TRACES, OTLP.format("trace", "Trace"), b""),
        Service(OTLP_METRICS, OTLP.format("metrics", "Metrics"), b""),
    )


ADVICE: Mapping[StatusCode, str] = {
    StatusCode.UNAVAILABLE: "Start what is behind the proxy, or look into the log of either.",
    StatusCode.UNAUTHENTICATED: "It wants credentials: headers=[...] of an exporter sends them.",
    StatusCode.PERMISSION_DENIED: "It wants other credentials: headers=[...] of an exporter sends them.",
    StatusCode.RESOURCE_EXHAUSTED: "The server is full: look into its log, and at its limits.",
}
LOG = "Look into the server's log: the text is its own."


def judge(service: Service, answer: Answer) -> Finding:
    """What an answer says of a service."""
    took = milliseconds(answer.seconds)
    details = {"path": service.path, "milliseconds": took}
    if answer.ended is None:
        silent = f"no answer within {answer.seconds:.1f} s"
        return failed(
            service.name, silent, "The server is there and its application is not: look into its log.", **details
        )
    code = answer.ended.code
    details["status"] = code.name
    if code is StatusCode.OK:
        return _answered(service, answer, details)
    said = printable(answer.ended.details)
    if code is StatusCode.UNIMPLEMENTED or service.name not in (TRACES, METRICS):
        return left_out(service.name, f"not served ({code.name}{f': {said}' if said else ''})", **details)
    return failed(service.name, f"{code.name}: {said}", ADVICE.get(code, LOG), **details)


def _answered(service: Service, answer: Answer, details: dict[str, object]) -> Finding:
    took = details["milliseconds"]
    if service.name != HEALTH:
        return found(service.name, f"served ({took} ms)", **details)
    try:
        health = health_pb2.HealthCheckResponse.FromString(answer.messages[0])
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)
    except Exception as error:  # noqa: BLE001  without its C core protobuf raises more than DecodeError
        return left_out(service.name, f"the answer cannot be read: {printable(str(error))}", **details)
    details["health"] = name
    if name in ("NOT_SERVING", "SERVICE_UNKNOWN"):
        return failed(
            service.name, f"the server says {name}", "Wait until it is ready, or look into its log.", **details
        )
    return found(service.name, f"the server says {name} ({took} ms)", **details)


def verdict(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Whether an OpenCensus exporter has come to the right place; nothing where that could not be seen."""
    marks = {finding.step: finding.mark for finding in findings}
    served = [kind for kind, name in (("traces", TRACES), ("metrics", METRICS)) if marks.get(name) is Mark.FOUND]
    if served and Mark.FAILED in marks.values():
        yield left_out("verdict", f"{WORDS.format(' and '.join(served))}, once what failed above is right")
    elif served:
        yield found("verdict", WORDS.format(" and ".join(served)))
    elif Mark.FOUND in (marks.get(OTLP_TRACES), marks.get(OTLP_METRICS)):
        yield failed("verdict", "this is an OTLP port: it takes OpenTelemetry's messages, not OpenCensus's", OTHER_PORT)
    elif marks.get(TRACES) is marks.get(METRICS) is Mark.LEFT_OUT:
        yield failed("verdict", "a gRPC server answers, and it has no service of an OpenCensus Agent", OTHER_PORT)


WORDS = "OpenCensus {} can be sent here"
OTHER_PORT = "Send to the port of an OpenCensus receiver: 55678, unless the agent's configuration says otherwise."
