"""zPages: what a program's exporter, or an agent, is doing, as small HTML pages.

Floor 5, a face: may import every floor below; jinja2, the extra ``puremux[zpages]``, when the first page is made.
Source: OpenCensus's zPages; the documentation's end-to-end example serves them under ``/debug``.
"""

from __future__ import annotations

from .book import Bounds
from .serving import Served, app, serve

__all__ = ["Bounds", "Served", "app", "serve"]
