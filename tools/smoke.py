"""A small job for an installed puremux.

Usage: python smoke.py [--no-extensions] [--demo]

A thousand spans go through the exporter to the embedded agent, and are all there; this needs the wheel and what the
wheel needs, no more.  Or else, with --demo, the demo runs for two seconds and finds that nothing was lost.
With --no-extensions nothing that is compiled can be imported from outside the standard library.
The last line printed is the name of protobuf's implementation.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import json
import sys
import sysconfig
import tempfile
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SPANS = 1000


class NoExtensions(MetaPathFinder):
    """Refuses compiled modules that lie in site-packages, as a locked-down image does."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        loader = spec and spec.loader
        if isinstance(loader, importlib.machinery.ExtensionFileLoader) and _is_installed(loader.path):
            raise ImportError(f"{name} is compiled, and nothing compiled is allowed here", name=name)


def _is_installed(path: str) -> bool:
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return any(Path(folder) in Path(path).parents for folder in packages)


def main() -> None:
    """Run the job; an assertion that fails is the answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-extensions", action="store_true")
    parser.add_argument("--demo", action="store_true")
    options = parser.parse_args()
    if options.no_extensions:
        sys.meta_path.insert(0, NoExtensions())
    if options.demo:
        _run_demo()
    else:
        _export_spans()
    from google.protobuf.internal import api_implementation

    core = api_implementation.Type()
    assert not (options.no_extensions and core == "upb"), "protobuf's C core was loaded in spite of all"
    print(core)


def _run_demo() -> None:
    from puremux.cli import main as puremux_command

    ended = puremux_command(["demo", "--duration", "2"])
    assert ended == 0, f"puremux demo ended with {ended}"


def _export_spans() -> None:
    import puremux
    from puremux.agent import Agent

    assert "site-packages" in puremux.__file__, f"this is not the wheel: {puremux.__file__}"
    with tempfile.TemporaryDirectory() as folder:
        arrived = Path(folder, "spans.jsonl")
        with Agent("127.0.0.1:0", spans=str(arrived)) as agent, puremux.Exporter(agent.address) as exporter:
            exporter.export([_span(number) for number in range(SPANS)])
            assert exporter.flush(30), exporter.stats()
        names = sorted(json.loads(line)["name"] for line in arrived.read_text("utf-8").splitlines())
    assert names == [f"span {number:04}" for number in range(SPANS)]


def _span(number: int) -> SimpleNamespace:
    """What opencensus's SpanData looks like; the library itself is not needed."""
    return SimpleNamespace(
        name=f"span {number:04}",
        context=SimpleNamespace(trace_id=f"{1:032x}", tracestate=None),
        span_id=f"{number + 1:016x}",
        parent_span_id=None,
        attributes={"number": number, "share": number / SPANS, "even": number % 2 == 0, "text": "grüße"},
        start_time="2026-01-01T00:00:00.000000Z",
        end_time="2026-01-01T00:00:01.000000Z",
        child_span_count=0,
        stack_trace=None,
        annotations=[],
        message_events=[],
        links=[],
        status=None,
        same_process_as_parent_span=None,
        span_kind=0,
    )


if __name__ == "__main__":
    main()
