"""One program that others wrote, from start to end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Callable, TypeVar

from tests.shared.waiting import eventually

__all__ = ["ROOT", "Missing", "Process", "built", "free_port", "is_listening", "program"]

P = TypeVar("P", bound="Process")

ROOT = Path(__file__).resolve().parents[3]

LOG_TAIL = 4000
"""Characters of a program's log that an error quotes."""

STOPPING = 15.0
"""Seconds that a program has to end after SIGTERM."""


class Missing(AssertionError):
    """A program that the test needs is not here."""


def program(name: str) -> Path:
    """A program of Debian's, which may lie where only root looks.

    Raises:
        Missing: It is not installed.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"{name} is not installed: apt-get install {name}")
    return Path(path)


def built(path: str) -> Path:
    """What `make peers` builds.

    Raises:
        Missing: It is not built.
    """
    if not (ROOT / path).exists():
        raise Missing(f"{path} is not built: run `make peers`")
    return ROOT / path


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on.

    It lies below those that Linux gives to outgoing connections, so that none of these takes it while a server is down.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def is_listening(port: int) -> bool:
    """Whether 127.0.0.1 accepts connections on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Process:
    """A program that is started at once, logs to a file and ends with the ``with`` block, whatever happens.

    Args:
        command: The program and its arguments.
        folder: Where it runs and its log lies.
        ready: Says whether the program can be used.
        timeout: Seconds until it has to be ready.
        environment: What it sees beside this process's own variables.
        log: Name of the log; a program that is started again goes on in the same one.
    Raises:
        AssertionError: It ended, or was not ready in time; its log's end is in the message.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        *,
        ready: Callable[[], bool] = lambda: True,
        timeout: float = 20.0,
        environment: Mapping[str, str] | None = None,
        log: str = "log",
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> None:
        self.name = Path(command[0]).name
        self._log = folder / log
        with self._log.open("ab") as output:
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=stdin,
                stdout=output if stdout is None else stdout,
                stderr=output,
            )
        try:
            eventually(lambda: self.has_ended() or ready(), timeout, f"{self.name} is ready")
            assert not self.has_ended(), f"{self.name} ended with {self.popen.returncode}"
        except BaseException as error:
            self.kill()
            raise AssertionError(f"{error}\nits log ends:\n{self.log()[-LOG_TAIL:]}") from error

    @property
    def pid(self) -> int:
        """The process id, for signals of one's own and for /proc."""
        return self.popen.pid

    def log(self) -> str:
        """All that the program said, in each of its lives."""
        return self._log.read_text(errors="replace")

    def has_ended(self) -> bool:
        """Whether the process is no more."""
        return self.popen.poll() is not None

    def stop(self) -> None:
        """Ask it to end (SIGTERM) and wait; one that does not end in time is killed, and that is an error."""
        if not self.has_ended():
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
        try:
            self.popen.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {STOPPING} s after SIGTERM") from None
        self._close_pipes()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash does."""
        self.popen.kill()
        self.popen.wait(STOPPING)
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its connections stay open and nothing comes back, as behind a black hole."""
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        self.popen.send_signal(signal.SIGCONT)

    def __enter__(self: P) -> P:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
