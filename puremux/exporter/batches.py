"""Batches on their way to the agent, and the book that is kept of them: nothing leaves it without being counted.

Floor 4, exporter: imports the standard library only.
"""

from __future__ import annotations

from collections import Counter, deque

__all__ = ["Batch", "Ledger"]

FULL = "replay buffer full"
MAYBE = " (sent before; may have arrived)"  # behind the reason for which a batch was given up that had been sent
LENGTH_DELIMITED = 2  # protobuf's wire type of what has a length in front


class Batch:
    """Encoded items that travel, are confirmed, and are sent again together.

    Args:
        payload: the repeated field of the request, as it goes on the wire, without Node and Resource.
        count: spans or metrics in it.
        identity: Node and Resource of a request that brought its own; None for the exporter's.
    """

    def __init__(self, payload: bytes, count: int, identity: bytes | None = None) -> None:
        self.payload = payload
        self.count = count
        self.identity = identity
        self.number = 0
        """Its place in the order in which the ledger took batches; the halves of a batch keep it."""
        self.sends = 0
        """How often it was put on a stream."""
        self.refusals = 0
        """How often a stream that carried nothing else was refused, others having been confirmed in between."""
        self.confirmed_then = -1
        """What the ledger had confirmed at the last such refusal."""
        self.is_suspect = False
        """True once a stream that carried it was refused: it travels by itself, lest it have the others refused."""

    @property
    def size(self) -> int:
        """Bytes held for it."""
        return len(self.payload) + len(self.identity or b"")

    def halves(self) -> list[Batch]:
        """Two batches with the items of this one; none when it cannot be divided."""
        starts = _starts(self.payload)
        if self.count < 2 or len(starts) != self.count:
            return []
        middle = self.count // 2
        parts = (self.payload[: starts[middle]], middle), (self.payload[starts[middle] :], self.count - middle)
        return [self._part(payload, count) for payload, count in parts]

    def _part(self, payload: bytes, count: int) -> Batch:
        part = Batch(payload, count, self.identity)
        part.number, part.sends, part.is_suspect = self.number, self.sends, self.is_suspect
        part.confirmed_then = self.confirmed_then
        return part


def _starts(payload: bytes) -> list[int]:
    """Where the entries of a repeated field begin: a tag of one byte, a length, and so many bytes; [] if it is not one.

    Source: protobuf's encoding, "Length-Delimited Records".
    """
    starts, at = [], 0
    while at < len(payload):
        starts.append(at)
        if payload[at] != payload[0] or payload[at] & 7 != LENGTH_DELIMITED:
            return []  # a ready-made request with fields that we do not know
        length = shift = 0
        while True:
            at += 1
            length |= (payload[at] & 127) << shift
            shift += 7
            if payload[at] < 128:
                break
        at += 1 + length
    return starts


class Ledger:
    """What became of one kind of items: spans, or metrics.

    At any time ``accepted == waiting + unconfirmed + confirmed + dropped``, but for what the queue in front holds.

    Args:
        most_bytes: bytes of batches kept at the most, waiting and unconfirmed together.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.waiting: deque[Batch] = deque()
        """Batches to be put on a stream, oldest first."""
        self.outstanding: dict[Batch, None] = {}
        """Every batch that is waiting or unconfirmed."""
        self.numbered = 0
        """How many batches have been taken."""
        self.accepted = 0
        self.sent = 0
        """Items put on a stream for the first time."""
        self.batches: Counter[str] = Counter()
        """How many batches were ``sent``, ``confirmed`` and ``replayed``."""
        self.confirmed = 0
        """Items that the application behind the agent has had, by proof of its status 0."""
        self.replayed = 0
        """Items put on a stream again."""
        self.dropped: Counter[str] = Counter()
        """Items given up, by reason."""
        self.kept_bytes = 0
        self.unconfirmed = 0
        """Items on a stream whose end has not come."""
        self.unconfirmed_bytes = 0

    def has_room(self, batch: Batch) -> bool:
        """Whether a new batch would have no other make room for it."""
        return self.kept_bytes + batch.size <= self.most_bytes

    def add(self, batch: Batch) -> None:
        """Take a new batch; the oldest waiting ones make room for it."""
        size, batch.number = batch.size, self.numbered
        self.numbered += 1
        self.accepted += batch.count
        self.kept_bytes += size
        self.outstanding[batch] = None
        self.waiting.append(batch)
        self._make_room()

    def send(self, batch: Batch) -> None:
        """Note that a batch, taken from ``waiting``, is on a stream."""
        if batch.sends:
            self.replayed += batch.count
            self.batches["replayed"] += 1
        else:
            self.sent += batch.count
            self.batches["sent"] += 1
        batch.sends += 1
        self.unconfirmed += batch.count
        self.unconfirmed_bytes += batch.size

    def confirm(self, batches: list[Batch]) -> None:
        """Note that batches on a stream have arrived for good."""
        for batch in batches:
            self.unconfirmed -= batch.count
            self.unconfirmed_bytes -= batch.size
            self.confirmed += batch.count
            self.batches["confirmed"] += 1
            self.kept_bytes -= batch.size
            del self.outstanding[batch]

    def give_back(self, batches: list[Batch]) -> None:
        """Put batches whose stream broke before the others again, in their order."""
        for batch in batches:
            self.unconfirmed -= batch.count
            self.unconfirmed_bytes -= batch.size
        self.waiting.extendleft(reversed(batches))
        self._make_room()

    def divide(self, batch: Batch) -> bool:
        """Put two halves of a batch, which was taken from ``waiting``, behind the others; False if it has none."""
        halves = batch.halves()
        if halves:
            del self.outstanding[batch]
            self.outstanding.update(dict.fromkeys(halves))
            self.waiting.extend(halves)
            self.kept_bytes += sum(half.size for half in halves) - batch.size
        return bool(halves)

    def drop(self, batch: Batch, reason: str) -> None:
        """Give up a batch that is neither waiting nor on a stream any more."""
        self.dropped[reason] += batch.count
        self.kept_bytes -= batch.size
        del self.outstanding[batch]

    def drop_all(self, reason: str) -> int:
        """Give up everything that is not confirmed; return how many items that is."""
        lost = sum(batch.count for batch in self.outstanding)
        for batch in self.outstanding:
            self.dropped[_doubtful(reason, batch)] += batch.count
        self.waiting.clear()
        self.outstanding.clear()
        self.unconfirmed = self.unconfirmed_bytes = self.kept_bytes = 0
        return lost

    @property
    def may_send(self) -> bool:
        """False while so much is unconfirmed that new batches would have no room to wait."""
        return self.unconfirmed_bytes <= self.most_bytes // 2

    @property
    def is_settled(self) -> bool:
        """True when nothing waits and nothing is unconfirmed."""
        return not self.outstanding

    def has_settled(self, number: int) -> bool:
        """True when every batch that was numbered below ``number`` is confirmed or given up."""
        return all(batch.number >= number for batch in list(self.outstanding))

    def forget(self) -> None:
        """Begin anew in a forked child: what was held is the parent's to send."""
        self.waiting.clear()
        self.outstanding.clear()
        self.accepted = self.sent = self.confirmed = self.replayed = self.unconfirmed = 0
        self.kept_bytes = self.unconfirmed_bytes = 0
        self.dropped.clear()
        self.batches.clear()

    def _make_room(self) -> None:
        while self.kept_bytes > self.most_bytes and len(self.waiting) > 1:
            batch = self.waiting.popleft()
            self.drop(batch, _doubtful(FULL, batch))


def _doubtful(reason: str, batch: Batch) -> str:
    return reason + MAYBE if batch.sends else reason
