"""The pages over HTTP: a WSGI application that trusts neither addresses, nor forms, nor the names it is called by.

Floor 5, zpages: imports render and site.
Spec: PEP 3333; RFC 9110.

Against other web sites: pages are shown under names of this machine only (DNS rebinding), changes take a POST from the
same origin with a token that only our own pages contain (request forgery), and nothing may be framed, scripted, or
fetched from elsewhere (Content-Security-Policy).
Against browsers that ask too much: one page is made at a time, and then there is a pause half as long as that took.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Callable, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from .render import STYLE, render, style_sheet
from .site import Filled, NotHere, Request, Seen, Site, ZPage

__all__ = ["PREFIX", "ZPages"]

PREFIX = "/debug"
LARGEST_FORM = 16 * 1024  # bytes
MOST_FIELDS = 50  # of a query or a form
PATIENCE = 10.0  # seconds to wait until another page is made
LONGEST_PAUSE = 0.5  # seconds
ANY_HOST = "*"

POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]

HTML = "text/html; charset=utf-8"

Made = TypeVar("Made")
Respond = Callable[[str, list[tuple[str, str]]], Any]


class _Refusal(Exception):
    """The request is not answered with what it asks for."""

    def __init__(self, status: str, sentence: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = list(headers)


class ZPages:
    """Pages as a WSGI application, to be served by itself or mounted in another one, under any prefix.

    Args:
        site: what to show.
        hosts: names, beside ``localhost`` and addresses in figures, under which the pages may be asked for; ``"*"`` for
            all, where the server in front sees to that.
    """

    def __init__(self, site: Site, hosts: Iterable[str] = ()) -> None:
        self.site = site
        self._hosts = {host.lower() for host in hosts}
        self._token = secrets.token_urlsafe(24)
        self._pages = {page.name: page for page in site.pages}
        self._making = threading.Lock()
        self._rested_at = 0.0

    def close(self) -> None:
        """Collect nothing more.  What is asked for later shows what there was."""
        self.site.close()

    def __call__(self, environ: dict[str, Any], start_response: Respond) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        base, path = _where(environ)
        try:
            self._check_host(environ)
            if path == "/" + STYLE:
                _allow(environ, "GET", "HEAD")
                return _send(environ, start_response, "200 OK", style_sheet(), "text/css; charset=utf-8")
            return self._page(environ, start_response, base, path)
        except _Refusal as refusal:
            return self._refuse(environ, start_response, base, refusal)

    def _page(self, environ: dict[str, Any], start_response: Respond, base: str, path: str) -> Iterable[bytes]:
        if not path:
            _allow(environ, "GET", "HEAD")
            return _redirect(start_response, f"{base}/")
        name, *rest = path[1:].split("/")
        page = self._pages.get(name)
        if page is None and (name or rest):
            raise _Refusal("404 Not Found", "There is no such page here.")
        make: Callable[[], Filled | Seen] = self._index
        if page is not None:
            make = self._made_by(environ, page, rest)
        else:
            _allow(environ, "GET", "HEAD")
        made = self._slowly(lambda: self._made(base, make, page))
        if isinstance(made, Seen):
            return _redirect(start_response, f"{base}/{name}{made.query}")
        status, body = made
        return _send(environ, start_response, status, body, HTML)

    def _index(self) -> Filled:
        return Filled("index.html", {"overview": self.site.overview()})

    def _made_by(self, environ: Mapping[str, Any], page: ZPage, rest: list[str]) -> Callable[[], Filled | Seen]:
        if environ["REQUEST_METHOD"] == "POST" and page.changes:
            form = _form(environ)
            _check_origin(environ)
            if not hmac.compare_digest(form.get("token", "").encode("utf-8", "replace"), self._token.encode()):
                raise _Refusal("403 Forbidden", "The form comes from another run of this program; load the page again.")
            return lambda: page.post(Request((), {}, form))
        _allow(environ, "GET", "HEAD", *(["POST"] if page.changes else []))
        query = _fields(environ.get("QUERY_STRING", ""))
        return lambda: page.get(Request(rest, query))

    def _made(self, base: str, make: Callable[[], Filled | Seen], page: ZPage | None) -> Seen | tuple[str, bytes]:
        try:
            filled = make()
        except NotHere as error:
            raise _Refusal("404 Not Found", str(error)) from None
        if isinstance(filled, Seen):
            return filled
        return filled.status, self._render(base, filled, page)

    def _render(self, base: str, filled: Filled, page: ZPage | None) -> bytes:
        ours = {"site": self.site, "page": page, "base": base, "style": f"{base}/{STYLE}", "token": self._token}
        return render(filled.template, {**ours, **filled.values})

    def _slowly(self, make: Callable[[], Made]) -> Made:
        """Make something for a page, one at a time, and not all of the time."""
        if not self._making.acquire(timeout=PATIENCE):
            raise _Refusal("503 Service Unavailable", "Others are asking for these pages; try again.")
        try:
            time.sleep(max(0.0, min(LONGEST_PAUSE, self._rested_at - time.monotonic())))
            began = time.monotonic()
            try:
                return make()
            finally:
                now = time.monotonic()
                self._rested_at = now + (now - began) / 2
        finally:
            self._making.release()

    def _refuse(
        self, environ: Mapping[str, Any], start_response: Respond, base: str, refusal: _Refusal
    ) -> Iterable[bytes]:
        values = {"heading": refusal.status.partition(" ")[2], "sentence": refusal.sentence}
        body = self._render(base, Filled("error.html", values), None)
        return _send(environ, start_response, refusal.status, body, HTML, refusal.headers)

    def _check_host(self, environ: Mapping[str, Any]) -> None:
        """A page under a name that we don't know may be a foreign site that points its name at this machine."""
        host = _host_name(environ.get("HTTP_HOST", ""))
        if host == "localhost" or host in self._hosts or ANY_HOST in self._hosts or _is_address(host):
            return
        raise _Refusal(
            "403 Forbidden",
            "These pages are shown under localhost and under addresses in figures, so that no other web site can read "
            "them.  The option hosts= allows more names.",
        )


def _where(environ: Mapping[str, Any]) -> tuple[str, str]:
    """What our addresses begin with, as it stands in a link, and the path behind it.  ``/debug`` goes to the first."""
    script, path = environ.get("SCRIPT_NAME", "").rstrip("/"), environ.get("PATH_INFO", "")
    if path == PREFIX or path.startswith(PREFIX + "/"):
        script, path = script + PREFIX, path[len(PREFIX) :]
    return quote(script.encode("latin-1", "replace"), safe="/"), path


def _allow(environ: Mapping[str, Any], *methods: str) -> None:
    if environ["REQUEST_METHOD"] not in methods:
        allowed = ", ".join(methods)
        raise _Refusal("405 Method Not Allowed", f"This page takes {allowed}.", [("Allow", allowed)])


def _fields(encoded: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(encoded, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise _Refusal("400 Bad Request", f"There are more than {MOST_FIELDS} fields.") from None


def _form(environ: Mapping[str, Any]) -> dict[str, str]:
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise _Refusal("415 Unsupported Media Type", "A form is sent as application/x-www-form-urlencoded.")
    length = environ.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit() and len(length) < 10):
        raise _Refusal("411 Length Required", "A form says how long it is.")
    if int(length) > LARGEST_FORM:
        raise _Refusal("413 Content Too Large", f"A form has at most {LARGEST_FORM} bytes.")
    return _fields(environ["wsgi.input"].read(int(length)).decode("ascii", "replace"))


def _check_origin(environ: Mapping[str, Any]) -> None:
    """A browser says where a form comes from; who says nothing has no other site's pages in it."""
    origin, site = environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
    same = origin is None or _origin_host(origin) == environ.get("HTTP_HOST", "").lower()
    if not same or site not in ("same-origin", "none"):
        raise _Refusal("403 Forbidden", "Changes are made from these pages only.")


def _origin_host(origin: str) -> str | None:
    """Host and port of an Origin header; None for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _redirect(start_response: Respond, location: str) -> Iterable[bytes]:
    kind = ("Content-Type", "text/plain; charset=utf-8")
    start_response("303 See Other", [("Location", location), kind, ("Content-Length", "0"), *HEADERS])
    return []


def _send(
    environ: Mapping[str, Any],
    start_response: Respond,
    status: str,
    body: bytes,
    kind: str,
    headers: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    caching = "no-cache" if kind.startswith("text/css") else "no-store"
    start_response(
        status,
        [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", caching),
            *HEADERS,
            *headers,
        ],
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
