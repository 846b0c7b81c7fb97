"""The hostile server: a scenario on its first connections, a good echo server on the others and after it.

One thread a connection.  It listens on an ephemeral port of 127.0.0.1 and speaks to nobody else.
"""

from __future__ import annotations

import socket
import threading
import time
import traceback
from types import TracebackType

from .certificates import Contexts
from .peer import Gone, Peer
from .table import Scenario

__all__ = ["HostileServer"]

LIFETIME = 30.0  # seconds after which a connection that nobody ends fails
PATIENCE = 2.0  # seconds for what the client may still be doing when its call is over


class HostileServer:
    """Plays one scenario, or none: then it is a good server from the start.

    Use it as a context manager; leaving it closes everything.
    """

    def __init__(self, scenario: Scenario | None, contexts: Contexts) -> None:
        self.faults: list[str] = []
        """What the client did wrong, and what went wrong in the scenario itself."""
        self.accepted: list[float] = []
        """When each hostile connection came, in seconds of the monotonic clock."""
        self.good = 0
        """How many connections a good server took."""
        self._scenario = scenario
        self._contexts = contexts
        self._over = threading.Event()
        self._closed = False
        self._peers: list[Peer] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)

    @property
    def target(self) -> str:
        """The address, for a client."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def calls(self) -> int:
        """How many calls the hostile connections have seen."""
        return sum(len(peer.calls) for peer in self._peers)

    def calm(self) -> None:
        """The client's call is over: no more hostility.  Connections that are not good by now are closed."""
        if self._scenario is not None:
            self._check_ends(self._scenario)
        self._over.set()
        for peer in self._peers:
            if not peer.is_good:
                _shut_down(peer.sock)

    def _check_ends(self, scenario: Scenario) -> None:
        if scenario.keeps_connection and not _wait_until(lambda: any(peer.is_good for peer in self._peers)):
            self.faults.append("the connection did not live on")
        if scenario.must_close and not _wait_until(lambda: all(peer.was_closed for peer in self._peers)):
            self.faults.append("the client did not close the connection")

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._over.set()
        _shut_down(self._listener)
        self._listener.close()
        for peer in self._peers:
            _shut_down(peer.sock)
        for thread in self._threads:
            thread.join(LIFETIME)

    def _start(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)  # type: ignore[arg-type]  # any callable
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            scenario = self._next_scenario()
            if scenario is None:
                self.good += 1
            else:
                self.accepted.append(time.monotonic())
            self._start(self._play, sock, scenario, len(self.accepted) - 1)

    def _next_scenario(self) -> Scenario | None:
        scenario = self._scenario
        if scenario is None or self._over.is_set():
            return None
        if scenario.hostile is not None and len(self.accepted) >= scenario.hostile:
            return None
        return scenario

    def _play(self, sock: socket.socket, scenario: Scenario | None, index: int) -> None:
        sock.settimeout(LIFETIME)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(sock, self._over, self.faults.append, index)
        try:
            peer.sock = self._with_tls(sock, scenario)
            if scenario is None:
                peer.greet()
                peer.serve()
            else:
                self._peers.append(peer)
                scenario.play(peer)
        except (Gone, OSError):
            peer.was_closed = peer.was_closed or not self._over.is_set()
        except Exception:
            self.faults.append("the scenario itself failed: " + traceback.format_exc())
        finally:
            peer.sock.close()

    def _with_tls(self, sock: socket.socket, scenario: Scenario | None) -> socket.socket:
        name: str | None = "good" if self._scenario is not None and self._scenario.client_tls else None
        if scenario is not None:
            name = scenario.tls
        return self._contexts.wrap(sock, name) if name else sock


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already


def _wait_until(is_true: object) -> bool:
    until = time.monotonic() + PATIENCE
    while not is_true():  # type: ignore[operator]  # a callable
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
