"""Spans, or metrics, on their way from the application's hands to the agent's, and what became of them.

Floor 4, exporter: imports batches, queue, sentences and streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Callable

from .batches import Batch, Ledger
from .queue import HandOver
from .sentences import reason_of
from .streams import Service

__all__ = ["MAX_BATCH_BYTES", "Complain", "Fields", "Signal"]

MAX_BATCH_BYTES = 256 * 1024  # far below the 1 MiB to which careful agents limit a message
NO_LIMIT = 1 << 62

UNENCODABLE = "cannot be encoded"

Fields = Callable[[Iterable[Any], Callable[[BaseException], object]], Iterator[bytes]]
"""Makes items entries of the request's repeated field; an empty one of what cannot be encoded, having told why."""

Complain = Callable[[str, str], None]
"""Takes the kind of what went wrong, and a sentence."""


class Signal:
    """One kind of items: the queue, the batches made of it, and the service that carries them.

    Args:
        name: of the items, as sentences use it.
        path: of the service's method.
        load: is called for the first items, under a lock that a fork waits for: it imports what encodes them.
        queue_size: items that the queue holds at the most.
        replay_bytes: bytes that the batches may have at the most.
        bundle: items that make a batch without waiting for more.
    """

    service: Service
    """Set by the engine."""

    def __init__(
        self, name: str, path: str, load: Callable[[], Fields], queue_size: int, replay_bytes: int, bundle: int
    ) -> None:
        self.name = name
        self.path = path
        self._load = load
        self._fields: Fields | None = None
        self.queue: HandOver[Any] = HandOver(queue_size)
        self.items = self.queue.items
        """The queue's own; ``export()`` adds to it directly."""
        self.ledger = Ledger(replay_bytes)
        self.bundle = bundle
        self.threshold = 1
        """Queue length at which the thread is to be woken; 1 until it runs."""
        self.in_hands = 0
        """Items that are neither in the queue nor in the ledger, but being made into batches."""

    @property
    def full_bundle(self) -> int:
        """The threshold while the thread runs: a queue that is smaller than a bundle is to be emptied in time."""
        return min(self.bundle, max(1, self.queue.size // 2))

    @property
    def is_settled(self) -> bool:
        """True when all that was handed over is with the agent, or counted as dropped."""
        return not len(self.queue) and not self.in_hands and self.ledger.is_settled

    def fields(self, items: list[Any], complain: Complain) -> Iterator[bytes]:
        """Each item's entry; nothing, and a complaint, for one that cannot be encoded."""

        def refuse(error: BaseException) -> None:
            complain("an item", f"One of the {self.name} cannot be encoded: {reason_of(error)}")

        return self._fields(items, refuse) if self._fields else iter(())

    # Under the driver's lock

    def was_heard_since(self, when: float) -> bool:
        """Whether an agent on whose connection its streams run has sent anything since a time of the driver's."""
        return any(session.heard_at >= when for session in self.service.sessions)

    def can_encode(self, complain: Complain) -> bool:
        """Have loaded what encodes the items, when there are some; False, and a complaint, if that fails."""
        try:
            if self._fields is None and self.items:
                self._fields = self._load()
        except Exception as error:  # noqa: BLE001  what import raises, as where there are no file descriptors
            complain(
                f"the encoder of {self.name}",
                f"The {self.name} wait: what encodes them cannot be loaded: {reason_of(error)}",
            )
            return False
        return True

    def take(self) -> list[Any]:
        """Take a bundle from the queue, if it can be encoded; each item is to be counted by :meth:`submit`."""
        items = self.queue.take(self.bundle if self._fields else 0)
        self.in_hands += len(items)
        return items

    def submit(self, payload: bytes, count: int) -> None:
        """Hand a batch of encoded items to the service."""
        self.in_hands -= count
        self.service.submit(Batch(payload, count))

    def fail(self, count: int) -> None:
        """Count items that cannot be encoded."""
        self.in_hands -= count
        self.ledger.accepted += count
        self.ledger.dropped[UNENCODABLE] += count

    def drop_all(self, reason: str) -> int:
        """Give up what is not confirmed; return how many items that is."""
        left = len(self.queue.take(NO_LIMIT))
        self.ledger.accepted += left
        self.ledger.dropped[reason] += left
        return left + self.ledger.drop_all(reason)

    def forget(self) -> None:
        """Begin anew in a forked child."""
        self.queue.forget()
        self.service.abandon()
        self.in_hands, self.threshold = 0, 1

    def stats(self) -> dict[str, Any]:
        """What became of the items; ``accepted`` is the sum of the others, whatever other threads do meanwhile."""
        # Copies, since a signal's handler may flush in the middle of this, which lets go of the lock.
        ledger = self.ledger
        held, made_room = self.queue.counts()
        dropped = {reason: count for reason, count in dict(ledger.dropped).items() if count}
        if made_room:
            dropped["queue full"] = made_room
        queued = held + self.in_hands
        return {
            "accepted": ledger.accepted + made_room + queued,
            "queue": queued,
            "waiting": sum(batch.count for batch in list(ledger.waiting)),
            "unconfirmed": ledger.unconfirmed,
            "sent": ledger.sent,
            "confirmed": ledger.confirmed,
            "replayed": ledger.replayed,
            "dropped": dropped,
            "batches": {what: ledger.batches[what] for what in ("sent", "confirmed", "replayed")},
        }
