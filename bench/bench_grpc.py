"""puremux's channel beside grpcio and grpclib: the same calls, the same server, one table.

``python -m bench.bench_grpc [ROUNDS]``: each round runs every client once, in turn, so that a noisy moment hits all of
them; the table has the median.  CPU is the client's process alone.  The server is grpcio's, in a process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from tests.interop.grpc_peers import install, servers

HERE = Path(__file__).parent
CLIENTS = ("puremux", "grpcio", "grpclib")

ROWS = (
    ("unary call: latency, µs", "unary wall", 1e6, False),
    ("unary call: client CPU, µs", "unary cpu", 1e6, False),
    ("1 MiB received, MB/s", "down 1 MiB wall", 1.048576, True),
    ("1 MiB sent, MB/s", "up 1 MiB wall", 1.048576, True),
    ("64 MiB received, MB/s", "down 64 MiB wall", 1.048576, True),
    ("64 MiB received: client CPU, ms/MiB", "down 64 MiB cpu", 1e3, False),
    ("64 MiB sent, MB/s", "up 64 MiB wall", 1.048576, True),
    ("64 MiB sent: client CPU, ms/MiB", "up 64 MiB cpu", 1e3, False),
    ("100 streams at once: client CPU, µs/message", "100 streams cpu", 1e6, False),
    ("100 streams at once: µs/message", "100 streams wall", 1e6, False),
    ("connect and first call, ms", "connect wall", 1e3, False),
    ("connect and first call: client CPU, ms", "connect cpu", 1e3, False),
)
"""Title, figure, factor, and whether it is a rate (larger is better)."""

Rounds = dict[str, list[dict[str, float]]]


def run(client: str, port: int) -> dict[str, float]:
    """One client's figures, measured in a process of its own."""
    python = {"puremux": Path(sys.executable), "grpcio": install.grpcio_python(), "grpclib": install.grpclib_python()}
    command = [str(python[client]), str(HERE / "grpc_client.py"), client, str(port)]
    environment = {**os.environ, "PYTHONPATH": str(install.ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def bench_grpc(rounds: int) -> Rounds:
    """Every client's figures, round by round."""
    found: Rounds = {client: [] for client in CLIENTS}
    with servers.grpcio() as port:
        for _ in range(rounds):
            for client in CLIENTS:
                found[client].append(run(client, port))
    return found


def table(found: Rounds) -> str:
    """The medians, as a Markdown table."""
    lines = [f"| | {' | '.join(CLIENTS)} |", f"| --- |{' ---: |' * len(CLIENTS)}"]
    for title, name, factor, is_rate in ROWS:
        cells = []
        for client in CLIENTS:
            median = statistics.median(each[name] for each in found[client])
            cells.append(f"{factor / median if is_rate else factor * median:,.4g}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(table(bench_grpc(rounds)))
    print(f"\n{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {rounds} rounds")


if __name__ == "__main__":
    main()
