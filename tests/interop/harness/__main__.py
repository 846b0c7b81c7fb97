"""A Collector to try things with.  Usage: python -m tests.interop.harness [all | files | sink | moody]

It runs until Ctrl-C and says where it listens.  `make peers` builds it.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from .collector import Collector


def main() -> None:
    """Run a Collector in the foreground."""
    config = sys.argv[1] if len(sys.argv) > 1 else "all"
    with tempfile.TemporaryDirectory() as folder, Collector(config, Path(folder)) as collector:
        for name, port in collector.ports.items():
            if f"${{{name}}}" in (Path(__file__).parents[1] / "collector" / f"{config}.yaml").read_text():
                print(f"{name:12} 127.0.0.1:{port}")
        print(f"files        {collector.folder}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
