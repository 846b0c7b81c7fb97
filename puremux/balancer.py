"""Which connection a call goes to: one for all, or several in turn.

Floor 3, I/O: imports call, peer, subchannel, transport and errors.
Spec: gRPC doc/load-balancing.md (pick_first, round_robin); doc/connectivity-semantics-and-api.md; RFC 8305 §5 (the
start of attempts); doc/naming.md (names that have several addresses).

Every method is called under the driver's lock.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable

from .call import CallBase
from .errors import TransportError
from .peer import Peer
from .subchannel import Backoff, Connectivity, Subchannel
from .transport.dial import ATTEMPT_DELAY
from .transport.driver import Driver, Timer
from .transport.resolve import Endpoint
from .transport.task import Task
from .transport.wait import Step

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Balancer", "PickFirst", "RoundRobin", "Target"]

LOOK_UP_TIME = 20.0  # seconds; as long as an attempt to connect may take by default
BEST_FIRST = (Connectivity.READY, Connectivity.CONNECTING, Connectivity.IDLE, Connectivity.TRANSIENT_FAILURE)

Maker = Callable[[Peer, Callable[[], None]], Subchannel]
"""Makes a subchannel to a peer, which calls the other argument when it has changed."""


class Target:
    """One of the addresses that the user gave the channel.

    Args:
        peer: all endpoints of the address as one, the first that accepts.
        resolve: finds its endpoints, until a time; None when a proxy does that.
        dial: connects to one endpoint, until a time.
    """

    def __init__(
        self,
        peer: Peer,
        resolve: Callable[[float], Step[list[Endpoint]]] | None,
        dial: Callable[[Endpoint, float], Step[socket.socket]],
    ) -> None:
        self.peer, self.resolve, self.dial = peer, resolve, dial

    def peer_at(self, endpoint: Endpoint) -> Peer:
        """One endpoint as a peer of its own."""
        name = self.peer.name if str(endpoint) == self.peer.name else f"{self.peer.name} ({endpoint})"
        return self.peer._replace(name=name, dial=functools.partial(self.dial, endpoint))


class Balancer:
    """Some subchannels, seen as one."""

    @property
    def subchannels(self) -> Sequence[Subchannel]:
        """All there are now."""
        raise NotImplementedError

    @property
    def state(self) -> Connectivity:
        """The best state of any of them."""
        return _best([each.state for each in self.subchannels])

    @property
    def errors(self) -> list[TransportError]:
        """Why connections failed, as far as they did."""
        return [each.error for each in self.subchannels if each.error is not None]

    @property
    def connections(self) -> int:
        """How many connections have become ready."""
        return sum(each.connections for each in self.subchannels)

    @property
    def running(self) -> list[CallBase]:
        """The calls on all connections."""
        return [call for each in self.subchannels for call in each.running]

    def connect(self) -> None:
        """See that there is a connection soon, if that is possible."""
        raise NotImplementedError

    def pick(self) -> Session | None:
        """A connection that takes one more call now."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every connection, for good."""
        for each in self.subchannels:
            each.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        for each in self.subchannels:
            each.after_fork()


class PickFirst(Balancer):
    """All calls go to the first target that connects; the others are tried while it does not.

    Attempts start 250 ms apart, or when the one before has failed, in the order of the targets.
    """

    def __init__(self, driver: Driver, targets: Sequence[Target], make: Maker, changed: Callable[[], None]) -> None:
        self._driver = driver
        self._tell = changed
        self._subchannels = [make(each.peer, self._changed) for each in targets]
        self._next_start: Timer | None = None

    @property
    def subchannels(self) -> Sequence[Subchannel]:
        """One for each target."""
        return self._subchannels

    def connect(self) -> None:
        """Start an attempt, unless one has just been started."""
        if self._next_start is None and self.state is not Connectivity.READY:
            self._start()

    def pick(self) -> Session | None:
        """The one connection."""
        for each in self._subchannels:
            if each.state is Connectivity.READY and each.session is not None and each.session.connection.can_open:
                return each.session
        return None

    def close(self) -> None:
        """Close every connection, for good."""
        self._stop()
        super().close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._next_start = None
        super().after_fork()

    def _start(self) -> None:
        self._next_start = None
        idle = [each for each in self._subchannels if each.state is Connectivity.IDLE]
        if len(idle) > 1:
            self._next_start = self._driver.call_later(ATTEMPT_DELAY, self._start)
        if idle:
            idle[0].connect()

    def _changed(self) -> None:
        states = [each.state for each in self._subchannels]
        if Connectivity.READY in states:
            self._stop()
            for each in self._subchannels:
                each.disconnect()
        elif self._next_start is not None and Connectivity.CONNECTING not in states:
            self._stop()
            self._start()
        self._tell()

    def _stop(self) -> None:
        if self._next_start is not None:
            self._next_start.cancel()
            self._next_start = None


class RoundRobin(Balancer):
    """Calls go to all endpoints of all targets in turn, as far as they are connected."""

    def __init__(
        self, driver: Driver, targets: Sequence[Target], make: Maker, changed: Callable[[], None], backoff: Backoff
    ) -> None:
        self._groups = [_Group(driver, each, make, changed, backoff) for each in targets]
        self._turn = 0

    @property
    def subchannels(self) -> Sequence[Subchannel]:
        """One for each endpoint that the targets are known to have."""
        return [subchannel for group in self._groups for subchannel in group.subchannels.values()]

    @property
    def state(self) -> Connectivity:
        """The best state of any subchannel, or look-up of a name."""
        return _best([*(each.state for each in self.subchannels), *(each.state for each in self._groups)])

    @property
    def errors(self) -> list[TransportError]:
        """Why look-ups and connections failed."""
        return [*(each.error for each in self._groups if each.error is not None), *super().errors]

    @property
    def connections(self) -> int:
        """How many connections have become ready."""
        return super().connections + sum(each.past_connections for each in self._groups)

    @property
    def running(self) -> list[CallBase]:
        """The calls on all connections."""
        return [*super().running, *(call for group in self._groups for each in group.retired for call in each.running)]

    def connect(self) -> None:
        """Look up what is not looked up, and connect to whatever is not connected."""
        for each in self._groups:
            each.connect()

    def pick(self) -> Session | None:
        """The next connection in turn; those that were lost are made again by the way."""
        subchannels = self.subchannels
        for index in range(len(subchannels)):
            each = subchannels[(self._turn + index) % len(subchannels)]
            if each.state is Connectivity.IDLE:
                each.connect()
            session = each.session
            if each.state is Connectivity.READY and session is not None and session.connection.can_open:
                self._turn = (self._turn + index + 1) % len(subchannels)
                return session
        return None

    def close(self) -> None:
        """Close every connection, for good."""
        for each in self._groups:
            each.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        for each in self._groups:
            each.after_fork()


class _Group:
    """The endpoints of one target, each with its subchannel.

    They are looked up when the first call needs them, and again when a connection to one of them is lost or cannot be
    made, since a server that has moved is a usual reason; but no more often than the back-off's first wait allows.
    """

    def __init__(
        self, driver: Driver, target: Target, make: Maker, changed: Callable[[], None], backoff: Backoff
    ) -> None:
        self.subchannels: dict[Endpoint | None, Subchannel] = {}
        self.retired: list[Subchannel] = []
        """Those whose endpoint is gone, while calls still run there."""
        self.past_connections = 0
        self.error: TransportError | None = None
        """Why the last look-up failed."""
        self.state = Connectivity.IDLE
        """Of the look-up, as long as it has found nothing; SHUTDOWN, the state that counts for nothing, after that."""
        self._driver = driver
        self._target = target
        self._make = make
        self._tell = changed
        self._backoff = backoff
        self._failures = 0
        self._look_up_began = 0.0
        self._looking_up: Task | None = None
        self._timer: Timer | None = None
        self._closed = False
        if target.resolve is None:
            self.subchannels[None] = make(target.peer, self._changed)
            self.state = Connectivity.SHUTDOWN

    def connect(self) -> None:
        """Look the target up if that was not done, and connect to its endpoints."""
        if self.state is Connectivity.IDLE:
            self._look_up()
        for each in list(self.subchannels.values()):
            each.connect()

    def close(self) -> None:
        """Close every connection, for good."""
        self._closed = True
        self._stop()
        for each in [*self.subchannels.values(), *self.retired]:
            each.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._looking_up = self._timer = None
        self.past_connections, self.error = 0, None
        if not self.subchannels:
            self.state = Connectivity.IDLE
        for each in [*self.subchannels.values(), *self.retired]:
            each.after_fork()

    def _look_up(self) -> None:
        if self._target.resolve is None or self._looking_up is not None or self._closed:
            return
        self._look_up_began = self._driver.clock()
        if not self.subchannels:
            self._set(Connectivity.CONNECTING)
        step = self._target.resolve(self._look_up_began + LOOK_UP_TIME)
        self._looking_up = self._driver.run(step, self._looked_up)

    def _looked_up(self, endpoints: list[Endpoint] | None, error: BaseException | None) -> None:
        self._looking_up = None
        if endpoints is None:
            name = self._target.peer.name
            if not isinstance(error, TransportError):
                error = TransportError(name, f"{name} cannot be looked up: {error!r}.")
            self.error = error
            self._failures += 1
            if not self.subchannels:
                when = self._look_up_began + self._backoff.delay(self._failures)
                self._timer = self._driver.call_at(when, self._waited)
                self._set(Connectivity.TRANSIENT_FAILURE)
            return
        self.error, self._failures = None, 0
        self._replace(endpoints)

    def _replace(self, endpoints: Sequence[Endpoint]) -> None:
        """Keep the subchannels of endpoints that are still there; connect to the new ones."""
        before, self.subchannels = self.subchannels, {}
        for each in endpoints:
            self.subchannels[each] = before.pop(each) if each in before else self._new(each)
        self.retired = [each for each in self.retired if each.running] + list(before.values())
        for gone in before.values():
            self.past_connections += gone.connections
            gone.retire()
        self._set(Connectivity.SHUTDOWN)
        self._tell()

    def _new(self, endpoint: Endpoint) -> Subchannel:
        subchannel = self._make(self._target.peer_at(endpoint), self._changed)
        subchannel.connect()
        return subchannel

    def _changed(self) -> None:
        if self._timer is None and any(map(_is_lost, self.subchannels.values())):
            self._timer = self._driver.call_at(self._look_up_began + self._backoff.initial, self._look_up_again)
        self._tell()

    def _look_up_again(self) -> None:
        self._timer = None
        self._look_up()

    def _waited(self) -> None:
        self._timer = None
        self._driver.call_soon(self._wait_over)  # as a subchannel does, so that the failure is seen

    def _wait_over(self) -> None:
        if self.state is Connectivity.TRANSIENT_FAILURE:
            self._set(Connectivity.IDLE)

    def _set(self, state: Connectivity) -> None:
        if self.state is not state:
            self.state = state
            self._tell()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._looking_up is not None:
            self._looking_up.cancel()


def _best(states: Sequence[Connectivity]) -> Connectivity:
    return next((each for each in BEST_FIRST if each in states), Connectivity.IDLE)


def _is_lost(subchannel: Subchannel) -> bool:
    """Whether it has no connection although it has tried, or had one."""
    state = subchannel.state
    return state is Connectivity.TRANSIENT_FAILURE or (state is Connectivity.IDLE and subchannel.connections > 0)
