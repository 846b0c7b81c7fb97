"""Spans as JSON lines: all that a span says, one write a request, and what happens when a write fails."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.agent import spanlog
from puremux.agent.refusal import ListenerFailed
from puremux.agent.spanjson import span_record
from puremux.agent.spanlog import SpanLog
from puremux.agent.views import SpansReceived
from puremux.proto.trace_pb2 import AttributeValue, Module, Span, StackTrace, Status, TruncatableString
from puremux.proto.well_known_pb2 import BoolValue, Timestamp, UInt32Value
from tests.shared.agent_messages import node, resource, span, spans_request

Event = Span.TimeEvent


def text(value: str, cut: int = 0) -> TruncatableString:
    return TruncatableString(value=value, truncated_byte_count=cut)


def attributes(dropped: int = 0, **values: Any) -> Span.Attributes:
    return Span.Attributes(attribute_map=values, dropped_attributes_count=dropped)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SpanLog]:
    opened = SpanLog(str(tmp_path / "spans.jsonl"))
    yield opened
    opened.close()


def received(*spans: Span) -> SpansReceived:
    return SpansReceived(node(), resource("k8s", pod="p"), spans_request(*spans))


def lines(log: SpanLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(log.path).read_text().split("\n") if line]


# What a line says


def test_a_full_span_is_written_whole() -> None:
    tracestate = Span.Tracestate(
        entries=[Span.Tracestate.Entry(key="b", value="2"), Span.Tracestate.Entry(key="a", value="1")]
    )
    frame = StackTrace.StackFrame(
        function_name=text("f"),
        original_function_name=text("_f"),
        file_name=text("x.py"),
        line_number=3,
        column_number=4,
        load_module=Module(module=text("m"), build_id=text("b")),
        source_version=text("v"),
    )
    full = Span(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        parent_span_id=b"\xff" * 8,
        tracestate=tracestate,
        name=text("Foo", 5),
        kind=Span.CLIENT,
        start_time=Timestamp(seconds=1_700_000_000, nanos=1),
        end_time=Timestamp(seconds=1_700_000_001, nanos=999_999_999),
        attributes=attributes(1, a=AttributeValue(int_value=-(2**63)), b=AttributeValue(double_value=1.0)),
        stack_trace=StackTrace(
            stack_frames=StackTrace.StackFrames(frame=[frame], dropped_frames_count=2), stack_trace_hash_id=2**64 - 1
        ),
        time_events=Span.TimeEvents(
            time_event=[
                Event(
                    time=Timestamp(seconds=1_700_000_000),
                    annotation=Event.Annotation(
                        description=text("note"), attributes=attributes(k=AttributeValue(bool_value=True))
                    ),
                ),
                Event(message_event=Event.MessageEvent(type=2, id=7, uncompressed_size=120, compressed_size=100)),
            ],
            dropped_annotations_count=3,
            dropped_message_events_count=4,
        ),
        links=Span.Links(
            link=[Span.Link(trace_id=b"\1" * 16, span_id=b"\2" * 8, type=2, tracestate=tracestate)],
            dropped_links_count=5,
        ),
        status=Status(code=5, message="not there"),
        same_process_as_parent_span=BoolValue(value=False),
        child_span_count=UInt32Value(value=0),
    )
    assert json.loads(json.dumps(span_record(full))) == {
        "trace_id": "000102030405060708090a0b0c0d0e0f",
        "span_id": "0001020304050607",
        "parent_span_id": "ffffffffffffffff",
        "tracestate": [["b", "2"], ["a", "1"]],
        "name": {"value": "Foo", "truncated_byte_count": 5},
        "kind": "CLIENT",
        "start_time": "2023-11-14T22:13:20.000000001Z",
        "end_time": "2023-11-14T22:13:21.999999999Z",
        "attributes": {"a": -(2**63), "b": 1.0},
        "dropped_attributes_count": 1,
        "stack_trace": {
            "frames": [
                {
                    "function_name": "f",
                    "original_function_name": "_f",
                    "file_name": "x.py",
                    "line_number": 3,
                    "column_number": 4,
                    "load_module": {"module": "m", "build_id": "b"},
                    "source_version": "v",
                }
            ],
            "dropped_frames_count": 2,
            "stack_trace_hash_id": 2**64 - 1,
        },
        "annotations": [{"time": "2023-11-14T22:13:20.000000000Z", "description": "note", "attributes": {"k": True}}],
        "message_events": [
            {"time": None, "type": "RECEIVED", "id": 7, "uncompressed_size": 120, "compressed_size": 100}
        ],
        "dropped_annotations_count": 3,
        "dropped_message_events_count": 4,
        "links": [
            {
                "trace_id": "01" * 16,
                "span_id": "02" * 8,
                "type": "PARENT_LINKED_SPAN",
                "attributes": {},
                "tracestate": [["b", "2"], ["a", "1"]],
            }
        ],
        "dropped_links_count": 5,
        "status": {"code": 5, "message": "not there"},
        "same_process_as_parent_span": False,
        "child_span_count": 0,
    }


def test_every_field_of_the_message_has_its_place() -> None:
    """A field that opencensus-proto has and the record has not would be lost in silence."""
    elsewhere = {"resource": "resource", "time_events": "annotations"}
    full = span(1, parent_span_id=b"p" * 8)
    for field in Span.DESCRIPTOR.fields:
        if field.message_type is not None and not full.HasField(field.name):
            getattr(full, field.name).SetInParent()
    full.time_events.time_event.add().annotation.SetInParent()
    record = {**span_record(full), "resource": None}
    assert {elsewhere.get(field.name, field.name) for field in Span.DESCRIPTOR.fields} <= set(record)


@pytest.mark.parametrize(
    "value, written",
    [
        pytest.param(AttributeValue(int_value=1), "1", id="int"),
        pytest.param(AttributeValue(double_value=1), "1.0", id="double"),
        pytest.param(AttributeValue(bool_value=True), "true", id="bool"),
        pytest.param(AttributeValue(string_value=text("1")), '"1"', id="text"),
        pytest.param(
            AttributeValue(string_value=text("1", 3)),
            '{"value": "1", "truncated_byte_count": 3}',
            id="a text cut short",
        ),
        pytest.param(AttributeValue(double_value=math.nan), '"NaN"', id="no number"),
        pytest.param(AttributeValue(double_value=math.inf), '"Infinity"', id="infinity"),
        pytest.param(AttributeValue(double_value=-math.inf), '"-Infinity"', id="minus infinity"),
        pytest.param(AttributeValue(), "null", id="none"),
    ],
)
def test_attributes_keep_their_types(value: AttributeValue, written: str) -> None:
    record = span_record(span(attributes=attributes(k=value)))
    assert json.dumps(record["attributes"], allow_nan=False) == f'{{"k": {written}}}'


def test_a_span_that_says_nothing_has_a_line_too(log: SpanLog) -> None:
    log.receive(received(Span()))
    (line,) = lines(log)
    assert line["name"] == line["trace_id"] == ""
    assert line["start_time"] is line["parent_span_id"] is line["status"] is None


def test_each_line_names_its_node_and_resource(log: SpanLog) -> None:
    log.receive(received(span(1), span(2, resource=resource("vm", zone="z"))))
    first, second = lines(log)
    assert first["node"] == second["node"]
    assert first["node"] == {
        "service": "shop",
        "host_name": "web-1",
        "pid": 7,
        "start_time": "2023-11-14T22:13:20.000000000Z",
        "language": "PYTHON",
        "exporter_version": "0.1",
        "core_library_version": "",
        "attributes": {},
    }
    assert first["resource"] == {"type": "k8s", "labels": {"pod": "p"}}
    assert second["resource"] == {"type": "vm", "labels": {"zone": "z"}}


@given(st.text(max_size=20), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1))
def test_hostile_spans_stay_on_one_line_of_ascii(name: str, number: int, seconds: int) -> None:
    message = span(name=name, kind=number, start_time=Timestamp(seconds=seconds, nanos=number))
    written = spanlog.span_lines(received(message))
    assert written.isascii()
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert json.loads(written)["name"] == name
    assert all(byte >= 0x20 for byte in written[:-1])


# Files


def test_spans_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    for number in (1, 2):
        log = SpanLog(str(path))
        log.receive(received(span(number)))
        log.close()
        log.close()
    assert [json.loads(line)["span_id"][-1] for line in path.read_text().splitlines()] == ["1", "2"]


def test_a_request_is_one_write(log: SpanLog, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: sizes.append(len(data)) or write(descriptor, data))
    log.receive(received(*map(span, range(1, 200))))
    assert sizes == [Path(log.path).stat().st_size]
    assert (log.written, log.failed, log.last_error) == (199, 0, None)


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=rf"cannot write spans to {tmp_path}: Is a directory") as caught:
        SpanLog(str(tmp_path))
    assert caught.value.errno == errno.EISDIR


@pytest.mark.skipif(os.name != "posix", reason="modes and moves of open files are POSIX's")
class TestTheFile:
    """Its mode, and what becomes of it while the agent runs."""

    def test_a_new_one_is_for_its_owner_only(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            SpanLog(str(tmp_path / "spans.jsonl")).close()
        finally:
            os.umask(before)
        assert (tmp_path / "spans.jsonl").stat().st_mode & 0o777 == 0o600

    def test_one_that_is_there_keeps_its_mode(self, tmp_path: Path) -> None:
        path = tmp_path / "spans.jsonl"
        path.touch(0o640)
        path.chmod(0o640)
        SpanLog(str(path)).close()
        assert path.stat().st_mode & 0o777 == 0o640

    def test_after_it_was_moved_away_a_new_one_is_made(self, log: SpanLog, tmp_path: Path) -> None:
        log.receive(received(span(1)))
        Path(log.path).rename(tmp_path / "old")
        log.receive(received(span(2)))
        assert [each["span_id"][-1] for each in lines(log)] == ["2"]
        assert len((tmp_path / "old").read_text().splitlines()) == 1

    def test_after_another_took_its_place_that_is_written(self, log: SpanLog, tmp_path: Path) -> None:
        log.receive(received(span(1)))
        (tmp_path / "new").write_text("")
        (tmp_path / "new").rename(log.path)
        log.receive(received(span(2)))
        assert [each["span_id"][-1] for each in lines(log)] == ["2"]

    def test_without_a_place_for_it_spans_are_refused_until_there_is_one(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        log = SpanLog(str(folder / "spans.jsonl"))
        (folder / "spans.jsonl").unlink()
        folder.rmdir()
        with pytest.raises(ListenerFailed, match=r"cannot be written to .*: cannot write spans to .*: No such file"):
            log.receive(received(span(1)))
        folder.mkdir()
        log.receive(received(span(2)))
        assert [each["span_id"][-1] for each in lines(log)] == ["2"]
        log.close()

    def test_a_line_that_an_earlier_run_did_not_end_spoils_no_other(self, tmp_path: Path) -> None:
        path = tmp_path / "spans.jsonl"
        path.write_text('{"trace_id": "00')
        log = SpanLog(str(path))
        log.receive(received(span(2)))
        log.close()
        assert json.loads(path.read_text().splitlines()[1])["span_id"][-1] == "2"


def test_standard_output_by_a_dash(capfd: pytest.CaptureFixture[str]) -> None:
    log = SpanLog("-")
    log.receive(received(span()))
    log.close()
    print("it is still open")  # noqa: T201
    written = capfd.readouterr().out.split("\n")
    assert json.loads(written[0])["name"] == "Foo"
    assert written[1] == "it is still open"


# When it cannot be written


class FullDisk:
    """An ``os.write`` for a disk that has room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def __call__(self, descriptor: int, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_refuses_the_request_and_is_said_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    log = SpanLog(str(tmp_path / "spans.jsonl"), clock=lambda: now[0])
    monkeypatch.setattr(os, "write", FullDisk(0))
    with caplog.at_level(logging.WARNING):
        for moment in (0, 1, 59, 60):
            now[0] = moment
            with pytest.raises(ListenerFailed, match=r"cannot be written to .*spans.jsonl: No space left on device"):
                log.receive(received(span(1), span(2)))
    log.close()
    assert (log.written, log.failed) == (0, 8)
    assert "No space left" in str(log.last_error)
    assert len(caplog.records) == 2
    assert "2 more" in caplog.messages[1]


@pytest.mark.parametrize("room", [1, 100, 599, 600, 700])
def test_after_a_torn_line_the_next_begins_anew(log: SpanLog, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", FullDisk(room))
        with pytest.raises(ListenerFailed):
            log.receive(received(span(1), span(2)))
    log.receive(received(span(1), span(2)))
    whole = []
    for line in Path(log.path).read_text().splitlines():
        try:
            whole.append(json.loads(line)["span_id"][-1])
        except ValueError:
            pass  # the torn one
    assert whole[-2:] == ["1", "2"]
    assert log.written == 2


def test_a_write_that_takes_nothing_is_a_failure(log: SpanLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda descriptor, data: 0)
    with pytest.raises(ListenerFailed, match="takes no more bytes"):
        log.receive(received(span()))


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[SpanLog, int]]:
    """A log that writes into a named pipe, and the end that reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    log = SpanLog(str(path))
    yield log, reading
    log.close()
    os.close(reading)


needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")


@needs_fifo
def test_a_pipe_is_written_while_somebody_reads(pipe: tuple[SpanLog, int]) -> None:
    log, reading = pipe
    chunks: list[bytes] = []

    def read() -> None:
        while sum(chunk.count(b"\n") for chunk in chunks) < 1_000:
            chunks.append(os.read(reading, 10_000))

    reader = threading.Thread(target=read)
    reader.start()
    log.receive(received(*map(span, range(1, 1_001))))  # much more than a pipe holds
    reader.join()
    assert [int(json.loads(line)["span_id"], 16) for line in b"".join(chunks).splitlines()] == list(range(1, 1_001))


@needs_fifo
def test_a_pipe_that_nobody_reads_from_does_not_hold_the_agent_up(
    pipe: tuple[SpanLog, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spanlog, "PATIENCE", 0.05)
    log, _ = pipe
    with pytest.raises(ListenerFailed, match="nobody has read from it"):
        log.receive(received(*map(span, range(1, 1_001))))
    assert (log.written, log.failed) == (0, 1_000)


@needs_fifo
def test_a_pipe_without_a_reader_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="cannot write spans to"):
        SpanLog(str(path))


def test_dev_null_takes_all() -> None:
    log = SpanLog(os.devnull)
    log.receive(received(span()))
    log.close()
    assert log.written == 1
