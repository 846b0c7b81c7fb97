"""``puremux probe`` against what may be at an address: agents, TLS of all kinds, other protocols, silence, nothing."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest
import trustme

from puremux.agent import Agent
from puremux.cli import main
from puremux.errors import ConnectError
from puremux.probe import Finding, Mark, Options, can_export, probe
from puremux.transport.tls import server_context
from tests.hostile.certificates import Contexts
from tests.hostile.scenarios import TABLE
from tests.hostile.server import HostileServer

from .grpc_server import GrpcServer

ROWS = {row.name: row for row in TABLE}
QUICK = 1.0
"""Seconds for a look at somebody who says nothing."""
PATIENT = 5.0
"""Seconds for a look at somebody who answers, on a busy machine."""


def look(address: str, **options: Any) -> dict[str, Finding]:
    """The findings by their steps, of which each is told once."""
    findings = list(probe(address, Options(**options)))
    steps = {finding.step: finding for finding in findings}
    assert len(steps) == len(findings)
    assert [finding.step for finding in findings if finding.mark is Mark.FAILED and not finding.advice] == []
    json.dumps([finding.as_json() for finding in findings])
    return steps


def failures(findings: dict[str, Finding]) -> list[str]:
    return [finding.step for finding in findings.values() if finding.mark is Mark.FAILED]


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent("127.0.0.1:0") as agent:
        yield agent


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """An authority, a server of its, and a client of its, as PEM files."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, host in (("server", "localhost"), ("client", "client.example")):
        authority.issue_cert(host, "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    return {name: str(tmp_path / f"{name}.pem") for name in ("ca", "server", "client")}


# An agent


def test_an_agent(agent: Agent) -> None:
    findings = look(agent.address)
    assert failures(findings) == [] and can_export(findings.values())
    assert {"OpenCensus traces", "OpenCensus metrics", "OpenCensus config", "health"} <= {
        step for step, finding in findings.items() if finding.mark is Mark.FOUND
    }
    assert findings["OTLP traces"].mark is Mark.LEFT_OUT
    assert findings["HTTP/2"].details["max_concurrent_streams"] == 100
    assert len(findings["round trip"].details["milliseconds"]) == 5
    assert findings["verdict"].says == "OpenCensus traces and metrics can be sent here"


def test_an_agent_is_left_without_a_trace_but_the_name(agent: Agent) -> None:
    look(agent.address)
    assert [client.identity.service_name for client in agent.store.clients()] == ["puremux-probe"]
    assert agent.store.recent_spans() == []
    assert [source for source in agent.store.metrics() if source.metrics] == []


def test_an_agent_on_a_unix_socket(tmp_path: Path) -> None:
    with Agent(f"unix:{tmp_path}/agent") as agent:
        findings = look(agent.address)
    assert can_export(findings.values())
    assert findings["name"].says == "a unix socket needs no look-up"


def test_an_agent_with_tls(files: dict[str, str]) -> None:
    with Agent("127.0.0.1:0", tls=server_context(files["server"])) as agent:
        findings = look(f"localhost:{agent.address.rpartition(':')[2]}", ca=files["ca"])
    assert can_export(findings.values())
    assert findings["TLS"].details["alpn"] == "h2"
    assert findings["client certificate"].says == "the server does without"
    certificate = findings["certificate"].details
    assert certificate["names"] == ["localhost", "127.0.0.1"] and certificate["valid_to"] > "2026"


def test_an_agent_that_wants_a_client_certificate(files: dict[str, str]) -> None:
    with Agent("127.0.0.1:0", tls=server_context(files["server"], client_ca=files["ca"])) as agent:
        without = look(agent.address, ca=files["ca"])
        shown = look(agent.address, ca=files["ca"], cert=files["client"])
    assert failures(without) == ["client certificate"]
    assert "--cert FILE" in without["client certificate"].advice
    assert can_export(shown.values())
    assert shown["client certificate"].says == "the server does not refuse ours"


def test_a_grpc_server_that_is_no_agent() -> None:
    with closing(GrpcServer()) as server:
        findings = look(server.target)
    assert failures(findings) == ["verdict"]
    assert "no service of an OpenCensus Agent" in findings["verdict"].says


# On the way


def test_a_name_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    findings = look("agent.example:55678", insecure=True)
    assert failures(findings) == ["name"] == list(findings)[-1:]
    assert findings["name"].advice == "Check the spelling of the name."


def test_a_name_with_several_addresses(agent: Agent, refused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(agent.address.rpartition(":")[2])
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in (refused_port, port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    findings = look("agent.example:55678", insecure=True)
    assert can_export(findings.values())
    assert [each["accepts"] for each in findings["connection"].details["attempts"]] == [False, True]


def test_a_closed_port(refused_port: int) -> None:
    findings = look(f"127.0.0.1:{refused_port}")
    assert failures(findings) == ["connection"] == list(findings)[-1:]
    assert "refused" in findings["connection"].says


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    findings = look(f"unix:{tmp_path}/agent")
    assert failures(findings) == ["connection"]
    assert "does not exist" in findings["connection"].says


def test_a_black_hole(black_hole: tuple[str, int]) -> None:
    findings = look("127.0.0.1:{1}".format(*black_hole), timeout=QUICK)
    assert failures(findings) == ["connection"]
    assert "did not answer in time" in findings["connection"].says


def test_a_server_that_goes_away_between_two_looks(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from puremux.probe import reach

    def gone(way: Any, timeout: float) -> None:
        raise ConnectError("a", "No connection to a: it refused; is the server running there?")

    monkeypatch.setattr(reach.Way, "connect", gone)
    findings = look(f"127.0.0.1:{serve(lambda sock: None).port}")
    assert findings["connection"].mark is Mark.FOUND
    assert failures(findings) == ["HTTP/2"]


def relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side has ended."""
    while True:
        readable, _, _ = select.select([one, other], [], [], 10)
        for sock in readable:
            data = sock.recv(65_536)
            if not data:
                return
            (other if sock is one else one).sendall(data)


def test_through_a_proxy(agent: Agent, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(sock: socket.socket) -> None:
        head = sock.recv(4096)
        if not head:
            return  # the look at the proxy alone
        assert head.startswith(b"CONNECT agent.example:55678 ")
        host, port = agent.address.split(":")
        with socket.create_connection((host, int(port)), 10) as server:
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            relay(sock, server)

    proxy = f"127.0.0.1:{serve(connect).port}"
    monkeypatch.setenv("grpc_proxy", f"http://{proxy}")
    findings = look("agent.example:55678", insecure=True)
    assert can_export(findings.values())
    assert findings["proxy"].details["proxy"] == proxy
    assert "connects us to agent.example:55678" in findings["tunnel"].says


def test_a_proxy_that_refuses(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda sock: sock.recv(4096) and sock.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n"))
    monkeypatch.setenv("grpc_proxy", f"http://127.0.0.1:{server.port}")
    findings = look("agent.example:55678", insecure=True)
    assert failures(findings) == ["tunnel"]
    assert "403 Forbidden" in findings["tunnel"].says and "no_proxy" in findings["tunnel"].advice


def test_a_proxy_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("grpc_proxy", "socks5://proxy:1080")
    assert failures(look("agent.example:55678", insecure=True)) == ["proxy"]


def test_a_proxy_that_is_not_used(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("grpc_proxy", "http://proxy:1080")
    findings = look(agent.address)
    assert can_export(findings.values())
    assert findings["proxy"].says == "the one in $grpc_proxy is not used: the address is on this machine"


# What else may be there


def hostile(row: str, folder: Path, **options: Any) -> dict[str, Finding]:
    """Look at a server that plays a row of tests/hostile, with TLS where the row's client has it."""
    contexts = Contexts(folder)
    ca = str(contexts.authority_file) if ROWS[row].client_tls else None
    timeout = QUICK if any(word in row for word in ("silence", "a second", "never", "a close in")) else PATIENT
    with HostileServer(ROWS[row], contexts) as server:
        began = time.monotonic()
        findings = look(server.target, **{"timeout": timeout, "ca": ca, **options})
        assert time.monotonic() - began < 40
        server.calm()
    return findings


@pytest.mark.parametrize(
    "row, step, words",
    [
        pytest.param(row, step, words, id=row)
        for row, step, words in [
            ("silence after accept", "HTTP/2", "said nothing for 1 s"),
            ("close at once, for ever", "HTTP/2", "closed the connection without a word"),
            ("random garbage, and a close", "HTTP/2", "begins with the bytes"),
            ("64 KiB of zeros, and no close", "HTTP/2", "begins with the bytes 00 00 00"),
            ("endless garbage", "HTTP/2", "not HTTP/2"),
            ("SETTINGS one byte a second", "HTTP/2", "begins with the bytes 00"),
            ("an SSH banner, and no close", "HTTP/2", "the port speaks SSH (it said “SSH-2.0"),
            ("an SMTP greeting, and a close", "HTTP/2", "the port speaks SMTP"),
            ("an HTTP/1.1 400, and no close", "HTTP/2", "the port speaks HTTP/1.1"),
            ("an HTTP/1.1 503 with a body of 1 MiB, and a close", "HTTP/2", "the port speaks HTTP/1.1"),
            ("TLS to a client that speaks plaintext", "HTTP/2", "the port speaks TLS"),
            ("silence after SETTINGS", "OpenCensus traces", "no answer within"),
            ("SETTINGS never acknowledged", "acknowledges", "were not acknowledged"),
            ("GOAWAY right after SETTINGS, for ever", "services", "GOAWAY"),
            ("MAX_CONCURRENT_STREAMS 0 for ever", "services", "MAX_CONCURRENT_STREAMS 0"),
            ("close when the call has come", "OpenCensus traces", "the server closed the connection"),
            ("HTTP status 503 with a page of HTML", "OpenCensus traces", "UNAVAILABLE"),
            ("TLS: no ALPN", "TLS", "by ALPN it chose nothing"),
            ("TLS: ALPN of HTTP/1.1", "TLS", "does not offer HTTP/2"),
            ("TLS: expired", "certificate", "has expired"),
            ("TLS: unknown authority", "certificate", "comes from an issuer not trusted here; it is for 127.0.0.1"),
            ("TLS: self-signed", "certificate", "self-signed"),
            ("TLS: wrong host", "certificate", "is not for 127.0.0.1; it is for somewhere.else.example"),
            ("TLS: client certificate", "client certificate", "requires a client certificate"),
            ("SETTINGS in plaintext to a client that speaks TLS", "TLS", "does not speak TLS"),
            ("silence to a client that speaks TLS", "TLS", "did not finish the TLS handshake in time"),
            ("a close in the TLS handshake", "TLS", "closed the connection during the TLS handshake"),
            ("silence after the TLS handshake", "HTTP/2", "said nothing"),
            ("HTTP/1.1 inside TLS that agreed on h2", "HTTP/2", "the port speaks HTTP/1.1"),
        ]
    ],
)
def test_what_is_there_is_said(row: str, step: str, words: str, tmp_path: Path) -> None:
    findings = hostile(row, tmp_path)
    assert failures(findings)[:1] == [step], findings
    assert words in findings[step].says


def test_a_server_that_resets_is_refused_at_one_look_or_the_next(tmp_path: Path) -> None:
    assert failures(hostile("reset at once, for ever", tmp_path))[0] in ("connection", "HTTP/2")


def test_plaintext_is_seen_behind_a_failed_handshake(agent: Agent) -> None:
    findings = look(agent.address, insecure=False)
    assert failures(findings) == ["TLS"]
    assert "--insecure" in findings["TLS"].advice
    assert findings["HTTP/2"].says == "the port speaks HTTP/2 in plaintext, without TLS"


def test_another_protocol_is_seen_behind_a_failed_handshake(tmp_path: Path) -> None:
    findings = hostile("an SSH banner, and no close", tmp_path, insecure=False)
    assert failures(findings) == ["TLS"]
    assert "SSH" in findings["HTTP/2"].says


def test_what_an_untrusted_server_offers_is_seen_all_the_same(files: dict[str, str]) -> None:
    with Agent("127.0.0.1:0", tls=server_context(files["server"])) as agent:
        findings = look(agent.address, insecure=False)
    assert failures(findings) == ["certificate"] and not can_export(findings.values())
    assert findings["certificate"].details["names"] == ["localhost", "127.0.0.1"]
    assert findings["OpenCensus traces"].mark is Mark.FOUND
    assert "once what failed above is right" in findings["verdict"].says


def test_no_thread_is_left(agent: Agent) -> None:
    look(agent.address)
    assert [thread.name for thread in threading.enumerate() if "probe" in thread.name] == []


# The command


def test_the_command_shows_a_line_for_each_look(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", agent.address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("✓ address") and lines[-1].startswith("✓ verdict")


def test_the_command_writes_json_and_fails_where_nobody_is(
    refused_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "--json", f"127.0.0.1:{refused_port}"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ready"] is False and report["findings"][-1]["outcome"] == "failed"


def test_the_command_cannot_begin_with_a_file_that_is_not_there(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "--ca", "/no/such/file", agent.address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("puremux probe: ") and "/no/such/file" in line
