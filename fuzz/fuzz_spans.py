"""Whatever shape a span has, the direct encoder and the generated classes write the same bytes, or both refuse it.

They also agree on what could not be sent as it was, and neither raises anything but ValueError.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Callable

from google.protobuf.internal import api_implementation
from hypothesis import given
from hypothesis import strategies as st

from puremux.exporter.limits import SpanLimits
from puremux.exporter.reading import Defects, SpanShape
from puremux.exporter.spans import SpanEncoder
from puremux.exporter.spans_pb import span_message
from puremux.proto.trace_service_pb2 import ExportTraceServiceRequest


class Hostile:
    """Raises where it is to be sent."""

    def __str__(self) -> str:
        raise RuntimeError("str")

    def __repr__(self) -> str:  # needed for hypothesis, to show what it has found
        return "Hostile()"

    def __int__(self) -> int:
        raise RuntimeError("int")


class Text(str):
    __slots__ = ()


class Whole(int):
    def __str__(self) -> str:
        return "not its digits"


class Bounded(list):  # type: ignore[type-arg]  # as opencensus's BoundedList: it knows what it has dropped
    dropped: Any = 0


class BoundedMap(dict):  # type: ignore[type-arg]  # as its BoundedDict
    dropped: Any = 0


class TracersList(Bounded):  # as the tracer's own: with what it keeps its parts in
    @property
    def _dq(self) -> deque[Any]:
        return deque(self)


class TracersMap(BoundedMap):
    @property
    def _dict(self) -> OrderedDict[Any, Any]:
        return OrderedDict(self)


EDGES = [0, 1, -1, 2047, 2048, 2**14, 2**21 - 1, 2**28, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, -(2**63), 2**64]
edges = st.sampled_from(EDGES)
numbers = st.one_of(st.integers(0, 300), edges, st.integers(), edges.map(Whole))
texts = st.one_of(
    st.sampled_from(["", "GET", "http.method", "\ud800", "?", "a\udc00b", "\U0001f600" * 50]),
    st.text(st.characters(exclude_categories=()), max_size=20),
    st.text(max_size=5).map(Text),
    st.integers(100, 300).map("é".__mul__),
)
odd = st.sampled_from([None, b"bytes", (), [1], {"a": 1}, Decimal("1.5"), 1.5, float("nan"), float("inf"), True])
anything = st.one_of(odd, numbers, texts, st.floats(), st.builds(Hostile), st.sampled_from([10**5000, object]))


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, usual, anything)


def hexadecimal(size: int) -> st.SearchStrategy[Any]:
    usual = st.binary(min_size=size, max_size=size).map(bytes.hex)
    wrong = st.one_of(anything, st.binary(max_size=size + 1).map(bytes.hex))
    return st.integers(0, 30).flatmap(lambda chance: usual if chance else wrong)


zones = st.one_of(st.none(), st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))))
moments = st.one_of(st.datetimes(timezones=zones), st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)))
times = st.one_of(
    moments.map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
    moments.map(datetime.isoformat),
    moments,
    st.sampled_from(["2026-11-23T10:20:30Z", "2026-11-23T10:20:30.0000001Z", "1970-01-01T00:00:00.000000Z"]),
    st.sampled_from(["2026-11-23T10:20:60.5Z", "126-11-23T10:20:30Z.123456Z", "2026-13-23T10:20:30.123456Z"]),
)


@st.composite
def counted(draw: st.DrawFn, parts: st.SearchStrategy[Any]) -> Any:
    """A list that may have dropped some, an ordinary one, or None."""
    made = Bounded(draw(st.lists(parts, max_size=4)))
    made.dropped = draw(st.one_of(st.just(0), numbers, odd))
    return draw(st.sampled_from([made, made, list(made), tuple(made), None]))


@st.composite
def attribute_maps(draw: st.DrawFn) -> Any:
    values = st.one_of(texts, numbers, st.booleans(), st.floats(), anything)
    keys = st.one_of(texts, texts, texts, st.sampled_from([None, 1, True, (), b"k"]))
    made = BoundedMap(draw(st.dictionaries(keys, values, max_size=6)))
    made.dropped = draw(st.one_of(st.just(0), numbers))
    return draw(st.sampled_from([made, dict(made), None]))


attribute_sets = st.one_of(attribute_maps(), attribute_maps().map(lambda inner: SimpleNamespace(attributes=inner)))


def thing(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[SimpleNamespace]:
    """An object with such attributes."""
    return st.fixed_dictionaries(fields).map(lambda made: SimpleNamespace(**made))


tracestates = st.one_of(st.none(), st.dictionaries(texts, texts, max_size=3))
annotations = thing(timestamp=mostly(times), description=mostly(texts), attributes=attribute_sets)
message_events = thing(
    timestamp=mostly(times),
    type=mostly(st.integers(-1, 4)),
    id=mostly(numbers),
    uncompressed_size_bytes=mostly(numbers),
    compressed_size_bytes=mostly(numbers),
)
links = thing(
    trace_id=hexadecimal(16),
    span_id=hexadecimal(8),
    type=mostly(st.integers(-1, 4)),
    attributes=attribute_sets,
    tracestate=tracestates,
)
frames = thing(
    func_name=mostly(texts),
    original_func_name=mostly(texts),
    file_name=mostly(texts),
    line_num=mostly(numbers),
    col_num=mostly(numbers),
    load_module=mostly(texts),
    build_id=mostly(texts),
    source_version=mostly(texts),
)
cut_texts = st.fixed_dictionaries({"value": mostly(texts), "truncated_byte_count": mostly(numbers)})
formatted_frames = st.fixed_dictionaries(
    {},
    optional={
        "function_name": cut_texts,
        "original_function_name": cut_texts,
        "file_name": cut_texts,
        "line_number": mostly(numbers),
        "column_number": mostly(numbers),
        "load_module": st.fixed_dictionaries({}, optional={"module": cut_texts, "build_id": cut_texts}),
        "source_version": mostly(texts),
    },
)
stack_traces = thing(
    stack_frames=counted(mostly(st.one_of(frames, formatted_frames))),
    dropped_frames_count=mostly(numbers),
    stack_trace_hash_id=mostly(numbers),
)
spans = st.builds(
    SpanShape,
    name=mostly(texts),
    context=thing(trace_id=hexadecimal(16), tracestate=tracestates),
    span_id=hexadecimal(8),
    parent_span_id=st.one_of(st.none(), hexadecimal(8)),
    attributes=attribute_sets,
    start_time=mostly(times),
    end_time=mostly(times),
    child_span_count=mostly(st.integers(0, 300)),
    stack_trace=st.one_of(st.none(), stack_traces),
    annotations=counted(mostly(annotations)),
    message_events=counted(mostly(message_events)),
    links=counted(mostly(links)),
    status=st.one_of(st.none(), thing(code=mostly(st.integers(0, 16)), message=mostly(texts))),
    same_process_as_parent_span=mostly(st.sampled_from([None, True, False])),
    span_kind=mostly(st.integers(-1, 4)),
)


# Spans such as a tracer makes, now and then with something odd in them: these take the encoder's short way.


def nearly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 30).flatmap(lambda chance: usual if chance else anything)


def held(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[TracersList]:
    return st.lists(parts, max_size=3).map(TracersList)


moment_texts = st.builds(
    lambda second, micros: f"2026-11-23T10:20:{second:02}.{micros:06}Z",
    st.integers(0, 60),
    st.one_of(st.integers(3000, 268_000), st.integers(269_000, 999_999), st.integers(0, 999_999)),
)
short_texts = st.one_of(st.sampled_from(["", "GET", "é" * 70, "x" * 127, "x" * 128, "y" * 2100]), st.text(max_size=9))
sizes = st.one_of(st.integers(0, 5000), st.sampled_from([number for number in EDGES if number >= 0]))
values = st.one_of(short_texts, sizes, st.booleans(), st.floats())
plain_maps = st.dictionaries(short_texts, nearly(values), max_size=4)
ordinary_spans = st.builds(
    SpanShape,
    name=nearly(short_texts),
    context=thing(trace_id=hexadecimal(16), tracestate=st.none()),
    span_id=hexadecimal(8),
    parent_span_id=st.one_of(st.none(), hexadecimal(8)),
    attributes=plain_maps.map(TracersMap),
    start_time=nearly(moment_texts),
    end_time=nearly(moment_texts),
    child_span_count=st.integers(0, 300),
    stack_trace=st.none(),
    annotations=held(
        thing(
            timestamp=nearly(moment_texts),
            description=nearly(short_texts),
            attributes=nearly(plain_maps.map(lambda inner: SimpleNamespace(attributes=inner))),
        )
    ),
    message_events=held(
        thing(
            timestamp=nearly(moment_texts),
            type=nearly(st.integers(0, 2)),
            id=nearly(sizes),
            uncompressed_size_bytes=nearly(sizes),
            compressed_size_bytes=nearly(sizes),
        )
    ),
    links=st.just(TracersList()),
    status=thing(code=st.integers(0, 16), message=st.sampled_from([None, "", "OK"])),
    same_process_as_parent_span=st.sampled_from([None, True, False]),
    span_kind=st.integers(0, 2),
)

limits = st.one_of(
    st.just(SpanLimits()),
    st.builds(
        SpanLimits, *[st.integers(0, 3)] * 5, max_string_bytes=st.one_of(st.integers(0, 10), st.integers(0, 300))
    ),
)


def is_written_alike(ours: bytes, theirs: bytes, message: Any) -> bool:
    """Equal; or under protobuf's C core, equal but for the order of a map in which one key begins another.

    The C core puts the longer of two such keys first; the Python implementation, and we, the shorter.
    """
    if ours == theirs or api_implementation.Type() == "python":
        return ours == theirs
    return sorted(ours) == sorted(theirs) and message.FromString(ours).SerializeToString(deterministic=True) == theirs


def outcome(encode: Callable[[], bytes], defects: Defects) -> tuple[bytes | None, Any]:
    """What is written, and the defects that were counted; for what is refused None, and nothing."""
    try:
        return encode(), defects.counts
    except ValueError:
        return None, None


def agree(
    make: Callable[[Defects], Callable[[Any], bytes]],
    items: Iterable[Any],
    message: Any,
    oracle: Callable[[Any, Defects], Any],
) -> None:
    """One encoder does with each item what the oracle does, whatever its caches have of those before."""
    again = Defects()
    encode = make(again)
    for item in items:
        defects = Defects()
        expected, counted = outcome(lambda: oracle(item, defects).SerializeToString(deterministic=True), defects)  # noqa: B023
        again.counts.clear()
        written, counts = outcome(lambda: encode(item), again)  # noqa: B023
        assert counts == counted
        assert written == expected or is_written_alike(written or b"", expected or b"", message)


any_spans = st.one_of(spans, ordinary_spans)


@given(any_spans, any_spans, limits)
def spans_agree(one: Any, other: Any, limit: SpanLimits) -> None:
    agree(
        lambda defects: SpanEncoder(limit, defects).field,
        [one, one, other, one],
        ExportTraceServiceRequest,
        lambda span, defects: ExportTraceServiceRequest(spans=[span_message(span, limit, defects)]),
    )


def check(data: bytes) -> None:
    spans_agree.hypothesis.fuzz_one_input(data)  # type: ignore[attr-defined]  # hypothesis adds it
