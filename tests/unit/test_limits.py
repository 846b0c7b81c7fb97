"""Span limits: their defaults, what they take, and what an agent changes."""

from __future__ import annotations

from typing import Any

import pytest
from opencensus.trace import span, stack_trace

from puremux.exporter.limits import DEFAULT_LIMITS, SpanLimits
from puremux.proto import trace_config_pb2


def test_the_defaults_are_those_of_opencensus() -> None:
    assert DEFAULT_LIMITS.max_attributes == span.MAX_NUM_ATTRIBUTES
    assert DEFAULT_LIMITS.max_annotations == span.MAX_NUM_ANNOTATIONS
    assert DEFAULT_LIMITS.max_message_events == span.MAX_NUM_MESSAGE_EVENTS
    assert DEFAULT_LIMITS.max_links == span.MAX_NUM_LINKS
    assert DEFAULT_LIMITS.max_stack_frames == stack_trace.MAX_FRAMES


@pytest.mark.parametrize("wrong", [-1, 1.5, "1", None])
def test_a_limit_that_is_none_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(ValueError, match="max_links takes a whole number"):
        SpanLimits(max_links=wrong)


def test_an_agent_changes_what_it_sets_and_nothing_else() -> None:
    own = SpanLimits(max_links=5, max_string_bytes=7)
    config = trace_config_pb2.TraceConfig(max_number_of_attributes=3, max_number_of_annotations=-1)
    assert own.with_trace_config(config) == SpanLimits(max_attributes=3, max_links=5, max_string_bytes=7)


def test_an_agent_may_change_all_four_counts() -> None:
    config = trace_config_pb2.TraceConfig(
        max_number_of_attributes=1,
        max_number_of_annotations=2,
        max_number_of_message_events=3,
        max_number_of_links=4,
    )
    assert SpanLimits().with_trace_config(config) == SpanLimits(1, 2, 3, 4)
