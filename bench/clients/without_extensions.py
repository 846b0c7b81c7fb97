"""Runs a client where nothing compiled can be imported: ``without_extensions.py CLIENT.py [its options]``."""

from __future__ import annotations

import runpy
import sys

from tests.shared.no_extensions import forbid, is_compiled


def main() -> None:
    forbid()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
    loaded = [name for name, module in sys.modules.items() if is_compiled(getattr(module, "__file__", None))]
    if loaded:
        raise SystemExit(f"compiled modules were loaded: {loaded}")


if __name__ == "__main__":
    main()
