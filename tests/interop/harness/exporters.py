"""Exporters that others wrote, each as a program of its own: see goexporter/ and pyexporters/ for what they do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from .process import ROOT, Process, built

__all__ = ["Exporting", "go_exporter", "python_exporter"]

STOPPING = 20.0
"""Seconds that an exporter has to stop, once it was told to."""


class Exporting(Process):
    """An exporter at work.  It goes on sending what it holds until :meth:`finish`."""

    _record: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """What it recorded; waits until it is done recording, which pytest's timeout bounds.

        Raises:
            AssertionError: It ended before; what it said is in the message.
        """
        if self._record is None:
            assert self.popen.stdout is not None
            line = self.popen.stdout.readline()
            assert line, f"{self.name} ended without a record; it said:\n{self.log()}"
            self._record = json.loads(line)
        return self._record

    def finish(self) -> None:
        """Tell it to stop, and wait until it has.

        Raises:
            AssertionError: It did not stop in time, or not well.
        """
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        assert self.popen.wait(STOPPING) == 0, f"{self.name} ended with {self.popen.returncode}:\n{self.log()}"
        self._close_pipes()


def go_exporter(folder: Path, address: str, mode: str, *flags: str) -> Exporting:
    """Start Go's exporter.  ``flags``: such as ``"-for=5s"``, ``"-ca=FILE"``."""
    return _start([built(".cache/peers/goexporter"), f"-address={address}", *flags, mode], folder)


def python_exporter(folder: Path, name: str, address: str, mode: str, *options: str) -> Exporting:
    """Start one of the Python peers, ``"ocagent"`` or ``"otlp"``.  ``options``: such as ``"--seconds=5"``."""
    built(f".venvs/{name}/ready")
    script = ROOT / "tests" / "interop" / "pyexporters" / f"{name}_peer.py"
    python = ROOT / ".venvs" / name / "bin" / "python"
    return _start([python, "-W", "ignore", script, f"--address={address}", *options, mode], folder)


def _start(command: list[str | Path], folder: Path) -> Exporting:
    return Exporting(command, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
