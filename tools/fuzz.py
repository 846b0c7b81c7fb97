"""Runs the harnesses in fuzz/ under atheris.  Call it as ``make fuzz``.

Usage: python -m tools.fuzz [--seconds 60] [NAME ...]

A harness is a file fuzz/fuzz_NAME.py with a function ``check(data: bytes)`` that raises when its invariant is broken.
Seeds lie in fuzz/seeds/NAME/, what was found on the way and inputs that break the invariant in .cache/fuzz/NAME/.
Each harness runs in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
HARNESSES = ROOT / "fuzz"
FOUND = ROOT / ".cache" / "fuzz"
GRACE = 60
"""Seconds that a harness may take to load and to end, beside those it fuzzes."""


def main() -> None:
    """Run the harnesses named, or all; exit with 1 if one found something."""
    parser = argparse.ArgumentParser(description="Run the harnesses in fuzz/ under atheris.")
    parser.add_argument("--seconds", type=int, default=60, help="how long each harness runs")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a harness; all of them, if none is named")
    options = parser.parse_args()
    if options.here:
        fuzz_here(options.names[0], options.seconds)
        return
    names = options.names or sorted(path.stem[len("fuzz_") :] for path in HARNESSES.glob("fuzz_*.py"))
    if not names:
        print("fuzz: there is no harness in fuzz/ yet")
    broken = [name for name in names if not fuzz(name, options.seconds)]
    if broken:
        raise SystemExit(f"fuzz: found something: {', '.join(broken)}; the inputs are in {FOUND}")


def fuzz(name: str, seconds: int) -> bool:
    """Run one harness in a process of its own; whether it found nothing."""
    print(f"fuzz: {name}, {seconds} s", flush=True)
    command = [sys.executable, "-m", "tools.fuzz", "--here", "--seconds", str(seconds), name]
    return subprocess.run(command, cwd=ROOT, timeout=seconds + GRACE, check=False).returncode == 0


def fuzz_here(name: str, seconds: int) -> None:
    """Run one harness in this process, and end the process."""
    import atheris

    with atheris.instrument_imports(include=["puremux", "h2", "hpack", "hyperframe"]):
        harness = importlib.import_module(f"fuzz.fuzz_{name}")
    corpus, seeds = FOUND / name, HARNESSES / "seeds" / name
    corpus.mkdir(parents=True, exist_ok=True)
    flags = [f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([name, *flags, str(corpus), *([str(seeds)] if seeds.is_dir() else [])], harness.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
