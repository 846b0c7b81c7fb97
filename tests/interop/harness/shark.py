"""Wireshark without its window: `tshark` decodes captures, `dumpcap` takes them."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .process import Process, program

__all__ = ["Capturing", "Decoded", "decode"]

BETWEEN = "\x1f"
"""Stands between the values of one field; no header has it."""

FIELDS = (
    "tcp.srcport",
    "http2.type",
    "http2.streamid",
    "http2.length",
    "http2.flags",
    "http2.header.name",
    "http2.header.value",
)


@dataclass
class Decoded:
    """What one end sent, as tshark reads it."""

    frames: list[tuple[int, int, int, int]]
    """Type, stream, length and flags of each frame."""

    headers: list[tuple[str, str]]
    """Name and value of each header, in order."""


def decode(capture: Path, port: int) -> tuple[Decoded, Decoded]:
    """Let tshark decode the HTTP/2 of a capture: what clients sent to a port, and what came back."""
    command = [program("tshark"), "-n", "-r", capture, "-d", f"tcp.port=={port},http2", "-Y", "http2"]
    command += ["-T", "fields", "-E", "separator=/t", "-E", f"aggregator={BETWEEN}", "-E", "occurrence=a"]
    for field in FIELDS:
        command += ["-e", field]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    client, server = Decoded([], []), Decoded([], [])
    for line in printed.splitlines():
        source, *columns = line.split("\t")
        kinds, streams, lengths, flags, names, values = (each.split(BETWEEN) if each else [] for each in columns)
        decoded = server if int(source) == port else client
        numbers = zip(map(int, kinds), map(int, streams), map(int, lengths), (int(each, 16) for each in flags))
        decoded.frames += numbers
        decoded.headers += zip(names, values)
    return client, server


class Capturing(Process):
    """Packets of one TCP port on this machine, captured into a file until :meth:`finish`.  Needs root."""

    def __init__(self, folder: Path, port: int) -> None:
        self.path = folder / "capture.pcapng"
        command = [program("dumpcap"), "-q", "-i", "lo", "-f", f"tcp port {port}", "-w", self.path]
        super().__init__(command, folder, ready=lambda: self.path.exists() and self.path.stat().st_size > 0)

    def finish(self) -> Path:
        """Stop capturing; return the file."""
        self.popen.send_signal(signal.SIGINT)
        assert self.popen.wait(15) == 0, self.log()
        return self.path
