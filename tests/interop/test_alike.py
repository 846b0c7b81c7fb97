"""grpcio's channel and ours, used alike: what the user sees is the same, but for what is listed here."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.interop.grpc_peers import install

DIFFERENT = {
    "calls_on_a_closed_channel": "grpcio raises ValueError; here a thread that closes a channel crashes no other",
    "endless_deadlines": "grpcio takes them for deadlines that are past",
    "error_as_a_call": "grpcio's error has these methods without a body",
    "metadata_that_is_invalid": "grpcio ends the call as INTERNAL; here it is an argument that cannot be sent",
}
"""docs/reference/channel.md says so too."""

FEWEST_CASES = 36


@pytest.mark.timeout(600)  # the first run makes the venv
def test_what_the_user_sees_is_alike() -> None:
    command = [str(install.grpcio_python()), "-m", "tests.interop.alike.client"]
    environment = {**os.environ, "PYTHONPATH": str(install.ROOT), "GRPC_VERBOSITY": "NONE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = {name: seen for name, *seen in map(json.loads, done.stdout.splitlines())}
    assert {name: seen for name, seen in cases.items() if seen[0] != seen[1] and name not in DIFFERENT} == {}
    assert all(cases[name][0] != cases[name][1] for name in DIFFERENT), "the table is out of date"
    assert len(cases) >= FEWEST_CASES
