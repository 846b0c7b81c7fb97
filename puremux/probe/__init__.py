"""What is at an address: a checklist of findings, from the name to the services, with what to do about each failure.

Floor 5, probe: ``probe`` is what most want; ``Finding`` and ``Mark`` are what it yields.
"""

from __future__ import annotations

from .checklist import Options, probe
from .findings import Finding, Mark, can_export

__all__ = ["Finding", "Mark", "Options", "can_export", "probe"]
