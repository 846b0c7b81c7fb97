"""Does a small job on every Python that we promise, and prints a table.  Call it as ``make interpreters``.

Usage: python -m tools.interpreters [NAME ...]     such as 3.9 pypy3; all of them, if none is named

The wheel is built and installed into a virtual environment for each interpreter, and once more with the oldest
libraries that we promise.  There tools/smoke.py runs: with protobuf's C core if it has one, with its Python
implementation, and with everything compiled refused; last the demo, likewise refused.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.pythons import find_python

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"

REQUIRED = ("3.9", "3.10", "3.11", "3.12", "3.13", "pypy3")
"""What the machine that runs CI has; where one of them is missing, that is a failure."""
OPTIONAL = ("3.14", "graalpy")
"""Tried where they are found; elsewhere they are named as missing."""

OLDEST = {"3.9": ("protobuf==4.21.1", "h2==4.1.0", "hpack==4.0.0"), "3.10": ("protobuf==4.21.12",)}
"""The oldest libraries, on the oldest interpreters; newer interpreters have no such wheels."""

OPENCENSUS = "opencensus==0.11.4"
TIMEOUT = 300
"""Seconds for one step: an install or a job."""


class Row(NamedTuple):
    """One line of the table."""

    interpreter: str
    libraries: str
    job: str
    answer: str
    seconds: float
    is_good: bool


class Job(NamedTuple):
    """One way to run tools/smoke.py."""

    name: str
    options: Sequence[str] = ()
    variables: Sequence[tuple[str, str]] = ()


JOBS = (
    Job("spans"),
    Job("spans, protobuf in Python", variables=[("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")]),
    Job("spans, nothing compiled", options=["--no-extensions"]),
    Job("demo, nothing compiled", options=["--no-extensions", "--demo"]),
)


def main() -> None:
    """Run the jobs, print the table, and exit with 1 if a job failed or a required interpreter is missing."""
    parser = argparse.ArgumentParser(description="Run a small job on every Python that we promise.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 3.9 or pypy3; all, if none is named")
    names = parser.parse_args().names or [*REQUIRED, *OPTIONAL]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder))
        for name in names:
            for row in rows_of(name, wheel):
                print(line(row), flush=True)
                rows.append(row)
    bad = sum(not row.is_good for row in rows)
    print(f"{sum(row.is_good and row.job != '' for row in rows)} jobs passed, {bad} rows failed")
    raise SystemExit(bad > 0)


def line(row: Row) -> str:
    """A row as it is printed."""
    return f"{row.interpreter:8} {row.libraries:39} {row.job:28} {row.seconds:6.1f} s  {row.answer}"


def build(folder: Path) -> Path:
    """The wheel."""
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)])
    (wheel,) = folder.glob("*.whl")
    return wheel


def rows_of(name: str, wheel: Path) -> Iterator[Row]:
    """What one interpreter has to say."""
    python = find_python(name)
    if python is None:
        yield Row(name, "", "", "missing", 0.0, name not in REQUIRED)
        return
    for libraries in ((), *([OLDEST[name]] if name in OLDEST else [])):
        text = " ".join(libraries) or "newest"
        try:
            environment = install(python, name, libraries, wheel)
        except RuntimeError as error:
            yield Row(name, text, "install", str(error), 0.0, False)
            continue
        for job in JOBS:
            if not (job.variables and name == "pypy3"):  # PyPy's protobuf has no other implementation
                yield do(job, name, text, environment)


def install(python: Path, name: str, libraries: Sequence[str], wheel: Path) -> Path:
    """An environment's interpreter, with the wheel and the demo's extras installed."""
    environment = ENVIRONMENTS / f"smoke-{name}{'-oldest' if libraries else ''}"
    run([str(python), "-m", "venv", "--clear", str(environment)])
    installed = environment / "bin" / "python"
    pip = [str(installed), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, f"{wheel}[demo]", *libraries])
    run([*pip, "--no-deps", OPENCENSUS])
    return installed


def do(job: Job, name: str, libraries: str, python: Path) -> Row:
    """Run one job, where the checkout cannot be imported from."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            output = run(
                [str(python), str(ROOT / "tools" / "smoke.py"), *job.options], dict(job.variables), Path(folder)
            )
            answer, is_good = f"ok, protobuf's {output.split()[-1]}", True
        except RuntimeError as error:
            answer, is_good = str(error), False
    return Row(name, libraries, job.name, answer, time.monotonic() - begin, is_good)


def run(command: Sequence[str], variables: dict[str, str] | None = None, folder: Path = ROOT) -> str:
    """A command's output.

    Raises:
        RuntimeError: It failed, or took too long; what it said is in the message.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"not done within {TIMEOUT} s: {' '.join(command)}\n{error.output}") from error
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {' '.join(command)}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
