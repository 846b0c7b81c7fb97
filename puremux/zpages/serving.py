"""zPages on a port of their own, or in somebody else's server.

Floor 5, zpages: imports book, program, render, site and web, and page and exporter below.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from ..exporter import Exporter
from ..page import PageServer, serve_wsgi
from .book import Bounds
from .program import ProgramSite
from .render import require_jinja2
from .site import Site
from .web import PREFIX, ZPages

__all__ = ["Served", "app", "serve", "serve_site"]


class Served:
    """zPages that are being served; :meth:`close`, or the end of a ``with`` block, ends that."""

    def __init__(self, pages: ZPages, page: PageServer) -> None:
        self._pages = pages
        self._page = page
        self.url = page.url
        """Where to look, such as ``http://127.0.0.1:9999/debug/``."""

    @property
    def port(self) -> int:
        """The port it got, if any free one was asked for."""
        return int(self._page.port)

    def close(self) -> None:
        """Serve no more, and let go of the exporter.  A second time does nothing."""
        self._page.close()
        self._pages.close()

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def serve(
    port: int,
    exporter: Exporter,
    *,
    host: str = "127.0.0.1",
    hosts: Iterable[str] = (),
    bounds: Bounds | None = None,
) -> Served:
    """Serve the zPages of a program under ``/debug``, on daemon threads.

    They show to whoever can reach the port what the program does, and let him change its sampler: leave them on this
    machine, unless something in front asks who he is.

    Args:
        port: 0 for any free one.
        exporter: is watched from now on; spans that it sent before are not shown.
        host: the address to listen on.
        hosts: names under which the pages may be asked for, beside ``localhost`` and addresses in figures.
        bounds: how many spans are held for the pages.
    Raises:
        PuremuxError: jinja2 is not installed; the sentence says what to install.
        OSError: the address cannot be listened on; the message names it.
        ValueError: the port is none.
    """
    require_jinja2()
    site = ProgramSite(exporter, bounds or Bounds())
    try:
        return serve_site(site, host, port, hosts)
    except BaseException:
        site.close()
        raise


def app(exporter: Exporter, *, hosts: Iterable[str] = (), bounds: Bounds | None = None) -> ZPages:
    """The zPages of a program as a WSGI application, to mount in a server under any prefix.

    Args:
        exporter, bounds: as :func:`serve` takes them.
        hosts: names under which the pages may be asked for; ``"*"`` for all, where the server sees to that.
    Returns:
        The application; its ``close()`` lets go of the exporter.
    Raises:
        PuremuxError: jinja2 is not installed; the sentence says what to install.
    """
    require_jinja2()
    return ZPages(ProgramSite(exporter, bounds or Bounds()), hosts)


def serve_site(site: Site, host: str, port: int, hosts: Iterable[str] = ()) -> Served:
    """Serve any pages under ``/debug``.

    Raises:
        PuremuxError: jinja2 is not installed.
        OSError: the address cannot be listened on.
    """
    require_jinja2()
    pages = ZPages(site, {host, *hosts})
    page = serve_wsgi(pages, host, port, PREFIX + "/")
    return Served(pages, page)
