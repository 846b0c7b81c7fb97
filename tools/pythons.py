"""Finds a Python interpreter by its version.  Usage: python -m tools.pythons 3.10

Looks along PATH, then among pyenv's versions: pyenv puts a `python3.10` on PATH for versions that it won't start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["find_python"]


def find_python(name: str) -> Path | None:
    """The path of an interpreter, or None.

    Args:
        name: A version of CPython such as ``"3.10"``, or a command such as ``"pypy3"``.
    """
    return next((path for path in _candidates(name) if _starts(path)), None)


def _candidates(name: str) -> Iterator[Path]:
    command = f"python{name}" if name[0].isdigit() else name
    on_path = shutil.which(command)
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{name}.*/bin/{command}"), reverse=True)


def _starts(path: Path) -> bool:
    return subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False).returncode == 0


if __name__ == "__main__":
    found = find_python(sys.argv[1])
    if found is None:
        raise SystemExit(f"no Python {sys.argv[1]} here: install it (pyenv install {sys.argv[1]}), or put it on PATH")
    print(found)
