"""What all tests share: how hypothesis searches, and what a test can wait for."""

from __future__ import annotations

import os

from hypothesis import settings

# Here each run looks at new examples; CI looks at the same ones each time, so that a red run can be had again.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
