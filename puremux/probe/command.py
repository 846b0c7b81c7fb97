"""``puremux probe``: what is at an address, as a checklist.

Floor 5, probe: imports checklist, findings and render.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

from .checklist import Options, probe
from .findings import Finding, can_export
from .render import renderer

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``puremux probe``."""
    add = parser.add_argument
    add("address", metavar="ADDRESS", help="HOST:PORT, unix:/path, or another form that an exporter takes")
    add("--timeout", metavar="SECONDS", type=float, default=5.0, help="for each look; default: %(default)g")
    spoken = parser.add_mutually_exclusive_group()
    spoken.add_argument("--insecure", action="store_true", help="speak plaintext, even to another machine")
    spoken.add_argument("--tls", action="store_true", help="speak TLS, even to this machine")
    add("--ca", metavar="FILE", help="PEM file of the issuers to trust instead of the system's")
    add("--cert", metavar="FILE", help="PEM file of a client certificate to show")
    add("--key", metavar="FILE", help="PEM file of its key, if that is not in the same file")
    add("--authority", metavar="NAME", help="the name to ask for, and to find in the certificate")
    add("--json", action="store_true", help="one JSON object instead of lines")


def run(options: argparse.Namespace) -> int:
    """Look at the address.

    Returns:
        0 when an exporter can send there, 1 when something stands in the way.
    Raises:
        ValueError: the options do not fit, or a file cannot be used.
    """
    findings = probe(options.address, _options(options))
    told = list(findings) if options.json else _shown(findings)
    ready = can_export(told)
    if options.json:
        report = {"address": options.address, "ready": ready, "findings": [each.as_json() for each in told]}
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0 if ready else 1


def _options(options: argparse.Namespace) -> Options:
    return Options(
        timeout=options.timeout,
        insecure=True if options.insecure else False if options.tls else None,
        ca=options.ca,
        cert=options.cert,
        key=options.key,
        authority=options.authority,
    )


def _shown(findings: Iterable[Finding]) -> list[Finding]:
    """Show each finding as it is made."""
    show, told = renderer(sys.stdout), []
    for finding in findings:
        show(finding)
        told.append(finding)
    return told
