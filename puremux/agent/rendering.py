"""A page of metrics as bytes, made in pieces: a page of ten thousand clients is 44 MB, and compressed a few.

Floor 5, agent: imports prometheus-client, the extra ``puremux[agent]``, which writes each piece.
Spec: Prometheus's text format 0.0.4 and OpenMetrics 1.0.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Callable, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

__all__ = ["Rendered", "SharedPages", "render"]

AT_ONCE = 2_000  # samples of a piece: about 20 ms
GZIP = 16 + zlib.MAX_WBITS
QUICKLY = 1  # zlib's level: a fifth of the time of its usual one, for a page that is hardly larger
END = b"# EOF\n"
NOT_ZERO = re.compile(r"1|0\.0*[1-9]")


class Rendered(NamedTuple):
    """A page, ready to be sent."""

    content_type: str
    content_encoding: str | None
    body: list[bytes]


def render(families: Iterable[Metric], accept: str, accept_encoding: str) -> Rendered:
    """Write a page in the format, and compressed, as a request's headers ask for it."""
    encode, content_type = choose_encoder(accept)
    pieces = _pieces(families, encode, is_open=content_type.startswith("application/openmetrics-text"))
    if not _takes_gzip(accept_encoding):
        return Rendered(content_type, None, list(pieces))
    packer = zlib.compressobj(QUICKLY, zlib.DEFLATED, GZIP)
    packed = [*filter(None, map(packer.compress, pieces)), packer.flush()]
    return Rendered(content_type, "gzip", packed)


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether a request's header allows it (RFC 9110 §12.5.3)."""
    for each in accept_encoding.lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return not weight or NOT_ZERO.match(weight) is not None
    return False


class SharedPages:
    """Makes one page at a time; those who ask for the same one meanwhile share the next.

    So a hundred scrapers cost what two do, and nobody gets a page that was begun before he asked.
    """

    def __init__(self) -> None:
        self.waiting = 0
        """How many wait for their turn."""
        self._counting = threading.Lock()
        self._making = threading.Lock()
        self._made: tuple[object, float, Rendered] | None = None

    def get(self, key: object, make: Callable[[], Rendered], timeout: float) -> Rendered | None:
        """The page of this key, made now or by another; None if none was made within so many seconds."""
        asked_at = time.monotonic()
        self._count(1)
        is_our_turn = self._making.acquire(timeout=timeout)
        self._count(-1)
        if not is_our_turn:
            return None
        try:
            if self._made is None or self._made[0] != key or self._made[1] < asked_at:
                self._made = None  # before the next one takes memory too
                began = time.monotonic()
                self._made = key, began, make()
            found = self._made[2]
            if not self.waiting:
                self._made = None
            return found
        finally:
            self._making.release()

    def _count(self, change: int) -> None:
        with self._counting:
            self.waiting += change


class _Part:
    """Some samples of a family, as a registry that has nothing else."""

    def __init__(self, family: Metric, samples: list[Any]) -> None:
        self._metric = Metric(family.name, family.documentation, family.type, family.unit)
        self._metric.samples = samples

    def collect(self) -> Iterable[Metric]:
        return [self._metric]


def _pieces(families: Iterable[Metric], encode: Callable[[Any], bytes], *, is_open: bool) -> Iterator[bytes]:
    for family in families:
        samples = iter(family.samples)
        # The older format writes the sums and counts of such a family behind all of its buckets.
        most = None if family.type == "gaugehistogram" else AT_ONCE
        yield _without_end(encode(_Part(family, list(itertools.islice(samples, most)))))
        while part := list(itertools.islice(samples, most)):
            yield _without_head(_without_end(encode(_Part(family, part))))
    if is_open:
        yield END


def _without_end(text: bytes) -> bytes:
    return text[: -len(END)] if text.endswith(END) else text


def _without_head(text: bytes) -> bytes:
    """The samples without the lines about their family, which stand before the first ones."""
    start = 0
    while text.startswith(b"# ", start):
        start = text.index(b"\n", start) + 1
    return text[start:]
