"""A sampler, and span limits, that follow what the agent's Config stream asks for.

Floor 4, exporter: imports limits, ``puremux.proto`` and the standard library.
Source: opencensus-proto's TraceConfig; opencensus.trace.samplers, whose interface and trace-id rule it keeps, so that
``Tracer(sampler=exporter.sampler)`` works, and services agree on which traces to keep.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Protocol

from ..proto import trace_config_pb2
from .limits import DEFAULT_LIMITS, SpanLimits

__all__ = ["AgentSampler"]

DEFAULT_PROBABILITY = 1e-4  # opencensus.trace.samplers.DEFAULT_SAMPLING_RATE
LOWER_HALF = 2**64 - 1
LARGEST = 0xFFFFFFFFFFFFFFFF

ALWAYS_OFF = trace_config_pb2.ConstantSampler.ALWAYS_OFF
ALWAYS_ON = trace_config_pb2.ConstantSampler.ALWAYS_ON
ALWAYS_PARENT = trace_config_pb2.ConstantSampler.ALWAYS_PARENT


class Sampler(Protocol):
    """opencensus.trace.samplers.Sampler."""

    def should_sample(self, span_context: Any) -> bool:
        """Whether the trace that the context belongs to is to be kept."""


@dataclass(frozen=True)
class _Constant:
    decision: int

    def should_sample(self, span_context: Any) -> bool:
        if self.decision == ALWAYS_PARENT:
            return _parent_is_sampled(span_context)
        return self.decision == ALWAYS_ON

    def describe(self, config: trace_config_pb2.TraceConfig) -> None:
        config.constant_sampler.decision = self.decision


@dataclass(frozen=True)
class _Probability:
    """Keeps a trace when the lower half of its id, as a number, lies below the bound: the rule of all OpenCensus's."""

    probability: float

    def should_sample(self, span_context: Any) -> bool:
        if _parent_is_sampled(span_context):
            return True
        return int(span_context.trace_id, 16) & LOWER_HALF <= self.probability * LARGEST

    def describe(self, config: trace_config_pb2.TraceConfig) -> None:
        config.probability_sampler.samplingProbability = self.probability


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

    def describe(self, config: trace_config_pb2.TraceConfig) -> None:
        config.rate_limiting_sampler.qps = self._qps


class _Own:
    """The application's own sampler; what is known of its kind is told to the agent."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(self, span_context: Any) -> bool:
        return self._sampler.should_sample(span_context)

    def describe(self, config: trace_config_pb2.TraceConfig) -> None:
        try:
            rate = getattr(self._sampler, "rate", None)
        except Exception:  # noqa: BLE001  the application's own, which may raise anything; then the agent is told nothing
            rate = None
        constant = {"AlwaysOnSampler": ALWAYS_ON, "AlwaysOffSampler": ALWAYS_OFF}.get(type(self._sampler).__name__)
        if constant is not None:
            config.constant_sampler.decision = constant
        elif isinstance(rate, (int, float)) and 0 <= rate <= 1:
            config.probability_sampler.samplingProbability = rate


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
        message = trace_config_pb2.TraceConfig.FromString(config)
        rule = self._rule_in(message)
        self.limits = self._own_limits.with_trace_config(message)
        self._rule = rule

    def current(self) -> bytes:
        """The serialized TraceConfig of what is in force."""
        message = trace_config_pb2.TraceConfig(
            max_number_of_attributes=self.limits.max_attributes,
            max_number_of_annotations=self.limits.max_annotations,
            max_number_of_message_events=self.limits.max_message_events,
            max_number_of_links=self.limits.max_links,
        )
        self._rule.describe(message)
        return message.SerializeToString()

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
