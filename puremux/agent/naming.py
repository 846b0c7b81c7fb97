"""OpenCensus's names as Prometheus's: of metrics, with their unit and type, and of labels.

Floor 5, agent: imports series and ``puremux.proto``.
Source: what the OpenTelemetry Collector's Prometheus exporter makes of the same metrics (0.130).

====================  ===========================  =======  ==============================
OpenCensus's name     type                         unit     Prometheus's name and type
====================  ===========================  =======  ==============================
opdemo/latency        CUMULATIVE_DISTRIBUTION      ms       opdemo_latency_milliseconds, histogram
opdemo/line_counts    CUMULATIVE_INT64             1        opdemo_line_counts_total, counter
bytes/sent            CUMULATIVE_INT64             By       bytes_sent_total, counter
queue.fill            GAUGE_DOUBLE                 1        queue_fill_ratio, gauge
rate                  GAUGE_DOUBLE                 By/s     rate_bytes_per_second, gauge
things                GAUGE_INT64                  {thing}  things, gauge
waiting               GAUGE_DISTRIBUTION           s        waiting_seconds, gaugehistogram (the Collector drops it)
====================  ===========================  =======  ==============================
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

from ..proto import metrics_pb2
from .series import Descriptor

__all__ = ["Exposition", "exposition", "label_name", "label_names"]

Type = metrics_pb2.MetricDescriptor

KINDS: Mapping[int, str] = {
    Type.GAUGE_INT64: "gauge",
    Type.GAUGE_DOUBLE: "gauge",
    Type.GAUGE_DISTRIBUTION: "gaugehistogram",
    Type.CUMULATIVE_INT64: "counter",
    Type.CUMULATIVE_DOUBLE: "counter",
    Type.CUMULATIVE_DISTRIBUTION: "histogram",
    Type.SUMMARY: "summary",
}
"""Types of OpenMetrics; in the older text format a gaugehistogram is a histogram with two gauges."""

UNITS: Mapping[str, str] = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
"""UCUM's codes as words; what is not listed stays as it is."""

PER_UNITS: Mapping[str, str] = {
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
"""The same after a slash."""

USUAL = 200  # characters of a label's key; longer ones would fill the memory of those that are kept

WORD = re.compile(r"[^\W_]+")  # letters and digits, of any script
NOT_ASCII = re.compile(r"[^a-zA-Z0-9_]")


class Exposition(NamedTuple):
    """How a metric is called on the page."""

    name: str
    """Of the family: for a counter without ``_total``, as OpenMetrics has it."""

    kind: str
    """``counter``, ``gauge``, ``gaugehistogram``, ``histogram`` or ``summary``."""

    unit: str
    """The end of the name that is a unit, such as ``milliseconds``; may be empty."""


@functools.lru_cache(maxsize=1024)
def exposition(descriptor: Descriptor) -> Exposition:
    """The name, type and unit of a metric on the page."""
    kind = KINDS[descriptor.metric_type]
    words = WORD.findall(descriptor.name)
    main, _, per = descriptor.unit.partition("/")
    main_word, per_word = _unit_word(main, UNITS), _unit_word(per, PER_UNITS)
    if main_word and main_word not in words:
        words.append(main_word)
    if per_word and per_word not in words:
        words += ["per", per_word]
    if kind == "counter":
        words = [word for word in words if word != "total"]
    if descriptor.unit == "1" and kind == "gauge":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    name = NOT_ASCII.sub("_", "_".join(words))
    if not name or name[0].isdigit():
        name = f"_{name}"
    return Exposition(name, kind, _unit_of(name, main_word, per_word))


def _unit_word(unit: str, words: Mapping[str, str]) -> str:
    """The word for a unit; none for a remark such as ``{requests}``."""
    unit = unit.strip()
    return "" if "{" in unit or "}" in unit else "_".join(WORD.findall(words.get(unit, unit)))


def _unit_of(name: str, main_word: str, per_word: str) -> str:
    unit = NOT_ASCII.sub("_", "_per_".join(filter(None, (main_word, per_word))))
    return unit if name.endswith(f"_{unit}") else ""


def label_name(key: str) -> str:
    """A label's key as the name of a label: ``k8s.pod.name`` is ``k8s_pod_name``.

    A name that begins with a digit or ``_`` gets ``key`` before it: two underscores are Prometheus's own.
    """
    return _known_label_name(key) if len(key) <= USUAL else _label_name(key)


def _label_name(key: str) -> str:
    name = NOT_ASCII.sub("_", key)
    if name[:1].isdigit():
        return f"key_{name}"
    return f"key{name}" if name.startswith("_") or not name else name


_known_label_name = functools.lru_cache(maxsize=4096)(_label_name)


@functools.lru_cache(maxsize=1024)
def label_names(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The names for the keys of a metric's labels, in their order.  Two keys may share one."""
    return tuple([label_name(key) for key in keys])
