"""The client against connectrpc.com/conformance: every case of gRPC over HTTP/2 that the suite has, in client mode."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.grpc_peers import install

HERE = Path(__file__).parent / "conformance"
FEWEST_CASES = 850
"""So many cases applied to version v1.0.7 of the suite; far fewer means that the configuration has lost some."""


@pytest.mark.timeout(1200)  # the first run builds the suite
def test_every_case_of_the_conformance_suite_passes() -> None:
    client = [sys.executable, str(HERE / "client.py"), str(install.conformance_descriptors())]
    runner = str(install.conformance_runner())
    done = subprocess.run(
        [runner, "--conf", str(HERE / "config.yaml"), "--mode", "client", "--", *client],
        cwd=install.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.search(r"(\d+) passed, 0 failed", done.stdout)
    assert summary is not None and int(summary[1]) >= FEWEST_CASES, done.stdout
