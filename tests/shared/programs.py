"""Programs under test: started as a user would, watched line by line, and never left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["LIMIT", "PUREMUX", "ROOT", "Running"]

ROOT = Path(__file__).resolve().parents[2]
PUREMUX = (sys.executable, "-m", "puremux.cli")

LIMIT = 20.0
"""Seconds that any wait takes at the most; a busy machine needs a few."""


class Running:
    """A program that runs.

    Args:
        command: what to run, in the checkout.
        environment: variables to set besides the test's own.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        """What it has written so far, on either of its outputs."""
        self._arrived = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._arrived:
                self.lines.append(line.rstrip("\n"))
                self._arrived.notify_all()
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def wait_for(self, pattern: str, *, after: int = 0, timeout: float = LIMIT) -> re.Match[str]:
        """Wait for a line that holds the pattern, among those behind the first ``after``."""
        deadline = time.monotonic() + timeout
        seen = after
        with self._arrived:
            while True:
                for line in self.lines[seen:]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                seen = max(seen, len(self.lines))
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    raise AssertionError(f"no line with {pattern!r} in:\n{self.output}")
                self._arrived.wait(left)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def terminate(self) -> None:
        """Ask it to end, as init systems do."""
        self._process.terminate()

    def kill(self) -> None:
        """End it without asking, and wait until it is gone."""
        self._process.kill()
        self._process.wait(LIMIT)

    def finish(self, timeout: float = LIMIT) -> int:
        """Wait for its end, and return its exit code."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {timeout} s:\n{self.output}") from None
        self._reader.join(LIMIT)
        return code

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._reader.join(LIMIT)
        assert self._process.stdout is not None
        self._process.stdout.close()
