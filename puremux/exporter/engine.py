"""The exporter's one background thread: takes what the application handed over, encodes it, and sees it delivered.

Floor 4, exporter: imports batches, complaints, config, queue, streams, watching, and channel and driver below.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Callable

from ..channel import Channel
from ..subchannel import Backoff, Connectivity
from .batches import Batch, Ledger
from .complaints import Complaints
from .config import ConfigService, Configurable
from .queue import HandOver
from .streams import Pace, Service
from .watching import Watchers

__all__ = ["Engine", "Signal"]

logger = logging.getLogger("puremux.exporter")

MAX_BATCH_BYTES = 256 * 1024  # far below the 1 MiB to which careful agents limit a message
DEAD_WAIT = 1.0  # seconds that stopping waits for an agent that gives no sign of life
STOP_WAIT = 5.0  # seconds that stopping waits for one that does
NO_LIMIT = 1 << 62

STOPPED = "the exporter was stopped"
UNENCODABLE = "cannot be encoded"


@dataclass(eq=False)
class Signal:
    """Spans, or metrics, from the application's hands to the agent's."""

    name: str
    path: str
    encode: Callable[[Any], bytes]
    """One item as an entry of the request's repeated field; raises ValueError for what cannot be encoded."""

    queue: HandOver[Any]
    ledger: Ledger
    bundle: int
    """Items that make a batch without waiting for more."""

    threshold: int = 1
    """Queue length at which the thread is to be woken; 1 until it runs."""

    service: Service = field(init=False)
    """Set by the engine."""

    encoding: bool = False
    """True while items are neither in the queue nor in the ledger, but being made into a batch."""

    @property
    def is_settled(self) -> bool:
        """True when all that was handed over is with the agent, or counted as dropped."""
        return not len(self.queue) and not self.encoding and self.ledger.is_settled

    def drop_all(self, reason: str) -> int:
        """Give up what is not confirmed; return how many items that is."""
        left = len(self.queue.take(NO_LIMIT))
        self.ledger.accepted += left
        self.ledger.dropped[reason] += left
        return left + self.ledger.drop_all(reason)

    def stats(self) -> dict[str, Any]:
        """What became of the items."""
        ledger, queue = self.ledger, self.queue
        dropped = {reason: count for reason, count in ledger.dropped.items() if count}
        if queue.dropped:
            dropped["queue full"] = queue.dropped
        waiting = sum(batch.count for batch in ledger.waiting)
        return {
            "accepted": ledger.accepted + queue.dropped + len(queue),
            "queue": len(queue),
            "waiting": waiting,
            "unconfirmed": ledger.unconfirmed,
            "sent": ledger.sent,
            "confirmed": ledger.confirmed,
            "replayed": ledger.replayed,
            "dropped": dropped,
            "batches": {what: ledger.batches[what] for what in ("sent", "confirmed", "replayed")},
        }


class Engine:
    """Runs signals over one channel, on the channel's driver.

    Args:
        make_channel: called at the start.
        bundle_delay: seconds that an item waits at the most for others to travel with.
        identity: Node and Resource, as they stand in a request.
        node: the Node alone, serialized.
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
    ) -> None:
        self.signals = list(signals)
        self.channel = channel
        self._driver = channel.driver
        self.complaints = Complaints(logger, self._driver.clock)
        self.watchers = Watchers()
        self._changed = threading.Condition(self._driver.lock)
        self._bundle_delay = bundle_delay
        self._pace = pace
        self._started = False
        self._running = False  # in a forked child: not before it has something to send
        self._stopped = False
        self._summoned = False
        self._draining = 0
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
        """Have the thread look at the queues soon."""
        if self._stopped:
            self._drop_undelivered()
        elif not self._summoned:
            self._summoned = True
            self._driver.call_unlocked(self._work)

    def summon_all(self) -> None:
        """Have the thread send what is in the queues, however little, soon."""
        if self._stopped:
            self._drop_undelivered()
        elif not self._summoned:
            self._summoned = True
            self._driver.call_unlocked(self._work_all)

    def retire(self) -> None:
        """Nobody will use the exporter any more: deliver what it holds, then stop.  Does not wait."""
        self._driver.call_unlocked(self._stop_quietly)

    def submit(self, signal: Signal, batch: Batch, *, make_room: bool = True) -> bool:
        """Send a batch that came ready-made; False if others would have to make room, and must not."""
        with self._driver.lock:
            if not (make_room or signal.ledger.has_room(batch)):
                return False
            signal.service.submit(batch)
            self._run()
        if self.watchers:
            self._driver.call_unlocked(lambda: self.watchers.batch(signal.name, batch.payload))
        return True

    def flush(self, timeout: float | None) -> bool:
        """Send all, and wait until the agent has proven that it has it; False if it did not in time."""
        with self._driver.lock:
            if self._stopped or not self._started:
                return self._is_settled()
            self._run()
            self._begin_draining()
            try:
                return self._driver.wait_for(self._changed, self._is_settled, timeout)
            finally:
                self._draining -= 1

    def stop(self, timeout: float | None = None) -> bool:
        """Flush, say what could not be delivered, and close the connection.

        Args:
            timeout: seconds; None for 5 with an agent that answers, and 1 with one that does not.
        """
        with self._driver.lock:
            if self._stopped:
                return self._is_settled()
            if self._running:
                self._begin_draining()
                self._wait_to_stop(timeout)
            self._stopped = True
            settled = self._is_settled()
            for signal in self.signals:
                signal.service.close()
            self._drop_undelivered()
            self._config.close()
        self.channel.close()
        return settled

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

    def complain(self, kind: str, sentence: str) -> None:
        """Say what went wrong, once a minute a kind."""
        self.complaints.say(kind, sentence)

    def settled(self) -> None:
        """Something was confirmed or given up: wake who waits for it."""
        self._changed.notify_all()

    def _run(self) -> None:
        if not self._running:
            self._running = True
            for signal in self.signals:
                signal.threshold = signal.bundle
            self._config.open()
            self._tick()
            self._check()

    def _tick(self) -> None:
        """Take what is in the queues, however little, every bundle delay."""
        if not self._stopped:
            self._driver.call_later(self._bundle_delay, self._tick)
            self._driver.call_unlocked(self._work_all)

    def _check(self) -> None:
        """See that the agent gives the proofs it owes us."""
        if self._stopped:
            return
        self._driver.call_later(self._pace.probe_after, self._check)
        now = self._driver.clock()
        for signal in self.signals:
            service = signal.service
            session = service.session
            if session is None:
                continue
            reason = service.check(now)
            if session.unanswered_since is not None and now - session.unanswered_since > self._pace.probe_within:
                reason = f"the agent acknowledged no SETTINGS within {self._pace.probe_within:g} s"
            if reason is None:
                session.probe()
            else:
                self.complain("the agent is silent", f"{self.channel.name}: {reason}; connecting again.")
                session.lose(f"{self.channel.name}: {reason}")

    def _state_changed(self, state: Connectivity) -> None:
        if state is Connectivity.TRANSIENT_FAILURE and self.channel.last_error:
            self.complain("no connection", self.channel.last_error)
        if self._running and not self._stopped:
            if state is not Connectivity.READY:  # the server said GOAWAY, unless the connection is gone altogether
                for signal in self.signals:
                    signal.service.leave_soon()
            self._config.open()

    def _begin_draining(self) -> None:
        self._draining += 1
        self._driver.call_unlocked(self._work_all)

    def _wait_to_stop(self, timeout: float | None) -> None:
        wait = self._driver.wait_for
        if timeout is not None:
            wait(self._changed, self._is_settled, timeout)
            return
        began = self._driver.clock()
        if not wait(self._changed, self._is_settled, DEAD_WAIT) and self._heard_since(began):
            wait(self._changed, self._is_settled, STOP_WAIT - DEAD_WAIT)

    def _heard_since(self, when: float) -> bool:
        sessions = [signal.service.session for signal in self.signals]
        return any(session is not None and session.heard_at >= when for session in sessions)

    def _is_settled(self) -> bool:
        return not self._summoned and all(signal.is_settled for signal in self.signals)

    def _stop_quietly(self) -> None:
        self.stop()

    def _drop_undelivered(self) -> None:
        """Count what will never be delivered; after the end this is all that happens to what comes."""
        with self._driver.lock:
            for signal in self.signals:
                signal.threshold = 1
                lost = signal.drop_all(STOPPED)
                if lost:
                    why = f"; {self.channel.last_error}" if self.channel.last_error else ""
                    sentence = f"{lost} {signal.name} were not delivered before the exporter stopped{why}"
                    self.complain(f"{signal.name} at the end", sentence)

    def _after_fork(self) -> None:
        """The child sends nothing of the parent's, and starts when it has something of its own."""
        for signal in self.signals:
            signal.queue.forget()
            signal.service.abandon()
            signal.threshold = 1
        self._config.abandon()
        self._changed = threading.Condition(self._driver.lock)
        self._running, self._summoned, self._draining = False, False, 0
        self.watchers.forked()

    # On the driver, without its lock

    def _work(self) -> None:
        """Encode a bundle of each, and come back for more: in between, the connection has its turn."""
        self._run_again()
        self._summoned = False
        for signal in self.signals:
            if len(signal.queue) >= signal.bundle:
                self._encode(signal)
        if any(len(signal.queue) >= signal.bundle for signal in self.signals):
            self.summon()

    def _work_all(self) -> None:
        """Encode everything that is there; when draining, have it proven."""
        self._run_again()
        self._summoned = False
        for signal in self.signals:
            self._encode(signal)
        if any(len(signal.queue) for signal in self.signals):
            self._driver.call_unlocked(self._work_all)
            return
        with self._driver.lock:
            for signal in self.signals:
                if self._draining:
                    signal.service.drain()
            self.settled()
        self.watchers.looked()

    def _run_again(self) -> None:
        with self._driver.lock:
            if self._started and not self._stopped:
                self._run()

    def _encode(self, signal: Signal) -> None:
        signal.encoding = True  # before they leave the queue, so that nobody takes it all for settled
        parts: list[bytes] = []
        size = failures = 0
        for item in signal.queue.take(signal.bundle):
            try:
                part = signal.encode(item)
            except Exception as error:  # noqa: BLE001  an item of the application's is never a reason to lose the others
                failures += 1
                self.complaints.say("an item", f"One of the {signal.name} cannot be encoded: {error!r}")
                continue
            if parts and size + len(part) > MAX_BATCH_BYTES:
                self._submit(signal, parts)
                parts, size = [], 0
            parts.append(part)
            size += len(part)
        self._submit(signal, parts, failures)
        signal.encoding = False

    def _submit(self, signal: Signal, parts: list[bytes], failures: int = 0) -> None:
        payload = b"".join(parts)
        if parts:
            self.watchers.batch(signal.name, payload)
        with self._driver.lock:
            signal.ledger.accepted += failures
            signal.ledger.dropped[UNENCODABLE] += failures
            if parts:
                signal.service.submit(Batch(payload, len(parts)))
            if self._stopped:
                self._drop_undelivered()
