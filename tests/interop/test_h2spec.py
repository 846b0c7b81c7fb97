"""The protocol core in the server's role against h2spec, which sends what RFC 7540 and RFC 7541 have rules for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.interop.grpc_peers import install

OUTDATED = {
    "Sends HEADERS frame that depend on itself",
    "Sends PRIORITY frame that depend on itself",
}
"""Errors by RFC 7540 §5.3.1 only; RFC 9113 took priorities out, and leaves them to be ignored (§5.3.2)."""

FEWEST_CASES = 145


@pytest.mark.timeout(600)  # the first run builds the suite
def test_every_rule_that_h2spec_knows_is_kept(tmp_path: Path) -> None:
    program, report = install.h2spec(), tmp_path / "report.xml"
    command = [sys.executable, "-m", "tests.interop.h2spec.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdin is not None
        port = server.stdout.readline().strip()
        arguments = ["--strict", "--timeout", "2", "--port", port, "--junit-report", str(report)]
        done = subprocess.run([program, *arguments], capture_output=True, timeout=300, check=False)
        server.stdin.close()
    assert report.exists(), done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = {case.attrib["classname"]: case[0].text for case in cases if len(case)}
    assert set(failed) <= OUTDATED, failed
    assert len(cases) >= FEWEST_CASES
