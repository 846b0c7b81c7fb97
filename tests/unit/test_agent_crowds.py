"""Messages of very many things are counted before they are read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.agent import crowds
from tests.shared.agent_messages import metric, metrics_request, span, spans_request
from tests.unit.agent_stores import EMPTY_EVENTS


@pytest.mark.parametrize(
    "request_, expected",
    [
        pytest.param(spans_request(), 0, id="nothing"),
        pytest.param(spans_request(span(), span()), 2, id="spans"),
        pytest.param(spans_request(span(time_events=EMPTY_EVENTS)), 50_001, id="a span of many events"),
        pytest.param(
            spans_request(span(stack_trace={"stack_frames": {"frame": [{}] * 3}}, links={"link": [{}] * 2})),
            6,
            id="all",
        ),
    ],
)
def test_spans_and_what_they_hold_are_counted(request_: Any, expected: int) -> None:
    assert crowds.spans_items(request_) == expected


def test_metrics_and_what_they_hold_are_counted() -> None:
    message = metric()
    message.timeseries.add().points.add()
    message.timeseries.add()
    assert crowds.metrics_items(metrics_request(message, metric())) == 6 + 3


@given(
    st.lists(
        st.sampled_from([b"\x12\x00", b"\xbd\x01abcd", b"\x08\x80\x01", b"\x3d1234", b"\x3912345678", b"\x82\x7d\x01a"])
    )
)
def test_fields_are_counted_without_reading_them(fields: list[bytes]) -> None:
    message = b"".join(fields)
    assert crowds.has_more_fields(message, len(fields) - 1)
    assert not crowds.has_more_fields(message, len(fields))


@given(st.binary(max_size=40), st.integers(0, 3))
def test_counting_fields_of_anything_ends(message: bytes, most: int) -> None:
    crowds.has_more_fields(message, most)
