"""Takes the pictures of the documentation, in a real Chromium.  Call it as ``make pictures``.

Usage: python -m tools.screenshots [NAME ...]

Each picture is a file docs/pictures/NAME-THEME.png, of a page as a program of today makes it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Callable

from puremux import Exporter
from puremux.agent import Agent
from puremux.proto import trace_pb2, trace_service_pb2
from puremux.wire import Decoder, Recorder
from puremux.wire.page import Page
from puremux.wire.sources import Recording
from tests.browser.chromium import THEMES, Chromium
from tools import zpages_pictures

__all__ = ["main"]

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"

OPEN_A_MESSAGE = """
const frames = [...document.querySelectorAll("summary")];
const frame = frames.find((each) => each.textContent.includes("ExportTraceServiceRequest"));
frame.parentElement.open = true;
frame.scrollIntoView({ block: "center" });
window.scrollBy(0, 160);
const field = [...frame.parentElement.querySelectorAll(".line")].find((each) => each.textContent.includes("kitchen"));
field.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
"""

PATIENCE = 20.0  # seconds that an export may take


def main() -> None:
    """Take the pictures named, or all."""
    parser = argparse.ArgumentParser(description="Take the pictures of the documentation.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENES)}; all, if none is named")
    names = parser.parse_args().names or list(SCENES)
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Chromium(Path(folder) / "profile") as browser:
        for name in names:
            SCENES[name](browser, Path(folder), lambda theme, name=name: PICTURES / f"{name}-{theme}.png")


def wire(browser: Chromium, folder: Path, picture: Callable[[str], Path]) -> None:
    """An exporter's first words to an agent."""
    browser.resize(1280, 860)
    session_to_page(folder / "session", folder / "wire.html")
    for theme in THEMES:
        browser.theme(theme)
        browser.open((folder / "wire.html").as_uri())
        browser.ask(OPEN_A_MESSAGE)
        browser.picture(picture(theme))


def session_to_page(session: Path, page_path: Path) -> None:
    span = trace_pb2.Span(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        name=trace_pb2.TruncatableString(value="breakfast"),
        kind=trace_pb2.Span.CLIENT,
    )
    with (
        Agent("localhost:0") as agent,
        Recorder(session) as recorder,
        Exporter(agent.address, service_name="kitchen", tap=recorder, host_name="home") as exporter,
    ):
        exporter.export_trace_request(trace_service_pb2.ExportTraceServiceRequest(spans=[span]))
        if not exporter.flush(PATIENCE):
            raise SystemExit("the agent did not take the span")
    decoder, page = Decoder(), Page(page_path)
    for piece in Recording(session):
        for record in decoder.read(piece):
            page.add(record)
    for record in decoder.finish():
        page.add(record)
    page.write()


SCENES = {"wire": wire, **zpages_pictures.SCENES}

if __name__ == "__main__":
    main()
