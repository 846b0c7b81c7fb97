"""What a library costs before it does anything: time, memory and disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.systems import OURS, pythons
from tests.interop.harness.process import ROOT

SKIPPED = ("pip", "setuptools", "_distutils_hack", "pkg_resources")


OPENCENSUS = "opencensus==0.11.4"  # declares compiled wheels that it never imports


def installed(folder: Path, *, tracer: bool = False) -> dict[str, Path]:
    """The interpreter of each library, puremux's in a virtual environment of its own: installed as users do it.

    Args:
        tracer: with opencensus beside puremux; the peers have their tracers anyway.
    """
    subprocess.run([str(OURS), "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, f"{ROOT}[opencensus]" if tracer else str(ROOT)], check=True, stdout=subprocess.DEVNULL)
    if tracer:
        subprocess.run([*install, "--no-deps", OPENCENSUS], check=True, stdout=subprocess.DEVNULL)
    return {**pythons(), "puremux": python}


def on_disk(interpreters: dict[str, Path]) -> dict[str, float]:
    """Megabytes of each library with what it needs; pip, setuptools and bytecode left out."""
    folders = {name: next((python.parents[1] / "lib").glob("python3*")) for name, python in interpreters.items()}
    return {name: megabytes(folder / "site-packages") for name, folder in folders.items()}


def megabytes(folder: Path) -> float:
    """Of the files that belong to the library."""
    files = (
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(SKIPPED) and path.suffix != ".pyc"
    )
    return sum(path.stat().st_size for path in files) / 1e6
