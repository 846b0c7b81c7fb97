"""``python -m puremux``: the same as ``puremux``, where no such command was installed, as from a zip file.

Floor 5, the top: imports cli.
"""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
