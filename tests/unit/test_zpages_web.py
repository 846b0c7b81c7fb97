"""The pages as a WSGI application: addresses, methods, hostile requests, hostile names."""

from __future__ import annotations

import html
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode
from wsgiref.validate import validator

import pytest

import puremux
from puremux.exporter import SpanLimits
from puremux.exporter.spans import SpanEncoder
from puremux.zpages import app, render
from puremux.zpages.book import name_id
from puremux.zpages.web import LARGEST_FORM, ZPages

PAGES = ["tracez", "rpcz", "statsz", "traceconfigz", "exporterz"]
HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)',
    "template": "{{ 7 * 7 }}{% raw %}",
    "long": "x" * 10_000,
    "control": "a\x00b\x1b[31mc\nd",
    "rtl": "\u202egnp.exe",
    "surrogate": "a\ud800b",
    "empty": "",
}


def span(name: str, **fields: Any) -> Any:
    usual = {
        "context": SimpleNamespace(trace_id="0af7651916cd43dd8448eb211c80319c", tracestate=None),
        "span_id": "b7ad6b7169203331",
        "parent_span_id": None,
        "attributes": {},
        "start_time": "2026-11-23T12:00:00.000001Z",
        "end_time": "2026-11-23T12:00:01.000002Z",
        "child_span_count": 0,
        "stack_trace": None,
        "annotations": [],
        "message_events": [],
        "links": [],
        "status": None,
        "same_process_as_parent_span": True,
        "span_kind": 0,
    }
    return SimpleNamespace(name=name, **{**usual, **fields})


@pytest.fixture
def exporter() -> Iterator[puremux.Exporter]:
    exporter = puremux.Exporter("127.0.0.1:9", service_name="shop", start=False)
    yield exporter
    exporter.stop(0)


@pytest.fixture
def pages(exporter: puremux.Exporter) -> Iterator[ZPages]:
    pages = app(exporter)
    yield pages
    pages.close()


class Answered:
    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = int(status.split(maxsplit=1)[0])
        self.headers = dict(headers)
        self.text = body.decode()


def ask(pages: Any, path: str, method: str = "GET", form: dict[str, str] | None = None, **environ: Any) -> Answered:
    body = urlencode(form or {}).encode()
    path, _, query = path.partition("?")
    given = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "9999",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost:9999",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if method == "POST":
        given["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
        given["CONTENT_LENGTH"] = str(len(body))
    given = {key: value for key, value in {**given, **environ}.items() if value is not None}
    seen: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        seen[:] = [status, headers]
        return lambda data: None

    answer = validator(pages)(given, start)
    try:
        body = b"".join(answer)
    finally:
        answer.close()  # type: ignore[attr-defined]  # the validator's
    return Answered(seen[0], seen[1], body)


def token(pages: ZPages) -> str:
    found = re.search(r'name="token" value="([^"]+)"', ask(pages, "/debug/traceconfigz").text)
    assert found is not None
    return found[1]


def give(pages: ZPages, *spans: Any) -> None:
    """Have the pages told of spans as the exporter tells them."""
    encoder = SpanEncoder()
    pages.site._sent.batch("spans", b"".join(encoder.field(each) for each in spans))  # type: ignore[attr-defined]


# Addresses


@pytest.mark.parametrize("name", ["", *PAGES])
@pytest.mark.parametrize("prefix", ["", "/debug"])
@pytest.mark.parametrize("mount", ["", "/my/admin"])
def test_every_page_is_there_under_any_prefix(pages: ZPages, name: str, prefix: str, mount: str) -> None:
    answered = ask(pages, f"{prefix}/{name}", SCRIPT_NAME=mount)
    assert answered.status == 200
    links = re.findall(r'(?:href|action)="(/[^"]*)"', answered.text)
    assert f"{mount}{prefix}/tracez" in links
    assert all(link.startswith(f"{mount}{prefix}/") for link in links)
    style = re.search(r'rel="stylesheet" href="([^"]+)"', answered.text)
    assert style is not None
    css = ask(pages, style[1][len(mount) :], SCRIPT_NAME=mount)
    assert (css.status, css.headers["Content-Type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.parametrize("mount", ["", "/admin"])
def test_the_first_page_has_a_slash_behind_it(pages: ZPages, mount: str) -> None:
    answered = ask(pages, "/debug", SCRIPT_NAME=mount)
    assert (answered.status, answered.headers["Location"]) == (303, f"{mount}/debug/")


@pytest.mark.parametrize(
    "path",
    [
        "/debug/nothing",
        "/debugx",
        "/debug/tracez/zz/zz",
        "/debug/tracez/00/00",
        "/debug/tracez/00",
        "/debug//",
        "/x/y/z",
    ],
)
def test_what_is_not_there_is_not_found(pages: ZPages, path: str) -> None:
    assert ask(pages, path).status == 404


@pytest.mark.parametrize("name", PAGES)
def test_a_span_name_that_nobody_knows_is_not_found(pages: ZPages, name: str) -> None:
    assert ask(pages, f"/debug/{name}?name=nobody").status == (404 if name == "tracez" else 200)


@pytest.mark.parametrize("cell", ["9", "-1", "x", pytest.param("7" * 5_000, id="a number of 5,000 digits")])
def test_a_cell_that_no_table_has_is_all_of_them(pages: ZPages, cell: str) -> None:
    give(pages, span("coffee"))
    assert "that have ended" in ask(pages, f"/debug/tracez?name={name_id('coffee')}&cell={cell}").text


def test_a_span_that_cannot_be_decoded_says_so_in_place_of_its_page(pages: ZPages) -> None:
    broken = b"\x0a\x01t" + b"\x12\x01s" + b"\x22\x03\x0a\x01\xff"  # its ids, and a name that is no UTF-8
    pages.site._sent.batch("spans", b"\x12%c" % len(broken) + broken)  # type: ignore[attr-defined]
    answered = ask(pages, "/debug/tracez/74/73")
    assert answered.status == 404
    assert "the span cannot be decoded" in answered.text


# Methods


@pytest.mark.parametrize("path", ["/debug", "/debug/", "/debug/zpages.css", *(f"/debug/{name}" for name in PAGES)])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_not_allowed(pages: ZPages, path: str, method: str) -> None:
    if (path, method) == ("/debug/traceconfigz", "POST"):
        return
    answered = ask(pages, path, method)
    assert answered.status == 405
    assert answered.headers["Allow"] == ("GET, HEAD, POST" if "config" in path else "GET, HEAD")


@pytest.mark.parametrize("path", ["/debug/", "/debug/tracez", "/debug/zpages.css", "/debug/nothing"])
def test_head_is_get_without_a_body(pages: ZPages, path: str) -> None:
    get, head = ask(pages, path), ask(pages, path, "HEAD")
    assert (head.status, head.text) == (get.status, "")
    assert head.headers.keys() == get.headers.keys()


# Other web sites


@pytest.mark.parametrize(
    "host, status",
    [
        ("localhost:9999", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:9999", 200),
        ("[::1]:9999", 200),
        ("192.0.2.7", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example:9999", 403),
        ("localhost:9999@evil.example", 403),
        ("[::1", 403),
        ("", 403),
        (None, 403),
    ],
)
def test_a_name_that_a_foreign_site_points_here_is_refused(pages: ZPages, host: str | None, status: int) -> None:
    for path in ("/debug/tracez", "/debug/zpages.css"):
        assert ask(pages, path, HTTP_HOST=host).status == status


@pytest.mark.parametrize("hosts, status", [((), 403), (("debug.example",), 200), (("*",), 200)])
def test_other_names_are_allowed_when_asked_for(exporter: puremux.Exporter, hosts: Any, status: int) -> None:
    pages = app(exporter, hosts=hosts)
    assert ask(pages, "/debug/tracez", HTTP_HOST="Debug.example:9999").status == status
    pages.close()


@pytest.mark.parametrize("name", ["", *PAGES])
def test_nothing_foreign_may_be_loaded_framed_or_run(pages: ZPages, name: str) -> None:
    answered = ask(pages, f"/debug/{name}")
    policy = answered.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answered.headers["X-Content-Type-Options"] == "nosniff"
    assert answered.headers["Cache-Control"] == "no-store"
    assert not re.findall(r"<script|\sstyle=|\son\w+=|https?://", answered.text.replace("http://www.w3.org", ""))


# Changes


def test_the_sampler_and_the_limits_are_changed_by_the_form(pages: ZPages, exporter: puremux.Exporter) -> None:
    form = {"token": token(pages), "sampler": "on", "attributes": "5"}
    answered = ask(pages, "/debug/traceconfigz", "POST", form, HTTP_ORIGIN="http://localhost:9999")
    assert (answered.status, answered.headers["Location"]) == (303, "/debug/traceconfigz?changed=1")
    assert exporter.sampler.should_sample(SimpleNamespace(trace_id="f" * 32))
    assert exporter.sampler.limits == SpanLimits(max_attributes=5)
    after = ask(pages, "/debug/traceconfigz?changed=1").text
    assert "every trace" in after
    assert 'value="on" checked' in after
    assert "This was asked for." in after


def test_a_mistake_in_the_form_changes_nothing_and_keeps_what_was_written(pages: ZPages) -> None:
    form = {"token": token(pages), "sampler": "probability", "probability": '"><b>'}
    answered = ask(pages, "/debug/traceconfigz", "POST", form)
    assert answered.status == 400
    assert "The share is a number from 0 to 1" in answered.text
    assert 'value="&#34;&gt;&lt;b&gt;"' in answered.text


@pytest.mark.parametrize(
    "change, status",
    [
        pytest.param({"form": {"sampler": "on"}}, 403, id="no token"),
        pytest.param({"form": {"sampler": "on", "token": "guessed"}}, 403, id="a wrong token"),
        pytest.param({"form": {"sampler": "on", "token": "\ud800é"}}, 403, id="a token that is no text"),
        pytest.param({"HTTP_ORIGIN": "http://evil.example"}, 403, id="another origin"),
        pytest.param({"HTTP_ORIGIN": "null"}, 403, id="an origin that is hidden"),
        pytest.param({"HTTP_ORIGIN": "http://[localhost:9999"}, 403, id="an origin that is none"),
        pytest.param({"HTTP_ORIGIN": "http://localhost:1"}, 403, id="another port"),
        pytest.param({"HTTP_SEC_FETCH_SITE": "cross-site"}, 403, id="the browser says it is another site"),
        pytest.param({"HTTP_HOST": "evil.example", "HTTP_ORIGIN": "http://evil.example"}, 403, id="another name"),
        pytest.param({"CONTENT_TYPE": "text/plain"}, 415, id="another type"),
        pytest.param({"CONTENT_TYPE": "multipart/form-data"}, 415, id="files"),
        pytest.param({"CONTENT_LENGTH": None}, 411, id="no length"),
        pytest.param({"CONTENT_LENGTH": ""}, 411, id="an empty length"),
        pytest.param({"CONTENT_LENGTH": str(LARGEST_FORM + 1)}, 413, id="too long"),
        pytest.param({"form": {f"f{number}": "x" for number in range(99)}}, 400, id="too many fields"),
    ],
)
def test_changes_from_elsewhere_are_refused(
    pages: ZPages, exporter: puremux.Exporter, change: dict[str, Any], status: int
) -> None:
    before = exporter.sampler.current()
    given = {"form": {"token": token(pages), "sampler": "on"}, "HTTP_ORIGIN": "http://localhost:9999", **change}
    if "form" in change:
        given["form"] = {key: value.encode("utf-8", "surrogatepass") for key, value in change["form"].items()}
    assert ask(pages, "/debug/traceconfigz", "POST", **given).status == status
    assert exporter.sampler.current() == before


def test_each_application_has_a_token_of_its_own(exporter: puremux.Exporter) -> None:
    first, second = app(exporter), app(exporter)
    assert token(first) != token(second)
    first.close()
    second.close()


# What is shown


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_shown_as_texts(pages: ZPages, name: str) -> None:
    give(pages, span(name, attributes={name or "k": name}, status=SimpleNamespace(code=2, message=name)))
    stored = name.encode("utf-8", "replace").decode()
    for path in (
        "/debug/tracez",
        f"/debug/tracez?name={name_id(stored)}&cell=errors",
        "/debug/tracez/0af7651916cd43dd8448eb211c80319c/b7ad6b7169203331",
    ):
        answered = ask(pages, path)
        assert answered.status == 200
        assert not re.search(r"<script|<[^>]*onmouseover|\x00|\x1b|\u202e", answered.text)
        assert len(answered.text) < 40_000
        assert name[:10] in html.unescape(answered.text) or not name.isprintable()
    assert ask(pages, f"/debug/tracez?find={quote(name, errors='replace')}").status == 200


def test_long_names_are_cut_and_say_so(pages: ZPages) -> None:
    give(pages, span("y" * 10_000))
    assert "9,940 more characters" in ask(pages, "/debug/tracez").text


def test_a_span_is_found_by_name_latency_and_id(pages: ZPages) -> None:
    give(pages, span("Foo", attributes={"cups": 2}))
    table = ask(pages, "/debug/tracez").text
    assert f'href="?name={name_id("Foo")}&amp;cell=6"' in table
    cell = ask(pages, f"/debug/tracez?name={name_id('Foo')}&cell=6").text
    assert "that took 1 s to 10 s: 1." in cell
    assert "cups=2" in cell
    address = re.search(r'href="(/debug/tracez/[0-9a-f]{32}/[0-9a-f]{16})"', cell)
    assert address is not None
    assert "cups" in ask(pages, address[1]).text


def test_names_are_found_sorted_and_given_in_parts(pages: ZPages) -> None:
    give(pages, *(span(f"name {number:03}") for number in range(250)), span("other"), span("other"))
    first = ask(pages, "/debug/tracez").text
    assert "1 to 100 of 251" in first
    assert 'rel="next" href="?from=100"' in first
    last = ask(pages, "/debug/tracez?from=200").text
    assert "201 to 251 of 251" in last
    assert 'rel="next"' not in last
    assert "1 to 1 of 1" in ask(pages, "/debug/tracez?find=OTHER").text
    sorted_page = ask(pages, "/debug/tracez?sort=count").text
    assert sorted_page.index("other") < sorted_page.index("name 000")
    assert ask(pages, "/debug/tracez?from=999999999999&sort=nonsense").status == 200


def test_a_batch_that_cannot_be_read_is_left_out_and_the_next_one_is_shown(pages: ZPages) -> None:
    for signal in ("spans", "metrics"):
        pages.site._sent.batch(signal, b"\x0b\x0c")  # type: ignore[attr-defined]  # a group, which protobuf hands on
    give(pages, span("after it"))
    assert "after it" in ask(pages, "/debug/tracez").text


def test_errors_are_pages_too(pages: ZPages) -> None:
    answered = ask(pages, "/debug/nothing")
    assert answered.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "There is no such page here." in answered.text


def test_pages_of_a_program_that_dropped_its_exporter_can_still_be_asked_for(pages: ZPages) -> None:
    pages.close()
    assert ask(pages, "/debug/exporterz").status == 200


# jinja2


def test_without_jinja2_one_sentence_says_what_to_install() -> None:
    program = """
import sys
sys.modules["jinja2"] = None
import puremux
from puremux import zpages
exporter = puremux.Exporter("127.0.0.1:9", start=False)
for make in (lambda: zpages.app(exporter), lambda: zpages.serve(0, exporter)):
    try:
        make()
    except puremux.errors.PuremuxError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    sentence = "zPages are made with jinja2, which cannot be imported"
    assert [line.startswith(sentence) for line in done.stdout.splitlines()] == [True, True]
    assert all(line.endswith("Install it: pip install 'puremux[zpages]'") for line in done.stdout.splitlines())


def test_every_template_and_the_style_sheet_are_packaged() -> None:
    assert render.style_sheet().startswith(b"/*")
