"""The parts of a probe that need no socket: what others are recognised by, what a finding says, how it is shown."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.errors import TlsError
from puremux.probe.checklist import Options, probe
from puremux.probe.conversation import Answer
from puremux.probe.findings import Finding, Mark, can_export, failed, found, left_out, printable
from puremux.probe.recognise import recognise
from puremux.probe.render import renderer
from puremux.probe.sentences import IN_OPTIONS, advise
from puremux.probe.services import CONFIG, HEALTH, METRICS, OTLP_TRACES, TRACES, judge, services, verdict
from puremux.proto import health_pb2, trace_service_pb2
from puremux.protocol.events import CallEnded
from puremux.status import StatusCode

SERVICE = {service.name: service for service in services()}


@pytest.mark.parametrize(
    "data, name, first_line",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\nServer: x", "HTTP/1.1", "HTTP/1.1 400 Bad Request", id="HTTP/1.1"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH", "SSH-2.0-OpenSSH_9.2p1", id="SSH"),
        pytest.param(b"220 mail.example ESMTP\r\n", "SMTP", "220 mail.example ESMTP", id="SMTP"),
        pytest.param(b"220 (vsFTPd 3.0)\r\n", "FTP", "220 (vsFTPd 3.0)", id="FTP"),
        pytest.param(b"* OK ready\r\n", "IMAP", "* OK ready", id="IMAP"),
        pytest.param(b"+OK\r\n", "POP3", "+OK", id="POP3"),
        pytest.param(b"-ERR unknown command 'PRI'\r\n", "Redis's protocol", "-ERR unknown command 'PRI'", id="Redis"),
        pytest.param(b"AMQP\x00\x00\x09\x01", "AMQP", "", id="AMQP"),
        pytest.param(b"J\0\0\0\x0a8.0.36\0", "MySQL's protocol", "", id="MySQL"),
        pytest.param(b"\x15\x03\x03\0\x02\x02\x28", "TLS", "", id="a TLS alert"),
        pytest.param(b"\n<!DOCTYPE html><p>", "HTTP/0.9", "", id="a page without a head"),
    ],
)
def test_others_are_recognised(data: bytes, name: str, first_line: str) -> None:
    other = recognise(data)
    assert other is not None
    assert (other.name, other.first_line) == (name, first_line)


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x04\0\0\0\0\0", b"HTTP", b"\x15\x02\x01", b"hello"])
def test_nobody_is_recognised_who_is_not_known(data: bytes) -> None:
    assert recognise(data) is None


@given(st.binary(max_size=200))
def test_whatever_comes_is_shown_harmlessly(data: bytes) -> None:
    other = recognise(data)
    assert other is None or other.first_line == "" or other.first_line.isprintable()
    assert printable(data.decode("latin-1")).isprintable()


def test_a_long_text_is_cut() -> None:
    assert printable("x" * 1000) == "x" * 300 + "…"


def test_a_sentence_is_cut_in_two() -> None:
    assert advise("No connection to a:1: b refused, c refused; is the server running there?") == (
        "No connection to a:1: b refused, c refused",
        "Start the server there, or correct the port.",
    )
    assert advise("the connection was lost: the other side has reset it.") == (
        "the connection was lost: the other side has reset it",
        "Look into the server's log.",
    )


def test_advice_for_programs_is_told_in_options() -> None:
    """Each sentence that is translated is one that the floors below do say."""
    from puremux.transport import dial, tls

    said = " ".join([*tls.UNTRUSTED.values(), *tls.TO_CLIENTS.values(), dial.IS_IT_RUNNING])
    said += str(TlsError("a", "…; use a name that it has as the address."))
    assert [phrase for phrase in IN_OPTIONS if phrase not in said] == []


# What an answer says of a service


def ended(code: StatusCode, details: str = "", *messages: bytes) -> Answer:
    return Answer(CallEnded(1, code, details), list(messages), 0.001)


SERVING = health_pb2.HealthCheckResponse(status=1).SerializeToString()
NOT_SERVING = health_pb2.HealthCheckResponse(status=2).SerializeToString()


@pytest.mark.parametrize(
    "service, answer, mark, words",
    [
        pytest.param(TRACES, ended(StatusCode.OK), Mark.FOUND, "served", id="served"),
        pytest.param(TRACES, ended(StatusCode.UNIMPLEMENTED, "no"), Mark.LEFT_OUT, "not served", id="not served"),
        pytest.param(TRACES, ended(StatusCode.UNAVAILABLE, "away"), Mark.FAILED, "UNAVAILABLE: away", id="refused"),
        pytest.param(TRACES, Answer(None, [], 5.0), Mark.FAILED, "no answer within 5.0 s", id="silent"),
        pytest.param(CONFIG, ended(StatusCode.UNKNOWN, "unimplemented"), Mark.LEFT_OUT, "not served", id="real agents"),
        pytest.param(HEALTH, ended(StatusCode.OK, "", SERVING), Mark.FOUND, "SERVING", id="healthy"),
        pytest.param(HEALTH, ended(StatusCode.OK, "", NOT_SERVING), Mark.FAILED, "NOT_SERVING", id="not healthy"),
        pytest.param(HEALTH, ended(StatusCode.OK, "", b"\xff"), Mark.LEFT_OUT, "cannot be read", id="garbage"),
        pytest.param(HEALTH, ended(StatusCode.OK), Mark.LEFT_OUT, "cannot be read", id="no message"),
        pytest.param(TRACES, ended(StatusCode.INTERNAL, "\x1b[2J"), Mark.FAILED, "·[2J", id="hostile to terminals"),
    ],
)
def test_what_an_answer_says(service: str, answer: Answer, mark: Mark, words: str) -> None:
    finding = judge(SERVICE[service], answer)
    assert finding.mark is mark and words in finding.says
    assert bool(finding.advice) is (mark is Mark.FAILED)


@pytest.mark.parametrize("name", [TRACES, METRICS, CONFIG])
def test_what_is_asked_leaves_a_node_and_nothing_else(name: str) -> None:
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(SERVICE[name].request)
    assert request.node.service_info.name == "puremux-probe"
    assert [field.name for field, _ in request.ListFields()] == ["node"]


@pytest.mark.parametrize(
    "findings, mark, words",
    [
        pytest.param([found(TRACES, "")], Mark.FOUND, "OpenCensus traces can", id="traces"),
        pytest.param([found(TRACES, ""), found(METRICS, "")], Mark.FOUND, "traces and metrics", id="both"),
        pytest.param([failed("certificate", "", ""), found(TRACES, "")], Mark.LEFT_OUT, "once", id="not yet"),
        pytest.param([left_out(TRACES, ""), found(OTLP_TRACES, "")], Mark.FAILED, "OTLP port", id="OTLP"),
        pytest.param([left_out(TRACES, ""), left_out(METRICS, "")], Mark.FAILED, "no service", id="another server"),
    ],
)
def test_the_verdict(findings: list[Finding], mark: Mark, words: str) -> None:
    (finding,) = verdict(findings)
    assert finding.mark is mark and words in finding.says
    assert can_export([*findings, finding]) is (mark is Mark.FOUND)


@pytest.mark.parametrize("findings", [[], [failed("name", "", "")], [failed(TRACES, "silent", "")]])
def test_there_is_no_verdict_on_what_was_not_seen(findings: list[Finding]) -> None:
    assert list(verdict(findings)) == []


# Addresses and options


def test_an_address_that_cannot_be_read_is_a_finding() -> None:
    (finding,) = probe("127.0.0.1:http")
    assert (finding.step, finding.mark) == ("address", Mark.FAILED)
    assert '"http" is not a number' in finding.says and finding.advice.startswith("Expected")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"timeout": 0.0}, id="no time"),
        pytest.param({"timeout": float("nan")}, id="a time that is no number"),
        pytest.param({"timeout": float("inf")}, id="a time without end"),
        pytest.param({"authority": "grün.example"}, id="a name that HTTP/2 cannot carry"),
        pytest.param({"key": "key.pem"}, id="a key alone"),
        pytest.param({"insecure": True, "ca": "ca.pem"}, id="plaintext with certificates"),
        pytest.param({"ca": "/no/such/file"}, id="a file that is not there"),
        pytest.param({"cert": "/no/such/file"}, id="a certificate that is not there"),
        pytest.param({"authority": "a b"}, id="a name that is none"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="."):
        Options(**options)


# The screen

FINDING = failed("name", "it “fails” – \x07", "Do this.", milliseconds=1.5)


class Output(io.TextIOWrapper):
    """What a program writes to."""

    def __init__(self, encoding: str, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding)
        self.isatty = lambda: terminal  # type: ignore[method-assign]  # a stand-in

    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]  # it is a BytesIO


@pytest.mark.parametrize("encoding, mark", [("utf-8", "✗ name"), ("ascii", "!! name"), ("latin-1", "!! name")])
def test_a_finding_is_shown_whatever_the_output_can_write(encoding: str, mark: str) -> None:
    output = Output(encoding)
    renderer(output)(FINDING)
    assert output.text().startswith(mark) and output.text().endswith("Do this.\n")


def test_a_terminal_has_colours() -> None:
    pytest.importorskip("rich")
    output = Output("utf-8", terminal=True)
    renderer(output)(found("name", "[bold]it does[/bold]"))
    output.flush()
    assert "✓" in output.text() and "[bold]it does[/bold]" in output.text()


def test_a_finding_is_json() -> None:
    assert json.loads(json.dumps(FINDING.as_json())) == {
        "step": "name",
        "outcome": "failed",
        "says": FINDING.says,
        "advice": "Do this.",
        "details": {"milliseconds": 1.5},
    }
