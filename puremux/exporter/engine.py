"""The exporter's one background thread: takes what the application handed over, encodes it, and sees it delivered.

Floor 4, exporter: imports most of its neighbours, and channel and driver below.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from typing import Any, Callable

from ..channel import Channel
from ..checks import checked_timeout
from ..logs import CarefulLogger
from ..subchannel import Backoff, Connectivity, load_session
from ..transport.driver import FORK_WAIT, Driver
from .batches import Batch
from .complaints import Complaints
from .config import ConfigService, Configurable
from .ending import at_end_of_child, never_at_end
from .own import OwnMetrics
from .signals import MAX_BATCH_BYTES, Complain, Signal
from .streams import Pace, Service
from .watching import Watchers

__all__ = ["Engine"]

logger = CarefulLogger("puremux.exporter")

DEAD_WAIT = 1.0  # seconds that stopping waits for an agent that gives no sign of life
STOP_WAIT = 5.0  # seconds that stopping waits for one that does

STOPPED = "the exporter was stopped"


class _Mark:
    """What was handed over before somebody began to wait for it."""

    def __init__(self) -> None:
        self.numbers: list[int] | None = None
        """Of each signal, the number of its first batch not waited for; None until the queues were looked at."""

    def has_passed(self, signals: Iterable[Signal]) -> bool:
        """True when all of it is proven to be with the agent, or given up."""
        numbers = self.numbers
        return numbers is not None and all(
            signal.ledger.has_settled(number) for signal, number in zip(signals, numbers)
        )


def _finish_loading(signals: Iterable[Signal], driver: Driver, complain: Complain, *, is_needed: bool) -> None:
    """Wait until what delivering needs is loaded: on a slow machine that must not take the agent's time to answer."""
    if not is_needed:
        return
    if driver.loading.acquire(timeout=FORK_WAIT):  # not endlessly: the driver's thread may hang in an import
        try:
            with contextlib.suppress(Exception):  # the attempt to connect fails for it too, and says so
                load_session()
            for signal in signals:
                signal.can_encode(complain)
        finally:
            driver.loading.release()


class Engine:
    """Runs signals over one channel, on the channel's driver.

    Args:
        channel: its driver is the thread on which all of this runs.
        bundle_delay: seconds that an item waits at the most for others to travel with.
        identity: Node and Resource, as they stand in a request.
        node: the Node alone, serialized.
        own_metrics: seconds between two reports of the counts, among the metrics; None for none.
    """

    def __init__(
        self,
        channel: Channel,
        signals: Iterable[Signal],
        *,
        identity: Callable[[], bytes],
        node: Callable[[], bytes],
        following: Configurable,
        bundle_delay: float,
        pace: Pace,
        compression: str | None,
        own_metrics: float | None = None,
    ) -> None:
        self.signals = list(signals)
        self.channel = channel
        self._driver = channel.driver
        self.complaints = Complaints(logger, self._driver.clock, self._without_lock)
        self.complain = self.complaints.say
        """Says what went wrong, once a minute a kind."""
        self.watchers = Watchers()
        self._changed = threading.Condition(self._driver.lock)
        self._bundle_delay = bundle_delay
        self._pace = pace
        self._report_every = own_metrics
        self._own = OwnMetrics()
        self._started = self._stopped = self._summoned = False
        self._running = False  # in a forked child: not before it has something to send
        self._stopping_since: float | None = None
        self._marks: list[_Mark] = []  # somebody waits for each of them
        self._delivered = True
        for signal in self.signals:
            signal.service = Service(
                channel, signal.path, signal.ledger, identity, self, pace, Backoff(maximum=5.0), compression
            )
        self._config = ConfigService(channel, node, following, self.complaints.say)
        channel.watch_state(self._state_changed)
        self._driver.on_fork(self._after_fork)

    # From the application's threads

    def start(self) -> None:
        """Connect, and begin to send."""
        with self._driver.lock:
            self._started = True
            if not self._stopped:
                self._run()

    def summon(self) -> None:
        """Have the thread look at the queues soon; before the start they wait for it."""
        self._ask_for(self._work)

    def summon_all(self) -> None:
        """Have the thread send what is in the queues, however little, soon; likewise."""
        self._ask_for(self._work_all)

    def _ask_for(self, work: Callable[[], None]) -> None:
        if self._stopped:
            self._drop_undelivered()
        elif not self._started:
            return
        elif not self._summoned:
            self._summoned = True
            self._driver.call_unlocked(work)
        elif not self._driver.is_running:
            self._driver.wake()  # it could not start when it was asked: there was no descriptor left

    def retire(self) -> None:
        """Nobody will use the exporter any more: deliver what it holds, then stop.  Does not wait."""
        self._driver.call_unlocked(self._stop_quietly)

    def submit(self, signal: Signal, batch: Batch, *, make_room: bool = True) -> bool:
        """Send a batch that came ready-made; False if others would have to make room, and must not."""
        with self._driver.lock:
            if not (make_room or signal.ledger.has_room(batch)):
                return False
            signal.ledger.add(batch)
            if self._started and not self._stopped:
                self._run()
                signal.service.pump_soon()  # not here: a signal's handler must not come in the middle of it, and flush
        if self._stopped:
            self._drop_undelivered()
        if self.watchers:
            self._driver.call_unlocked(lambda: self.watchers.batch(signal.name, batch.payload))
        return True

    def flush(self, timeout: float | None) -> bool:
        """Send all that is there now, and wait for the proof that the agent has it; False if that took too long."""
        with self._driver.lock:
            if self._stopped or not self._started:
                return self._delivered and all(signal.is_settled for signal in self.signals)
            self._run()
            mark = self._begin_draining()
            try:
                self._wait_for(mark, checked_timeout(timeout))
                return mark.has_passed(self.signals) and (self._delivered or not self._stopped)
            finally:
                self._marks.remove(mark)

    def begin_to_stop(self) -> None:
        """The program ends: have all delivered, while others are being stopped; the time of stop() runs from here."""
        _finish_loading(self.signals, self._driver, self.complain, is_needed=self._started)
        with self._driver.lock:
            self._stopping_since = self._driver.clock()
            if self._started and not self._stopped and not self._is_settled():
                self._run()
                self._begin_draining()

    def stop(self, timeout: float | None = None) -> bool:
        """Flush, say what could not be delivered, and close the connection.

        Args:
            timeout: seconds; None for 5 with an agent that answers, and 1 with one that does not.
        """
        _finish_loading(self.signals, self._driver, self.complain, is_needed=self._started)
        with self._driver.lock:
            if not self._stopped and self._started and (self._running or not self._is_settled()):
                self._run()  # in a forked child what was handed over last may be all there ever was
                self._wait_to_stop(timeout)
            if not self._stopped:  # else somebody else stopped it while this thread waited
                self._stopped = True
                for signal in self.signals:
                    signal.service.close()
                self._config.close()
        self._drop_undelivered()
        self.channel.close()
        return self._delivered

    def stats(self) -> dict[str, Any]:
        """See :meth:`Exporter.stats`."""
        with self._driver.lock:
            spans, metrics = (signal.stats() for signal in self.signals)
            connections = self.channel.connections
            return {
                **spans,
                "metrics": metrics,
                "connections": connections,
                "reconnects": max(0, connections - 1),
                "state": self.channel.state.value,
                "last_error": self.complaints.last,
            }

    # Under the driver's lock

    def settled(self) -> None:
        """Something was confirmed or given up: wake who waits for it."""
        if self._marks:
            self._changed.notify_all()

    def _run(self) -> None:
        if not self._running:
            self._running = True
            for signal in self.signals:
                signal.threshold = signal.full_bundle
                signal.service.pump_soon()
            self._config.open()
            self._tick()
            self._check()
            if self._report_every is not None:
                self._driver.call_later(self._report_every, self._report_again)

    def _tick(self) -> None:
        """Take what is in the queues, however little, every bundle delay."""
        if not self._stopped:
            self._driver.call_later(self._bundle_delay, self._tick)
            self._driver.call_unlocked(self._work_all)

    def _report_again(self) -> None:
        if not self._stopped and self._report_every is not None:
            self._driver.call_later(self._report_every, self._report_again)
            self._report()

    def _report(self) -> None:
        """Send the counts, as the last of the metrics so far; they count themselves the next time."""
        self.signals[-1].queue.put(self._own.of(self.stats()))
        self.summon_all()

    def _check(self) -> None:
        """See that the agent gives the proofs it owes us."""
        if self._stopped:
            return
        self._driver.call_later(self._pace.probe_after, self._check)
        now = self._driver.clock()
        for signal in self.signals:
            signal.service.look_after(now)
        if self.channel.state is Connectivity.READY and any(signal.service.lacks_room(now) for signal in self.signals):
            self._config.make_room()

    def _state_changed(self, state: Connectivity) -> None:
        if state is Connectivity.TRANSIENT_FAILURE and self.channel.last_error:
            self.complain("no connection", self.channel.last_error)
        if self._running and not self._stopped:
            self._config.open()

    def _begin_draining(self) -> _Mark:
        mark = _Mark()
        self._marks.append(mark)
        self._driver.call_unlocked(self._work_all)
        return mark

    def _wait_to_stop(self, timeout: float | None) -> None:
        if self._report_every is not None:
            self._report()
        mark, clock = self._begin_draining(), self._driver.clock
        try:
            began = clock() if self._stopping_since is None else self._stopping_since
            if timeout is not None:
                self._wait_for(mark, checked_timeout(timeout))
                return
            is_proven = self._wait_for(mark, max(0.0, began + DEAD_WAIT - clock()))
            if not is_proven and any(signal.was_heard_since(began) for signal in self.signals):
                self._wait_for(mark, max(0.0, began + STOP_WAIT - clock()))
        finally:
            self._marks.remove(mark)

    def _wait_for(self, mark: _Mark, timeout: float | None) -> bool:
        try:
            return self._driver.wait_for(self._changed, lambda: self._stopped or mark.has_passed(self.signals), timeout)
        except OSError as error:
            self.complain("no descriptors", f"Nothing can be sent: {error}")
            return False

    def _is_settled(self) -> bool:
        return not self._summoned and all(signal.is_settled for signal in self.signals)

    def _after_fork(self) -> None:
        """The child sends nothing of the parent's, and starts when it has something of its own."""
        for signal in self.signals:
            signal.forget()
        self._config.abandon()
        self.complaints.forget()
        self._changed = threading.Condition(self._driver.lock)
        self._running, self._summoned, self._stopping_since, self._marks = False, False, None, []
        self._own = OwnMetrics()
        if not self._stopped:
            at_end_of_child()
        self.watchers.forked()

    # Without the driver's lock

    def _without_lock(self, log: Callable[[], object]) -> None:
        if self._driver.is_running and not self._stopped:
            self._driver.call_unlocked(log)
        else:
            log()

    def _drop_undelivered(self) -> None:
        """Count what will never be delivered; after the end this is all that happens to what comes."""
        with self._driver.lock:
            for signal in self.signals:
                signal.threshold = 1
            lost = {signal.name: signal.drop_all(STOPPED) for signal in self.signals}
            self._delivered = self._delivered and not any(lost.values())
            self._changed.notify_all()
        why = f"; {self.channel.last_error}" if self.channel.last_error else ""
        for name, count in lost.items():
            if count:
                self.complain(
                    f"{name} at the end", f"{count} {name} were not delivered before the exporter stopped{why}"
                )

    # On the driver, without its lock

    def _stop_quietly(self) -> None:
        self.stop()
        never_at_end(self)

    def _work(self) -> None:
        """Encode a bundle of each, and come back for more: in between, the connection has its turn."""
        ready = self._ready()
        for signal in ready:
            if len(signal.queue) >= signal.threshold:
                self._encode(signal)
        if any(len(signal.queue) >= signal.threshold for signal in ready):
            self.summon()

    def _work_all(self) -> None:
        """Encode everything that is there now; have it proven, if somebody waits for that."""
        ready = self._ready()
        with self._driver.lock:
            marks = [mark for mark in self._marks if mark.numbers is None and len(ready) == len(self.signals)]
        self._work_through([len(signal.queue) if signal in ready else 0 for signal in self.signals], marks)

    def _work_through(self, left: list[int], marks: list[_Mark]) -> None:
        """Encode so many items of each signal, a bundle at a time; what comes meanwhile has its own turn."""
        for index, signal in enumerate(self.signals):
            if left[index] > 0:
                self._encode(signal)
                left[index] -= signal.bundle
        if max(left) > 0:
            self._driver.call_unlocked(lambda: self._work_through(left, marks))
            return
        with self._driver.lock:
            for mark in marks:
                mark.numbers = [signal.ledger.numbered for signal in self.signals]
            for signal in self.signals:
                if self._marks:
                    signal.service.drain()
            self.settled()
        self.watchers.looked()

    def _ready(self) -> list[Signal]:
        """Run, if that was not so yet.  The signals but for those that wait for what cannot be loaded."""
        with self._driver.lock:
            if self._started and not self._stopped:
                self._run()
        with self._driver.loading:
            ready = [signal for signal in self.signals if signal.can_encode(self.complain)]
        self._summoned = len(ready) < len(self.signals)  # then the next tick looks again, and not each export
        return ready

    def _encode(self, signal: Signal) -> None:
        with self._driver.lock:
            others = signal.in_hands  # of a bundle that a signal's handler came in the middle of
            items = signal.take()
        parts: list[bytes] = []
        size = 0
        try:
            for part in signal.fields(items, self.complain):
                if parts and size + len(part) > MAX_BATCH_BYTES:
                    self._submit(signal, parts)
                    parts, size = [], 0
                if part:
                    parts.append(part)
                    size += len(part)
            self._submit(signal, parts)
        finally:
            with self._driver.lock:
                signal.fail(signal.in_hands - others)
        if self._stopped:
            self._drop_undelivered()

    def _submit(self, signal: Signal, parts: list[bytes]) -> None:
        if parts:
            payload = b"".join(parts)
            self.watchers.batch(signal.name, payload)
            with self._driver.lock:
                signal.submit(payload, len(parts))
