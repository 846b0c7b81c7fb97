"""What the agent does not take from a client: why, and what it says.

Floor 5, agent: imports errors, limits and status.

::

    IntakeError               the call ends with its code
    ├── ProtocolViolation         the client broke a rule of the agent protocol
    ├── LimitReached              a limit of AgentLimits; what still fitted was taken
    ├── ForwarderFull             as much waits for the next agent as may; the client may send it again
    └── ListenerFailed            whoever was to pass the data on could not; the client may send it again
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from ..errors import Metadata, PuremuxError
from ..status import StatusCode
from .limits import AgentLimits

__all__ = [
    "SPAN_REASONS",
    "TOLD",
    "ForwarderFull",
    "IntakeError",
    "LimitReached",
    "ListenerFailed",
    "ProtocolViolation",
    "Reason",
]


class Reason(enum.Enum):
    """Under which name something refused is counted; the values are those of the page's label ``reason``."""

    NO_NODE = "no_node"
    NODE_TOO_LARGE = "node_too_large"
    TOO_MANY_CLIENTS = "too_many_clients"
    LISTENER_FAILED = "listener_failed"
    FORWARDER_FULL = "forwarder_full"
    UNSPECIFIED_TYPE = "unspecified_type"
    UNUSABLE_DESCRIPTOR = "unusable_descriptor"
    UNUSABLE_LABELS = "unusable_labels"
    MALFORMED_POINT = "malformed_point"
    TOO_MANY_SERIES = "too_many_series"
    TOO_MANY_SERIES_OF_CLIENT = "too_many_series_of_client"
    TOO_MANY_LINES_OF_CLIENT = "too_many_lines_of_client"
    OUT_OF_MEMORY = "out_of_memory"


SPAN_REASONS = (
    Reason.NO_NODE,
    Reason.NODE_TOO_LARGE,
    Reason.TOO_MANY_CLIENTS,
    Reason.OUT_OF_MEMORY,
    Reason.LISTENER_FAILED,
    Reason.FORWARDER_FULL,
)
"""Why spans can be refused; time series can be for every reason."""

TOLD: Mapping[Reason, str] = {
    Reason.NODE_TOO_LARGE: "a Node or Resource is larger than {limits.max_node_bytes} bytes",
    Reason.TOO_MANY_CLIENTS: "this agent knows {limits.max_clients} clients, and takes no more",
    Reason.TOO_MANY_SERIES: "this agent holds {limits.max_series} time series, and takes no more",
    Reason.TOO_MANY_SERIES_OF_CLIENT: "this agent takes {limits.max_series_per_client} time series of a client",
    Reason.TOO_MANY_LINES_OF_CLIENT: "this agent takes {limits.max_lines_per_client} lines of its page of a client",
    Reason.OUT_OF_MEMORY: "this agent holds as much of metrics as it may, {limits.max_bytes_held} bytes",
}
"""What a client is told of each limit.  Of other refusals it is not: its next message may be a good one."""


class IntakeError(PuremuxError):
    """A request was not taken, or not all of it.

    ``code`` and the sentence are for the client; ``reason`` is what it is counted under.
    """

    metadata: Metadata = ()
    """What else the client is told."""

    def __init__(self, code: StatusCode, reason: Reason, message: str) -> None:
        super().__init__(code, reason, message)
        self.code, self.reason, self.message = code, reason, message

    def __str__(self) -> str:
        return self.message


class ProtocolViolation(IntakeError):
    """The client broke a rule of the agent protocol.  Its code is UNKNOWN, as with the agents of OpenCensus."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(StatusCode.UNKNOWN, reason, f"protocol violation: {message}")
        self._plain = message

    def __reduce__(self) -> tuple[object, ...]:
        return ProtocolViolation, (self.reason, self._plain)


class LimitReached(IntakeError):
    """A limit of the agent's is reached; the message names it."""

    def __init__(self, reason: Reason, limits: AgentLimits) -> None:
        super().__init__(StatusCode.RESOURCE_EXHAUSTED, reason, TOLD[reason].format(limits=limits))
        self._limits = limits

    def __reduce__(self) -> tuple[object, ...]:
        return LimitReached, (self.reason, self._limits)


class ListenerFailed(IntakeError):
    """A listener, such as the span log, could not do its work; nothing of the request counts as received."""

    def __init__(self, message: str) -> None:
        super().__init__(StatusCode.UNAVAILABLE, Reason.LISTENER_FAILED, message)

    def __reduce__(self) -> tuple[object, ...]:
        return ListenerFailed, (self.message,)


class ForwarderFull(IntakeError):
    """Nothing more can be held for the next agent; what was not handed on counts as refused."""

    metadata = (("retry-after-ms", "1000"),)  # our exporter knows by it that this is no fault of the message

    def __init__(self, target: str) -> None:
        sentence = f"as much waits for {target} as this agent may hold; send it again later"
        super().__init__(StatusCode.RESOURCE_EXHAUSTED, Reason.FORWARDER_FULL, sentence)
        self._target = target

    def __reduce__(self) -> tuple[object, ...]:
        return ForwarderFull, (self._target,)
