"""A Python as bare as puremux promises to do with: nothing compiled outside the standard library, and no grpcio.

Runs a command line of puremux under that rule: ``python -m tests.shared.no_extensions demo --duration 2``.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

__all__ = ["forbid", "is_compiled"]

ABSENT = {"grpc"}
TRIED = ("google._upb._message", "_cffi_backend", "grpc")  # what the tests' environment has, or may have


class _Forbid(MetaPathFinder):
    """Finds nothing; refuses what may not be found."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        spec = None
        if fullname.split(".", maxsplit=1)[0] not in ABSENT:
            spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
            if spec is None or not is_compiled(spec.origin):
                return
        raise ModuleNotFoundError(f"{fullname} is forbidden here: {spec.origin if spec else 'absent'}", name=fullname)


def is_compiled(origin: str | None) -> bool:
    """True for the file of an extension module that is not Python's own."""
    if origin is None or not origin.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)):
        return False
    folders = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    parents = set(Path(origin).resolve().parents)
    return not folders & parents or "site-packages" in Path(origin).parts


def forbid() -> None:
    """Refuse such modules from now on."""
    os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
    sys.meta_path.insert(0, _Forbid())


def main() -> int:
    forbid()
    for name in TRIED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        raise SystemExit(f"{name} can be imported: the rule does not hold")
    code = importlib.import_module("puremux.cli").main(sys.argv[1:])
    loaded = [name for name, module in sys.modules.items() if is_compiled(getattr(module, "__file__", None))]
    if loaded:
        raise SystemExit(f"compiled modules were loaded: {loaded}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
