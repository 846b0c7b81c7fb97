"""Clients' and servers' programs that others wrote: how they are had, and how they are run."""

from __future__ import annotations
