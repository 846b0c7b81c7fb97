"""Pages over HTTP, Prometheus's for one: where it listens, what many and slow clients can do, how it closes."""

from __future__ import annotations

import errno
import gzip
import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout  # another than the builtin one in Python 3.9 and 3.10
from typing import Any

import pytest

from puremux import page as page_module
from puremux.agent.intake import MetricsIntake
from puremux.agent.prometheus import serve_page
from puremux.agent.store import Store
from puremux.page import PageServer, serve_wsgi
from tests.shared.agent_messages import metric, metrics_request, node
from tests.shared.waiting import eventually


def fetch(page: PageServer, path: str = "/metrics", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request, with a bound."""
    connection = http.client.HTTPConnection(str(page.host), page.port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@pytest.fixture
def store() -> Store:
    store = Store()
    MetricsIntake(store).receive(metrics_request(metric("m"), node=node()))
    return store


@pytest.fixture
def page(store: Store) -> Iterator[PageServer]:
    served = serve_page(store, "127.0.0.1", 0)
    yield served
    served.close()


def test_without_descriptors_the_server_rests_between_its_attempts(
    page: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[float] = []
    accept = socket.socket.accept

    def refuse(listener: socket.socket) -> Any:
        if len(attempts) >= 3:
            return accept(listener)
        attempts.append(time.monotonic())
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", refuse)
    assert fetch(page)[0] == 200, "who came meanwhile is served when there are some again"
    assert attempts[2] - attempts[0] >= 0.9, "it turned without a rest"


def test_a_free_port_is_found_and_told(page: PageServer) -> None:
    status, headers, body = fetch(page)
    assert page.url == f"http://127.0.0.1:{page.port}/metrics"
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\nm{" in body


def test_ipv6(store: Store) -> None:
    try:
        page = serve_page(store, "::1", 0)
    except OSError as error:
        pytest.skip(str(error))
    try:
        assert page.url == f"http://[::1]:{page.port}/metrics"
        assert fetch(page)[0] == 200
    finally:
        page.close()


def test_openmetrics_and_gzip_as_asked_for(page: PageServer) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    _, headers, body = fetch(page, Accept=accept, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body).endswith(b"# EOF\n")


@pytest.mark.parametrize("path, status", [("/", 200), ("/metrics", 200), ("/metrics?name[]=m", 200), ("/x", 404)])
def test_paths(page: PageServer, path: str, status: int) -> None:
    assert fetch(page, path)[0] == status


def test_an_address_in_use_is_named(page: PageServer) -> None:
    with pytest.raises(OSError, match=rf"cannot serve a page on 127.0.0.1:{page.port}: Address already in use"):
        serve_page(Store(), "127.0.0.1", page.port)


def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot serve a page on no\.such\.host\.invalid:0: "):
        serve_page(Store(), "no.such.host.invalid", 0)


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_a_port_that_is_none_is_named(port: int) -> None:
    with pytest.raises(ValueError, match=f"a port is a number from 0 to 65535, not {port}"):
        serve_page(Store(), "127.0.0.1", port)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_that_closes_a_page_does_not_wait_for_it(page: PageServer) -> None:
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # it ends, come what may
        page.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fetch(page)[0] == 200


def test_a_closed_page_frees_its_port(store: Store) -> None:
    page = serve_page(store, "127.0.0.1", 0)
    page.close()
    page.close()
    with pytest.raises(ConnectionRefusedError):
        fetch(page)
    again = serve_page(store, "127.0.0.1", page.port)
    assert fetch(again)[0] == 200
    again.close()


def test_many_at_once_are_all_served(page: PageServer) -> None:
    with ThreadPoolExecutor(100) as pool:
        assert [status for status, _, _ in pool.map(lambda _: fetch(page), range(100))] == [200] * 100


class Gate:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.entered.release()
        self.open.wait(20)
        start_response("200 OK", [])
        return [b"done"]


def test_whoever_finds_no_thread_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "REQUESTS", 2)
    monkeypatch.setattr(page_module, "TURN", 0.05)
    gate = Gate()
    page = serve_wsgi(gate, "127.0.0.1", 0)
    with ThreadPoolExecutor(2) as pool:
        served = [pool.submit(fetch, page) for _ in range(2)]
        assert gate.entered.acquire(timeout=20)
        assert gate.entered.acquire(timeout=20)
        assert fetch(page)[0] == 503
        gate.open.set()
        assert [future.result()[2] for future in served] == [b"done"] * 2
    assert fetch(page)[0] == 200
    page.close()


def test_closing_waits_for_requests_that_run() -> None:
    gate = Gate()
    page = serve_wsgi(gate, "127.0.0.1", 0)
    with ThreadPoolExecutor(2) as pool:
        request = pool.submit(fetch, page)
        assert gate.entered.acquire(timeout=20)
        closing = pool.submit(page.close)
        with pytest.raises(FutureTimeout):
            closing.result(0.3)
        gate.open.set()
        closing.result()
        assert request.result()[2] == b"done"


def test_a_client_that_says_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "PATIENCE", 0.05)
    page = serve_wsgi(Gate(), "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as silent:
        assert silent.recv(1) == b""
    page.close()


def test_a_client_that_sends_a_byte_now_and_then_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "LONGEST", 0.2)
    gate = Gate()
    page = serve_wsgi(gate, "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", page.port), timeout=0.01) as slow:
        slow.sendall(b"GET /")
        ended = eventually(lambda: has_ended(slow), timeout=20)
    gate.open.set()  # what came of the request may have been taken for a whole one
    page.close()
    assert ended


def has_ended(slow: socket.socket) -> bool:
    """Send one more byte, and see whether the other side is gone."""
    try:
        slow.sendall(b"x")
        return slow.recv(1) == b""
    except socket.timeout:  # which is no TimeoutError in Python 3.9
        return False
    except OSError:
        return True


def test_a_client_that_hangs_up_is_no_news(page: PageServer, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", page.port), timeout=20) as rude:
            rude.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, and not a polite end
    assert fetch(page)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_an_application_that_fails_is_logged(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise RuntimeError("a mistake")

    page = serve_wsgi(fail, "127.0.0.1", 0)
    assert fetch(page)[0] == 500
    page.close()
    assert "a mistake" in caplog.text
    assert capfd.readouterr() == ("", "")
