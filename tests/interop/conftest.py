"""What others wrote, as fixtures.  Each is a factory; what it started ends with the test, whatever happens.

def test_spans_arrive(collector, go_exporter):
    agent = collector("files")
    exporting = go_exporter(agent.address, "demo")
    eventually(lambda: len(agent.spans()) == len(exporting.record()["spans"]), timeout=10)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Callable

import pytest

from .harness import exporters, proxies
from .harness.collector import Collector
from .harness.exporters import Exporting
from .harness.prometheus import Prometheus
from .harness.proxies import Authority, Proxy


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    """What is entered here ends with the test, the latest first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def new_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder for each program that a test starts."""
    numbers = itertools.count()

    def make(name: str) -> Path:
        folder = tmp_path / f"{next(numbers)}-{name}"
        folder.mkdir()
        return folder

    return make


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the tests trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def collector(ending: ExitStack, new_folder: Callable[[str], Path]) -> Callable[..., Collector]:
    """``collector(config="all")``: a real agent."""

    def start(config: str = "all") -> Collector:
        return ending.enter_context(Collector(config, new_folder("collector")))

    return start


@pytest.fixture
def prometheus(ending: ExitStack, new_folder: Callable[[str], Path]) -> Callable[..., Prometheus]:
    """``prometheus("127.0.0.1:PORT", ..., interval=0.5)``: a Prometheus that scrapes these."""

    def start(*targets: str, interval: float = 0.5) -> Prometheus:
        return ending.enter_context(Prometheus(targets, new_folder("prometheus"), interval))

    return start


@pytest.fixture
def tls_proxy(ending: ExitStack, new_folder: Callable[[str], Path], authority: Authority) -> Callable[..., Proxy]:
    """``tls_proxy("nginx" | "haproxy" | "haproxy mTLS", port)``: TLS in front of a port of 127.0.0.1."""

    def start(kind: str, port: int) -> Proxy:
        folder = new_folder(kind)
        if kind == "nginx":
            return ending.enter_context(proxies.nginx(port, folder, authority))
        return ending.enter_context(proxies.haproxy(port, folder, authority, client_certificates="mTLS" in kind))

    return start


@pytest.fixture
def go_exporter(ending: ExitStack, new_folder: Callable[[str], Path]) -> Callable[..., Exporting]:
    """``go_exporter(address, mode, *flags)``: Go's exporter; see goexporter/main.go."""

    def start(address: str, mode: str, *flags: str) -> Exporting:
        return ending.enter_context(exporters.go_exporter(new_folder("go"), address, mode, *flags))

    return start


@pytest.fixture
def ocagent_python(ending: ExitStack, new_folder: Callable[[str], Path]) -> Callable[..., Exporting]:
    """``ocagent_python(address, mode, *options)``: opencensus-ext-ocagent; see pyexporters/peer.py."""

    def start(address: str, mode: str, *options: str) -> Exporting:
        return ending.enter_context(
            exporters.python_exporter(new_folder("ocagent"), "ocagent", address, mode, *options)
        )

    return start


@pytest.fixture
def otlp_python(ending: ExitStack, new_folder: Callable[[str], Path]) -> Callable[..., Exporting]:
    """``otlp_python(address, mode, *options)``: OpenTelemetry's OTLP exporter; see pyexporters/peer.py."""

    def start(address: str, mode: str, *options: str) -> Exporting:
        return ending.enter_context(exporters.python_exporter(new_folder("otlp"), "otlp", address, mode, *options))

    return start
