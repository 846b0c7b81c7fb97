"""gRPC's standard interop cases against servers and proxies that others wrote.

Each server meets all cases in one run of a client program (``grpc_peers/cases.py``), whose stubs are protoc's; each
case is a test here.  With ``PUREMUX_INTEROP_TABLE=docs/reference/interop.md`` the results go into that page.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Optional

import pytest

from tests.interop.grpc_peers import install, servers
from tests.interop.grpc_peers.servers import Certificate

pytestmark = pytest.mark.timeout(900)  # the first run builds the servers

CASES_FILE = Path(install.HERE / "cases.py")


def case_names() -> list[str]:
    """The names in the program's table, read without importing it: it needs a venv of its own."""
    for node in ast.parse(CASES_FILE.read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "CASES":
            assert isinstance(node.value, ast.Tuple)
            return [each.id for each in node.value.elts if isinstance(each, ast.Name)]
    raise AssertionError(f"{CASES_FILE} has no table of cases")


Start = Callable[[ExitStack, Path, Certificate], "tuple[int, bool]"]
"""Starts a server; returns its port, and whether it speaks TLS."""


def direct(server: str, tls: bool) -> Start:
    def start(stack: ExitStack, folder: Path, certificate: Certificate) -> tuple[int, bool]:
        run = {"grpcio": servers.grpcio, "grpc-go": servers.grpc_go}[server]
        return stack.enter_context(run(certificate if tls else None)), tls

    return start


def proxied(proxy: str, server: str, tls: bool = False) -> Start:
    def start(stack: ExitStack, folder: Path, certificate: Certificate) -> tuple[int, bool]:
        backend, _ = direct(server, False)(stack, folder, certificate)
        return stack.enter_context(servers.behind(proxy, backend, folder, certificate if tls else None)), tls

    return start


SERVERS: dict[str, Start] = {
    "grpcio, plaintext": direct("grpcio", tls=False),
    "grpcio, TLS": direct("grpcio", tls=True),
    "grpc-go, plaintext": direct("grpc-go", tls=False),
    "grpc-go, TLS": direct("grpc-go", tls=True),
    "Envoy before grpcio": proxied("envoy", "grpcio"),
    "Envoy before grpc-go": proxied("envoy", "grpc-go"),
    "nginx before grpcio": proxied("nginx", "grpcio"),
    "nginx with TLS before grpc-go": proxied("nginx", "grpc-go", tls=True),
    "nghttpx before grpc-go": proxied("nghttpx", "grpc-go"),
}

Results = dict[str, Optional[str]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=list(SERVERS))
def results(
    request: pytest.FixtureRequest, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Results:
    """How every case went against one server."""
    with ExitStack() as stack:
        port, tls = SERVERS[request.param](stack, tmp_path_factory.mktemp("server"), certificate)
        found = run_cases(f"localhost:{port}", certificate if tls else None)
    note(request.param, found)
    return found


def run_cases(target: str, certificate: Certificate | None) -> Results:
    authority = [str(certificate.authority)] if certificate else []
    command = [str(install.grpcio_python()), str(CASES_FILE), str(install.stubs()), target, *authority]
    environment = {**os.environ, "PYTHONPATH": str(install.ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("case", case_names())
def test_interop_case(results: Results, case: str) -> None:
    assert results[case] is None, results[case]


TABLE: dict[str, Results] = {}
MARKER = "<!-- what follows is written by tests/interop/test_grpc_servers.py -->"


def note(server: str, found: Results) -> None:
    """Add a column to the table in the documentation's page, if that is asked for."""
    TABLE[server] = found
    page = os.environ.get("PUREMUX_INTEROP_TABLE")
    if page:
        text, marker, _ = Path(page).read_text().partition(MARKER)
        head = ["case", *TABLE]
        rows = [[case, *("failed" if column[case] else "passed" for column in TABLE.values())] for case in case_names()]
        lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
        Path(page).write_text("\n".join([text + marker, "", *lines, ""]))
