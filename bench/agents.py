"""Agents for bench.restart beside the usual ones: one that is often too busy, and one behind a network that can be cut.

The second needs root and Debian's iproute2: it lives in a network namespace, at the other end of a pair of interfaces.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from puremux.proto.trace_service_pb2 import ExportTraceServiceRequest
from puremux.status import StatusCode
from tests.interop.harness.process import ROOT, Process
from tests.shared.scripted_agent import ScriptedAgent, Stream

__all__ = ["BusyAgent", "DistantAgent"]

READ = ExportTraceServiceRequest.FromString

NOWHERE = "02:00:00:00:00:99"
"""A hardware address that nobody has: frames for it vanish, and who sent them learns nothing."""


class BusyAgent:
    """Answers each stream with RESOURCE_EXHAUSTED while it is busy; keeps the names of spans that it has confirmed."""

    def __init__(self, config: str, folder: Path) -> None:
        self.agent = ScriptedAgent()
        self.address = self.full_address = self.otlp_address = self.agent.address
        self._confirmed: list[str] = []
        self.rest()

    def toil(self) -> None:
        """Be too busy from now on."""
        self.agent.on_message = self._refuse

    def rest(self) -> None:
        """Take what comes."""
        self.agent.on_message = lambda stream: None
        self.agent.on_half_close = self._confirm

    def names(self) -> list[str]:
        return list(self._confirmed)

    def _refuse(self, stream: Stream) -> None:
        stream.responder.finish(StatusCode.RESOURCE_EXHAUSTED, "too busy")

    def _confirm(self, stream: Stream) -> None:
        self._confirmed += [span.name.value for request in map(READ, stream.messages) for span in request.spans]
        self.agent.confirm(stream)

    def __enter__(self) -> BusyAgent:
        return self

    def __exit__(self, *error: object) -> None:
        self.agent.stop()


class DistantAgent:
    """``puremux agent`` in a network namespace of its own.

    Args:
        names: reads the names of the spans in a folder.
    """

    def __init__(self, folder: Path, names: Callable[[Path], list[str]]) -> None:
        self._folder, self._names = folder, names
        number = os.getpid() % 60_000 + sum(folder.name.encode()) % 97
        self._space, self._here, self._there = f"puremux{number}", f"pmx{number}a", f"pmx{number}b"
        net = f"10.213.{number % 251}"
        self._ours, self._theirs = f"{net}.1", f"{net}.2"
        self.address = self.full_address = self.otlp_address = f"{self._theirs}:55678"
        self._lay_the_wire()
        command = ["ip", "netns", "exec", self._space, sys.executable, "-m", "puremux.cli", "agent"]
        options = ["--listen", self.address, "--spans", "spans.jsonl"]
        environment = {"PYTHONPATH": str(ROOT)}
        self._process = Process([*command, *options], folder, ready=self._is_listening, environment=environment)

    def cut(self) -> None:
        """Have every packet vanish, both ways."""
        self._point(NOWHERE, NOWHERE)

    def mend(self) -> None:
        """Have them arrive again."""
        self._point(*self._addresses)

    def names(self) -> list[str]:
        return self._names(self._folder)

    def _lay_the_wire(self) -> None:
        _ip("netns", "add", self._space)
        _ip("link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self._space)
        inside = ["-n", self._space]
        for where, device, address in (([], self._here, self._ours), (inside, self._there, self._theirs)):
            _ip(*where, "addr", "add", f"{address}/30", "dev", device)
            _ip(*where, "link", "set", device, "up")
        _ip(*inside, "link", "set", "lo", "up")
        self._addresses = self._hardware_addresses()
        self.mend()

    def _hardware_addresses(self) -> tuple[str, str]:
        ours = Path(f"/sys/class/net/{self._here}/address").read_text().strip()
        told = _ip("-n", self._space, "link", "show", self._there)
        return told.split("link/ether ")[1].split()[0], ours

    def _point(self, theirs: str, ours: str) -> None:
        _ip("neigh", "replace", self._theirs, "lladdr", theirs, "dev", self._here, "nud", "permanent")
        _ip("-n", self._space, "neigh", "replace", self._ours, "lladdr", ours, "dev", self._there, "nud", "permanent")

    def _is_listening(self) -> bool:
        with socket.socket() as sock:
            sock.settimeout(1.0)
            return sock.connect_ex((self._theirs, 55678)) == 0

    def __enter__(self) -> DistantAgent:
        return self

    def __exit__(self, *error: Any) -> None:
        self._process.stop()
        _ip("netns", "del", self._space)  # and the wire with it


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)} failed, as root of Debian with iproute2 it works: {done.stderr}")
    return done.stdout
