"""The page of ``puremux wire --html``, in a real Chromium."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from hpack import Encoder
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from fuzz.common import DATA, GOAWAY, HEADERS, PING, SETTINGS, raw
from puremux.proto import trace_pb2, trace_service_pb2
from puremux.protocol.metadata import request_headers
from puremux.wire import Connection, Decoder, Piece
from puremux.wire.page import MOST_ARROWS, PageWriter
from puremux.wire.records import CLIENT, SERVER
from puremux.wire.session import SessionWriter
from puremux.wire.sources import Recording

from .chromium import Chromium

HOSTILE = "</style></pre><script>alert(1)</script><img src=http://example.com/x onerror=alert(2)>\x1b[31m\u202e"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ONE = Connection(1, "127.0.0.1:40000", HOSTILE)


def grpc(payload: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(payload)) + payload


def session() -> list[Piece]:
    """A call with a compressed message whose names are hostile, and something broken."""
    span = trace_pb2.Span(name=trace_pb2.TruncatableString(value=HOSTILE), trace_id=bytes(16))
    message = trace_service_pb2.ExportTraceServiceRequest(spans=[span]).SerializeToString()
    headers = request_headers(
        trace_service_pb2.TRACE_SERVICE_EXPORT_PATH, authority="localhost", scheme="http", encoding="gzip"
    )
    headers = [*headers, (b"x-hostile", HOSTILE.encode())]
    client = PREFACE + raw(SETTINGS, 0, struct.pack(">HI", 4, 1 << 20)) + raw(HEADERS, 1, Encoder().encode(headers), 4)
    packed = grpc(gzip.compress(message, mtime=0), 1)
    server = raw(SETTINGS, 0, b"") + raw(GOAWAY, 0, struct.pack(">II", 1, 0) + HOSTILE.encode())
    return [
        Piece(ONE, 0.0, CLIENT, client),
        Piece(ONE, 0.001, SERVER, server),
        Piece(ONE, 1.5, CLIENT, raw(DATA, 1, packed[:20]) + raw(DATA, 1, packed[20:], 1)),
        Piece(ONE, 1.6, CLIENT, raw(PING, 0, b"short")),
    ]


def write(path: Path, pieces: list[Piece]) -> str:
    """Record a session, and make a page of it."""
    writer = SessionWriter(path.with_suffix(".session"))
    for piece in pieces:
        writer.write(piece)
    writer.close()
    decoder, page = Decoder(), PageWriter(path)
    for piece in Recording(path.with_suffix(".session")):
        for record in decoder.read(piece):
            page.add(record)
    for record in decoder.finish():
        page.add(record)
    page.write()
    return path.as_uri()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("wire") / "page.html", session())


@pytest.fixture
def page(url: str, browser: Chromium) -> Chromium:
    browser.requests()
    browser.open(url)
    return browser


def open_arrow(page: Chromium, kind: str) -> str:
    """Open the last frame of a kind; return the selector of its details."""
    found = [
        item for item in page.find_all("ol > li details[id]") if item.find_element("css selector", ".kind").text == kind
    ]
    found[-1].find_element("css selector", "summary").click()
    return f"#{found[-1].get_attribute('id')}"


def test_it_needs_nothing_from_elsewhere_and_runs_no_script_but_its_own(url: str, page: Chromium, theme: str) -> None:
    page.open(url)
    assert page.complaints() == []
    assert {each.partition(":")[0] for each in page.requests()} <= {"file", "data"}
    assert page.ask("return document.scripts.length") == 1 and page.find_all("img, iframe, link[href^=http]") == []
    dark = page.ask("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128")
    assert dark == (theme == "dark")


def test_each_frame_is_an_arrow_in_its_direction(page: Chromium) -> None:
    kinds = [each.text for each in page.find_all(".kind")]
    assert kinds == ["preface", "SETTINGS", "HEADERS", "SETTINGS", "GOAWAY", "DATA", "DATA", "PING"]
    senders = [item.get_attribute("class").split()[0] for item in page.find_all("ol > li")]
    assert senders == ["from-client"] * 3 + ["from-server"] * 2 + ["from-client"] * 3
    assert [each.text for each in page.find_all(".pause span")] == ["+1.499 s", "+0.100 s"]


def test_hostile_names_are_text(page: Chromium) -> None:
    open_arrow(page, "DATA")
    shown = "</style></pre><script>alert(1)</script><img src=http://example.com/x onerror=alert(2)>\\x1b[31m\\u202e"
    assert shown in page.text
    assert "\u202e" not in page.driver.page_source, "no mark turns the text around"


def test_a_click_shows_what_the_bytes_say(page: Chromium) -> None:
    frame = open_arrow(page, "HEADERS")
    text = page.find(f"{frame} .inside").text
    assert ":path /opencensus.proto.agent.trace.v1.TraceService/Export" in text
    assert "static entry 4" in text and "type 1, HEADERS" in text
    page.find(f"{frame} .table summary").click()
    assert "x-hostile" in page.find(f"{frame} .table").text


def test_a_compressed_message_is_shown_from_inside(page: Chromium) -> None:
    text = page.find(f"{open_arrow(page, 'DATA')} .inside").text
    assert "trace_id" in text and "decompressed:" in text and "gzip" in text


def test_what_is_not_understood_stands_out(page: Chromium) -> None:
    frame = open_arrow(page, "PING")
    assert "The frame ends in the middle of its opaque data." in page.find(f"{frame} .inside").text
    assert page.find(f"{frame} .hex b.unknown").text == "73 68 6f 72 74"


def test_the_dumps_are_all_that_was_sent(page: Chromium) -> None:
    script = """return [...document.querySelectorAll(arguments[0] + ' .hex')].map(dump => {
        const rows = [...dump.children], end = rows.findIndex(row => row.classList.contains('soft'));
        return (end < 0 ? rows : rows.slice(0, end)).map(row => row.textContent.slice(10, 57)).join(' ')}).join(' ')"""
    for sender in (CLIENT, SERVER):
        sent = b"".join(piece.data for piece in session() if piece.sender == sender)
        assert bytes.fromhex(page.ask(script, f".from-{sender}")) == sent


def test_everything_can_be_reached_by_keys(page: Chromium) -> None:
    page.press(Keys.TAB, Keys.TAB, Keys.ARROW_DOWN)
    assert "preface" in page.focused.text
    page.press(Keys.ARROW_DOWN, "j", Keys.ENTER)
    assert "HEADERS" in page.focused.text and page.find_all("details[open]") != []
    page.press(Keys.ARROW_LEFT)
    assert page.find_all("details[open]") == []
    page.press(Keys.ARROW_RIGHT, Keys.TAB)
    assert page.focused.tag_name == "summary" or "hex" in page.focused.get_attribute("class")
    page.press(Keys.END)
    assert "PING" in page.focused.text
    page.press("/", "goaway")
    assert [each.text for each in page.find_all(".kind") if each.is_displayed()] == ["GOAWAY"]


def test_the_bytes_of_a_field_light_up_beside_it(page: Chromium) -> None:
    frame = open_arrow(page, "PING")
    line = page.find(f"{frame} .line.unknown")
    ActionChains(page.driver).move_to_element(line).perform()
    assert "lit" in page.find(f"{frame} .hex b.unknown").get_attribute("class")
    assert "lit" not in page.find(f"{frame} .hex b.frame").get_attribute("class")


def test_all_can_be_opened_at_once(page: Chromium) -> None:
    page.find("#open").click()
    assert len(page.find_all("ol > li > details[open]")) == 8
    page.find("#open").click()
    assert page.find_all("details[open]") == []


def test_without_scripts_it_can_be_read(url: str, browser: Chromium) -> None:
    browser.scripts(False)
    browser.open(url)
    assert not browser.find("#filter").is_displayed()
    assert "static entry 4" in browser.find(f"{open_arrow(browser, 'HEADERS')} .inside").text


def test_ten_thousand_frames_are_as_many_as_one_can_look_at(tmp_path: Path, browser: Chromium) -> None:
    pings = [Piece(ONE, 0.0, CLIENT, PREFACE)]
    pings += [Piece(ONE, index / 1000, CLIENT, raw(PING, 0, b"12345678")) for index in range(10_000)]
    browser.open(write(tmp_path / "page.html", pings))
    assert browser.ask("return document.querySelectorAll('.kind').length") == MOST_ARROWS
    assert browser.find("main > p").text == f"{10_001 - MOST_ARROWS:,} more frames; --full shows them."
