"""Does a small job on every Python that we promise, and prints a table.  Call it as ``make interpreters``.

Usage: python -m tools.interpreters [--write PAGE] [NAME ...]     such as 3.9 pypy3; all of them, if none is named

The source distribution is installed into a virtual environment for each interpreter, and once more with the oldest
libraries that we promise.  There tools/smoke.py runs: with protobuf's C core if it has one, with its Python
implementation, and with everything compiled refused; then the demo, likewise refused, and the spans once more out of
one file (zipapp).  GraalPy and Pyodide are fetched, see tools/guests.py, and do less.  Two interpreters at a time.
--write puts the table into a page of the documentation.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import trustme

from tools.guests import GUESTS
from tools.pythons import find_python

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".venvs"

REQUIRED = ("graalpy", "3.9", "3.10", "3.11", "3.12", "3.13", "pypy3", "pyodide")
"""What the machine that runs CI has or can fetch; where one of them is missing, that is a failure.  Slow ones first."""
OPTIONAL = ("3.14", "3.13t")
"""Tried where they are found; elsewhere they are named as missing."""

REQUIRED_PYTHON = "3.9"

OLDEST = ("protobuf==4.21.1", "h2==4.1.0", "hpack==4.0.0")
"""The oldest libraries that we promise."""

OPENCENSUS = "opencensus==0.11.4"
TIMEOUT = 400
"""Seconds for one step: an install or a job."""

PYTHON_PROTOBUF = ("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")


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
    arguments: Sequence[str]
    variables: Sequence[tuple[str, str]] = ()
    only: Sequence[str] | None = None
    """The interpreters that it is for; None for all."""

    oldest: bool = False
    """Whether it is done with the oldest libraries too."""


JOBS = (
    Job("import", ["cost"], oldest=True),
    Job("spans", ["spans"], oldest=True),
    Job(
        "spans, protobuf in Python",
        ["spans"],
        [PYTHON_PROTOBUF],
        only=("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.13t"),  # PyPy's has no other implementation
        oldest=True,
    ),
    Job("spans, TLS, nothing compiled", ["tls", "--no-extensions"], oldest=True),
    Job("demo, nothing compiled", ["demo", "--no-extensions"]),
    Job("spans in a subinterpreter", ["subinterpreter"], [PYTHON_PROTOBUF], only=("3.12", "3.13")),
)


ZIPAPP = Job("spans, one file (zipapp)", ["spans"])
GUEST_JOBS = {
    "both": Job("spans, then through TLS", ["both", "--spans", "100"]),
    "memory": Job("1,000 calls in memory", ["memory"]),
}

FOR_ALL = "of 3.9"
"""Libraries that run on every interpreter: pure Python, the newest that the oldest interpreter takes."""


class Bench(NamedTuple):
    """What all interpreters share."""

    source: Path
    """The source distribution."""

    folder: Path
    """The base and what it needs, pure Python, as one folder to import from."""

    archive: Path
    """The same with tools/smoke.py, as one file that an interpreter runs."""

    certificates: Path
    """A folder with ``ca.pem`` and ``server.pem``."""


def main() -> None:
    """Run the jobs, print the table, and exit with 1 if a job failed or a required interpreter is missing."""
    parser = argparse.ArgumentParser(description="Run a small job on every Python that we promise.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 3.9 or pypy3; all, if none is named")
    parser.add_argument("--write", metavar="PAGE", type=Path, help="put the table into this page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        bench = build(Path(folder))
        names = options.names or [*REQUIRED, *OPTIONAL]
        rows = [row for of_one in pool.map(lambda name: printed(rows_of(name, bench)), names) for row in of_one]
    if options.write:
        write(options.write, rows)
    bad = sum(not row.is_good for row in rows)
    print(f"{sum(row.is_good and row.job != '' for row in rows)} jobs passed, {bad} rows failed")
    raise SystemExit(bad > 0)


def printed(rows: Iterator[Row]) -> list[Row]:
    """The rows, each of which is printed as it comes."""
    done = []
    for row in rows:
        print(line(row), flush=True)
        done.append(row)
    return done


def line(row: Row) -> str:
    """A row as it is printed."""
    return f"{row.interpreter:16} {row.libraries:7} {row.job:28} {row.seconds:6.1f} s  {row.answer}"


def build(folder: Path) -> Bench:
    """What is installed, and what is run where nothing is installed."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)])
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    packages, program = folder / "packages", folder / "program"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    pure = ["--platform", "any", "--python-version", REQUIRED_PYTHON, "--only-binary", ":all:"]
    run([*pip, *pure, "--target", str(packages), str(wheel)])
    shutil.copytree(packages, program)
    shutil.copy(ROOT / "tools" / "smoke.py", program / "__main__.py")
    archive = folder / "smoke.pyz"
    run([sys.executable, "-m", "zipapp", str(program), "--output", str(archive)])
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = authority.issue_cert("localhost").private_key_and_cert_chain_pem
    server.write_to_path(str(folder / "server.pem"))
    return Bench(source, packages, archive, folder)


def rows_of(name: str, bench: Bench) -> Iterator[Row]:
    """What one interpreter has to say."""
    if name in GUESTS:
        yield from rows_of_guest(name, bench)
        return
    python = find_python(name)
    if python is None:
        yield Row(name, "", "", "missing", 0.0, name not in REQUIRED)
        return
    full_name = run([str(python), "-c", FULL_NAME]).strip()
    for age, libraries in (("newest", ()), ("oldest", OLDEST)):
        begin = time.monotonic()
        try:
            environment = install(python, f"{name}-{age}", libraries, bench.source)
        except RuntimeError as error:
            yield Row(full_name, age, "install", str(error), time.monotonic() - begin, False)
            continue
        yield Row(full_name, age, "pip install", "ok", time.monotonic() - begin, True)
        for job in JOBS:
            if (job.only is None or name in job.only) and (job.oldest or age == "newest"):
                yield do(job, full_name, age, [str(environment), str(ROOT / "tools" / "smoke.py")], bench)
    yield do(ZIPAPP, full_name, FOR_ALL, [str(python), "-I", str(bench.archive)], bench)


FULL_NAME = "import platform; print(platform.python_implementation(), platform.python_version())"


def rows_of_guest(name: str, bench: Bench) -> Iterator[Row]:
    """What an interpreter says that has to be fetched, and is given a folder to import from."""
    guest = GUESTS[name]
    missing = guest.missing()
    if missing is not None:
        yield Row(name, "", "", f"missing: it needs {missing}", 0.0, False)
        return
    begin = time.monotonic()
    try:
        guest.fetch(run)
    except RuntimeError as error:
        yield Row(name, "", "fetch", str(error), time.monotonic() - begin, False)
        return
    command, variables = guest.command(bench.folder)
    for job in guest.jobs:
        yield do(GUEST_JOBS[job]._replace(variables=list(variables.items())), guest.full_name, FOR_ALL, command, bench)


def install(python: Path, name: str, libraries: Sequence[str], source: Path) -> Path:
    """An environment's interpreter: the source distribution is in it, with these libraries, or else with the demo's."""
    environment = ENVIRONMENTS / f"smoke-{name}"
    run([str(python), "-m", "venv", "--clear", str(environment)])
    installed = environment / "bin" / "python"
    pip = [str(installed), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if libraries:
        run([*pip, str(source), *libraries])
    else:
        run([*pip, f"{source}[demo]"])
        run([*pip, "--no-deps", OPENCENSUS])
    return installed


def do(job: Job, name: str, libraries: str, command: Sequence[str], bench: Bench) -> Row:
    """Run one job, where the checkout cannot be imported from."""
    begin = time.monotonic()
    words = [*command, *job.arguments, "--certificates", str(bench.certificates)]
    with tempfile.TemporaryDirectory() as folder:
        try:
            answer, is_good = run(words, dict(job.variables), Path(folder)).splitlines()[-1], True
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


def write(page: Path, rows: Sequence[Row]) -> None:
    """Put the rows into the table of a page, between its head and the next empty line."""
    text = page.read_text(encoding="utf-8")
    cells = [f"| {row.interpreter} | {row.libraries} | {row.job} | {row.answer} |" for row in rows if row.job]
    page.write_text(re.sub(r"(?<=\|---\|---\|---\|---\|\n)(\|.*\n)*", "\n".join([*cells, ""]), text), encoding="utf-8")


if __name__ == "__main__":
    main()
