"""A sampler, and span limits, that follow what the agent's Config stream asks for.

Floor 4, exporter: imports fields, limits and the standard library; ``puremux.proto`` once an agent asks for something.
Source: opencensus-proto's TraceConfig; opencensus.trace.samplers, whose interface and trace-id rule it keeps, so that
``Tracer(sampler=exporter.sampler)`` works, and services agree on which traces to keep.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Protocol

from .fields import FIXED64, LENGTH, VARINT, delimited, double, number_field, tag
from .limits import DEFAULT_LIMITS, SpanLimits

if TYPE_CHECKING:
    from ..proto import trace_config_pb2

__all__ = ["AgentSampler"]

DEFAULT_PROBABILITY = 1e-4  # opencensus.trace.samplers.DEFAULT_SAMPLING_RATE
LOWER_HALF = 2**64 - 1
LARGEST = 0xFFFFFFFFFFFFFFFF

ALWAYS_OFF, ALWAYS_ON, ALWAYS_PARENT = 0, 1, 2  # ConstantSampler.ConstantDecision

# Fields of TraceConfig: one of three samplers, and the limits.
PROBABILITY_SAMPLER, CONSTANT_SAMPLER, RATE_LIMITING_SAMPLER = tag(1, LENGTH), tag(2, LENGTH), tag(3, LENGTH)
ATTRIBUTES, ANNOTATIONS, MESSAGE_EVENTS, LINKS = (tag(number, VARINT) for number in (4, 5, 6, 7))
# The one field of each sampler.
PROBABILITY, DECISION, QPS = tag(1, FIXED64), tag(1, VARINT), tag(1, VARINT)


class Sampler(Protocol):
    """opencensus.trace.samplers.Sampler."""

    def should_sample(self, span_context: Any) -> bool:
        """Whether the trace that the context belongs to is to be kept."""


class _Constant(NamedTuple):
    decision: int

    def should_sample(self, span_context: Any) -> bool:
        if self.decision == ALWAYS_PARENT:
            return _parent_is_sampled(span_context)
        return self.decision == ALWAYS_ON

    def described(self) -> bytes:
        return delimited(CONSTANT_SAMPLER, number_field(DECISION, self.decision))


class _Probability(NamedTuple):
    """Keeps a trace when the lower half of its id, as a number, lies below the bound: the rule of all OpenCensus's."""

    probability: float

    def should_sample(self, span_context: Any) -> bool:
        if _parent_is_sampled(span_context):
            return True
        return int(span_context.trace_id, 16) & LOWER_HALF <= self.probability * LARGEST

    def described(self) -> bytes:
        return delimited(PROBABILITY_SAMPLER, PROBABILITY + double(self.probability) if self.probability else b"")


class _RateLimit:
    """Keeps so many new traces a second at the most, none of them saved up for later."""

    def __init__(self, qps: int, clock: Callable[[], float]) -> None:
        self._qps = qps
        self._clock = clock
        self.forked()
        self._left = float(min(qps, 1))
        self._now = clock()

    def forked(self) -> None:
        """Begin with a lock that nobody holds; reentrant, since a signal's handler may begin a trace of its own."""
        self._lock = threading.RLock()

    def should_sample(self, span_context: Any) -> bool:
        if _parent_is_sampled(span_context):
            return True
        with self._lock:
            now = self._clock()
            self._left = min(float(max(self._qps, 0)), self._left + max(0.0, now - self._now) * self._qps)
            self._now = now
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def described(self) -> bytes:
        return delimited(RATE_LIMITING_SAMPLER, number_field(QPS, self._qps))


class _Own:
    """The application's own sampler; what is known of its kind is told to the agent."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(self, span_context: Any) -> bool:
        return self._sampler.should_sample(span_context)

    def described(self) -> bytes:
        constant = {"AlwaysOnSampler": ALWAYS_ON, "AlwaysOffSampler": ALWAYS_OFF}.get(type(self._sampler).__name__)
        if constant is not None:
            return _Constant(constant).described()
        try:
            rate = getattr(self._sampler, "rate", None)
            if isinstance(rate, (int, float)) and 0 <= rate <= 1:
                return _Probability(float(rate)).described()
        except Exception:  # noqa: BLE001  the application's own, which may raise anything; then the agent is told nothing
            pass
        return b""


class AgentSampler:
    """Decides about traces as the agent wants it, or as the application does while the agent wants nothing.

    Args:
        own: the application's sampler; None for opencensus's default, one trace in ten thousand.
        limits: of spans, while the agent sets none.
        clock: seconds, as ``time.monotonic``; for rate limits.
    """

    def __init__(
        self,
        own: Sampler | None = None,
        limits: SpanLimits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if own is not None and not callable(getattr(own, "should_sample", None)):
            raise TypeError(f"a sampler has a method should_sample(span_context); {type(own).__name__} has none")
        if isinstance(own, type):
            raise TypeError(f"sampler takes an object, and {own.__name__} is a class: pass {own.__name__}()")
        self._own = _Probability(DEFAULT_PROBABILITY) if own is None else _Own(own)
        self._own_limits = limits
        self._clock = clock
        self._rule: _Constant | _Probability | _RateLimit | _Own = self._own
        self.limits = limits
        """The span limits in force."""

    def should_sample(self, span_context: Any) -> bool:
        """Whether to keep the trace; what ``Tracer`` asks (opencensus.trace.samplers.Sampler)."""
        return self._rule.should_sample(span_context)

    def apply(self, config: bytes) -> None:
        """Do what a serialized TraceConfig asks for; one without a sampler leaves the decision to the application.

        Raises:
            ValueError: the probability is not between 0 and 1; what was in force stays.
        """
        from ..proto import trace_config_pb2  # here, since few agents ask for anything, and protobuf is large

        message = trace_config_pb2.TraceConfig.FromString(config)
        rule = self._rule_in(message)
        self.limits = self._own_limits.with_trace_config(message)
        self._rule = rule

    def current(self) -> bytes:
        """The serialized TraceConfig of what is in force."""
        limits = self.limits
        return (
            self._rule.described()
            + number_field(ATTRIBUTES, limits.max_attributes)
            + number_field(ANNOTATIONS, limits.max_annotations)
            + number_field(MESSAGE_EVENTS, limits.max_message_events)
            + number_field(LINKS, limits.max_links)
        )

    def forked(self) -> None:
        """In a forked child, where another thread of the parent's may hold a lock for ever."""
        if isinstance(self._rule, _RateLimit):
            self._rule.forked()

    def _rule_in(self, message: trace_config_pb2.TraceConfig) -> _Constant | _Probability | _RateLimit | _Own:
        kind = message.WhichOneof("sampler")
        if kind == "constant_sampler":
            return _Constant(message.constant_sampler.decision)
        if kind == "probability_sampler":
            probability = message.probability_sampler.samplingProbability
            if not 0 <= probability <= 1:
                raise ValueError(f"a sampling probability of {probability} is not between 0 and 1")
            return _Probability(probability)
        if kind == "rate_limiting_sampler":
            return _RateLimit(message.rate_limiting_sampler.qps, self._clock)
        return self._own


def _parent_is_sampled(span_context: Any) -> bool:
    return bool(span_context.trace_options.get_enabled())
