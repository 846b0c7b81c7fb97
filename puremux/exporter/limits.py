"""How much of a span is sent: counts of its parts, bytes of its texts.

Floor 4, exporter: imports checks and the standard library only.
Source: opencensus.trace.span and Go's trace.Config for the counts; MAX_FRAMES of opencensus.trace.stack_trace.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..checks import shown

__all__ = ["DEFAULT_LIMITS", "SpanLimits"]


MOST = 2**63 - 1  # what the agent can be told: its TraceConfig has 64 bits for each


class _Limits(NamedTuple):
    max_attributes: int
    max_annotations: int
    max_message_events: int
    max_links: int
    max_stack_frames: int
    max_string_bytes: int


class SpanLimits(_Limits):
    """What a span may hold on the wire; what is left out is counted in the span itself.

    Of too many parts the newest are kept, as OpenCensus's own tracer does.  0 keeps none.

    Args:
        max_attributes: attributes of a span, and of each of its annotations and links.
        max_annotations: annotations of a span.
        max_message_events: message events of a span.
        max_links: links of a span.
        max_stack_frames: frames of a span's stack trace.
        max_string_bytes: bytes of UTF-8 of each text: name, key, value, description.  Longer ones are cut between two
            characters.
    Raises:
        ValueError: a limit is not a whole number from 0 to ``sys.maxsize``.
    """

    __slots__ = ()

    def __new__(
        cls,
        max_attributes: int = 32,
        max_annotations: int = 32,
        max_message_events: int = 128,
        max_links: int = 32,
        max_stack_frames: int = 128,
        max_string_bytes: int = 16 * 1024,
    ) -> SpanLimits:
        """Check each limit."""
        limits = super().__new__(
            cls, max_attributes, max_annotations, max_message_events, max_links, max_stack_frames, max_string_bytes
        )
        for name, limit in limits._asdict().items():
            if not isinstance(limit, int) or not 0 <= limit <= MOST:
                raise ValueError(f"SpanLimits: {name} takes a whole number from 0 to {MOST}, not {shown(limit)}")
        return limits

    def with_trace_config(self, config: Any) -> SpanLimits:
        """These limits, changed by what an agent's TraceConfig sets.

        Args:
            config: a ``TraceConfig`` message.  Its fields can't tell 0 from "not set": zero and less change nothing.
        """
        wanted = {
            "max_attributes": config.max_number_of_attributes,
            "max_annotations": config.max_number_of_annotations,
            "max_message_events": config.max_number_of_message_events,
            "max_links": config.max_number_of_links,
        }
        return self._replace(**{name: limit for name, limit in wanted.items() if limit > 0})


DEFAULT_LIMITS = SpanLimits()
