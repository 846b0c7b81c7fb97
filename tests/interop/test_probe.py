"""``puremux probe`` at servers and proxies that others wrote: an agent, its OTLP port, gRPC servers, TLS in front."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

import pytest

from puremux.probe import Finding, Mark, Options, can_export, probe

from .grpc_peers import servers
from .grpc_peers.servers import Certificate
from .harness.collector import Collector
from .harness.proxies import Authority, Proxy

TRACES, METRICS, OTLP = "OpenCensus traces", "OpenCensus metrics", "OTLP traces"


def look(address: str, **options: Any) -> dict[str, Finding]:
    return {finding.step: finding for finding in probe(address, Options(timeout=20.0, **options))}


def marks(findings: dict[str, Finding], mark: Mark) -> set[str]:
    return {step for step, finding in findings.items() if finding.mark is mark}


def test_a_collector(collector: Callable[..., Collector]) -> None:
    agent = collector("all")
    findings = look(agent.address)
    assert can_export(findings.values()), findings
    assert {TRACES, METRICS, "acknowledges", "round trip", "verdict"} <= marks(findings, Mark.FOUND)
    assert {"OpenCensus config", "health", OTLP} <= marks(findings, Mark.LEFT_OUT)
    assert findings["acknowledges"].details["at_once"] is False
    assert agent.spans() == [] and agent.points() == []


def test_the_otlp_port_of_a_collector(collector: Callable[..., Collector]) -> None:
    findings = look(collector("all").otlp_address)
    assert marks(findings, Mark.FAILED) == {"verdict"}
    assert "OTLP port" in findings["verdict"].says and "55678" in findings["verdict"].advice


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_a_collector_behind_tls(
    kind: str, collector: Callable[..., Collector], tls_proxy: Callable[..., Proxy], authority: Authority
) -> None:
    proxy = tls_proxy(kind, collector("all").ports["opencensus"])
    findings = look(proxy.address, ca=str(authority.file))
    assert can_export(findings.values()), findings
    assert findings["certificate"].details["names"][:2] == ["localhost", "127.0.0.1"]
    untrusted = look(proxy.address, insecure=False)
    assert marks(untrusted, Mark.FAILED) == {"certificate"}
    assert untrusted[TRACES].mark is Mark.FOUND
    plaintext = look(proxy.address)
    assert marks(plaintext, Mark.FAILED) == {"HTTP/2"}
    assert plaintext["HTTP/2"].details["speaks"] == "TLS"


def test_a_proxy_that_wants_client_certificates(
    collector: Callable[..., Collector], tls_proxy: Callable[..., Proxy], authority: Authority
) -> None:
    proxy = tls_proxy("haproxy mTLS", collector("all").ports["opencensus"])
    assert marks(look(proxy.address, ca=str(authority.file)), Mark.FAILED) == {"client certificate"}
    assert can_export(look(proxy.address, ca=str(authority.file), cert=str(authority.client)).values())


def test_a_proxy_with_nobody_behind_it(tls_proxy: Callable[..., Proxy], authority: Authority) -> None:
    findings = look(tls_proxy("nginx", 1).address, ca=str(authority.file))
    assert TRACES in marks(findings, Mark.FAILED)
    assert findings[TRACES].says.startswith("UNAVAILABLE")


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "TLS"])
@pytest.mark.parametrize("server", [servers.grpcio, servers.grpc_go], ids=["grpcio", "grpc-go"])
def test_a_grpc_server_that_is_no_agent(server: Any, tls: bool, tmp_path: Path) -> None:
    certificate = Certificate.make(tmp_path)
    with server(certificate if tls else None) as port:
        findings = look(f"localhost:{port}", ca=str(certificate.authority) if tls else None)
    assert marks(findings, Mark.FAILED) == {"verdict"}, findings
    assert "no service of an OpenCensus Agent" in findings["verdict"].says


@pytest.mark.parametrize("proxy", servers.PROXIES)
def test_a_collector_behind_a_proxy(proxy: str, collector: Callable[..., Collector], tmp_path: Path) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(servers.behind(proxy, collector("all").ports["opencensus"], tmp_path))
        findings = look(f"127.0.0.1:{port}")
    assert can_export(findings.values()), findings
    assert {TRACES, METRICS} <= marks(findings, Mark.FOUND)
