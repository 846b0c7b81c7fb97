"""Findings on a screen: a line each, with a mark, and below a failure what to do about it.

Floor 5, probe: imports findings; rich only when it is there and the output is a terminal.
"""

from __future__ import annotations

import textwrap
from typing import Callable, TextIO

from .findings import Finding, Mark

__all__ = ["renderer"]

NAME_WIDTH = 19
PLAIN_MARKS = {Mark.FOUND: "ok", Mark.FAILED: "!!", Mark.LEFT_OUT: "--"}  # where the marks cannot be written
STYLES = {Mark.FOUND: "green", Mark.FAILED: "bold red", Mark.LEFT_OUT: "dim"}


def renderer(output: TextIO) -> Callable[[Finding], None]:
    """What shows a finding on the output, as well as the output can."""
    if output.isatty():
        try:
            return _on_rich(output)
        except ImportError:
            pass  # rich is an extra: plain lines tell the same
    return lambda finding: _write(output, "".join(_lines(finding, _marks(output))))


def _marks(output: TextIO) -> dict[Mark, str]:
    marks = {mark: mark.value for mark in Mark}
    try:
        "".join(marks.values()).encode(output.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return PLAIN_MARKS
    return marks


def _lines(finding: Finding, marks: dict[Mark, str]) -> list[str]:
    lines = [f"{marks[finding.mark]} {finding.step:{NAME_WIDTH}} {finding.says}\n"]
    if finding.advice:
        lines.append(f"{'':{NAME_WIDTH + 3}}{finding.advice}\n")
    return lines


def _write(output: TextIO, text: str) -> None:
    encoding = output.encoding or "utf-8"
    output.write(text.encode(encoding, "replace").decode(encoding))
    output.flush()


def _on_rich(output: TextIO) -> Callable[[Finding], None]:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(file=output, highlight=False)
    marks = _marks(output)
    indent = NAME_WIDTH + len(marks[Mark.FOUND]) + 2

    def show(finding: Finding) -> None:
        style = STYLES[finding.mark]
        first, *rest = textwrap.wrap(finding.says, max(20, console.width - indent)) or [""]
        console.print(
            Text.assemble((marks[finding.mark], style), " ", (f"{finding.step:{NAME_WIDTH}}", "bold"), " ", first)
        )
        for line in rest:
            console.print(Padding(Text(line), (0, 0, 0, indent)))
        if finding.advice:
            console.print(Padding(Text(finding.advice, style="yellow"), (0, 0, 0, indent)))

    return show
