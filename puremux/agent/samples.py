"""The values of time series as samples of the Prometheus page.

Floor 5, agent: imports naming and values; and prometheus-client, the extra ``puremux[agent]``.
Spec: OpenMetrics 1.0, "Metric Types".

What OpenMetrics has no place for is left out, since one bad sample would have a strict reader refuse the whole page: a
counter, or a sum of what is counted, that is below zero or no number; the sum and count of a histogram with bounds
below zero; a quantile below zero.  Both formats have the same samples.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Callable, cast

from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from . import values
from .naming import label_name
from .values import EXEMPLAR_LENGTH, Distribution, Summary, Value

__all__ = ["fits", "samples_of"]

QUOTE = '"'


def samples_of(kind: str, name: str, labels: dict[str, str], value: Value) -> Iterator[Sample]:
    """The samples of one time series of a family of this type and name."""
    return SAMPLES[kind](name, labels, value)


def fits(kind: str, value: Value) -> bool:
    """Whether the format has a place for all of a value."""
    if kind == "counter":
        return _counts(cast(float, value))
    if isinstance(value, Distribution):
        return _has_sum(value, may_fall=kind == "gaugehistogram")
    if isinstance(value, Summary):
        return (value.sum is None or _counts(value.sum)) and not any(at < 0 for _, at in value.percentiles)
    return True


def _counts(number: float) -> bool:
    """Whether it can be what has been counted so far; not-a-number can't."""
    return number >= 0


def _counter(name: str, labels: dict[str, str], value: Value) -> Iterator[Sample]:
    if _counts(cast(float, value)):
        yield Sample(f"{name}_total", labels, cast(float, value))


def _gauge(name: str, labels: dict[str, str], value: Value) -> Iterator[Sample]:
    yield Sample(name, labels, cast(float, value))


def _histogram(name: str, labels: dict[str, str], value: Value, *, is_gauge: bool) -> Iterator[Sample]:
    distribution = cast(Distribution, value)
    yield from _buckets(name, labels, distribution)
    if _has_sum(distribution, may_fall=is_gauge):
        gauge = "g" if is_gauge else ""
        yield Sample(f"{name}_{gauge}sum", labels, distribution.sum)
        yield Sample(f"{name}_{gauge}count", labels, distribution.count)


def _has_sum(distribution: Distribution, *, may_fall: bool) -> bool:
    """Whether the sum has a place, and with it the count, which may not stand without it."""
    if distribution.bounds and distribution.bounds[0] < 0:
        return may_fall and not math.isnan(distribution.sum)
    return _counts(distribution.sum)


def _buckets(name: str, labels: dict[str, str], distribution: Distribution) -> Iterator[Sample]:
    counts = itertools.accumulate(distribution.buckets or (distribution.count,))
    bucket = f"{name}_bucket"
    for le, count, exemplar in itertools.zip_longest(_les(distribution.bounds), counts, distribution.exemplars):
        yield Sample(bucket, {**labels, "le": le}, count, None, _exemplar(exemplar) if exemplar else None)


@functools.lru_cache(maxsize=1024)
def _les(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(_text, bounds), "+Inf")


def _text(number: float) -> str:
    return str(floatToGoString(number))  # type: ignore[no-untyped-call]  # prometheus-client's, without hints


def _exemplar(held: values.Exemplar) -> Exemplar:
    labels = {label_name(key): text for key, text in held.attachments}
    length = sum(len(name) + len(text) for name, text in labels.items())
    # prometheus-client's own parser cannot read a quote there, however it is escaped.
    if length > EXEMPLAR_LENGTH or any(QUOTE in text for text in labels.values()):
        labels = {}
    return Exemplar(labels, held.value, held.time)


def _summary(name: str, labels: dict[str, str], value: Value) -> Iterator[Sample]:
    summary = cast(Summary, value)
    # Rounded, since 99.9 / 100 is 0.9990000000000001; by which two ranks can become one.
    quantiles = {_text(round(percentile / 100, 12)): at for percentile, at in summary.percentiles if not at < 0}
    for quantile, at in quantiles.items():
        yield Sample(name, {**labels, "quantile": quantile}, at)
    if summary.sum is not None and _counts(summary.sum):
        yield Sample(f"{name}_sum", labels, summary.sum)
    if summary.count is not None:
        yield Sample(f"{name}_count", labels, summary.count)


SAMPLES: Mapping[str, Callable[[str, dict[str, str], Value], Iterator[Sample]]] = {
    "counter": _counter,
    "gauge": _gauge,
    "gaugehistogram": functools.partial(_histogram, is_gauge=True),
    "histogram": functools.partial(_histogram, is_gauge=False),
    "summary": _summary,
}
