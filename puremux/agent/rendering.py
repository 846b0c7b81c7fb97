"""A page of metrics as bytes, made in pieces: a page of ten thousand clients is 44 MB, and compressed a few.

Floor 5, agent: imports prometheus-client, the extra ``puremux[agent]``, which writes each piece.
Spec: Prometheus's text format 0.0.4 and OpenMetrics 1.0.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Callable, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

__all__ = ["Rendered", "render"]

AT_ONCE = 2_000  # samples of a piece: about 20 ms
GZIP = 16 + zlib.MAX_WBITS
QUICKLY = 1  # zlib's level: a fifth of the time of its usual one, for a page that is hardly larger
END = b"# EOF\n"


class Rendered(NamedTuple):
    """A page, ready to be sent."""

    content_type: str
    content_encoding: str | None
    body: list[bytes]


def render(families: Iterable[Metric], accept: str, accept_encoding: str) -> Rendered:
    """Write a page in the format, and compressed, as a request's headers ask for it."""
    encode, content_type = choose_encoder(accept)
    pieces = _pieces(families, encode, is_open=content_type.startswith("application/openmetrics-text"))
    if not any(each.split(";")[0].strip().lower() == "gzip" for each in accept_encoding.split(",")):
        return Rendered(content_type, None, list(pieces))
    packer = zlib.compressobj(QUICKLY, zlib.DEFLATED, GZIP)
    packed = [*filter(None, map(packer.compress, pieces)), packer.flush()]
    return Rendered(content_type, "gzip", packed)


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
