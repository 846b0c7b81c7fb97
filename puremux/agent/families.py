"""All metrics of all clients, sorted into the families of one Prometheus page; clashes are resolved here.

Floor 5, agent: imports naming, series, values and views.
Spec: Prometheus's text format 0.0.4 and OpenMetrics 1.0: a family has one name, type and help, a series appears once.

The rules, which depend on nothing but the order in which the clients were first seen:

- *type*: the client first seen gives a name its type.  Another type goes to a family of its own, such as
  ``<name>_gauges``, and its help says so; where that is taken too, the metric is left out.
- *help*: the client first seen gives a family its help; when others say otherwise, it says that.
- *label*: a label with the name of one that the format gives, and a metric's label with the name of one that the page
  gives, is called ``exported_<name>``; where several labels come to have one name, their values are joined by ``;``.
- *series*: of two series with equal labels the one is shown whose client was first seen later: a process that was
  restarted has its predecessor's labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .naming import exposition, label_name, label_names
from .series import Descriptor
from .values import Value
from .views import HeldPoints, SourceView

__all__ = ["CONFLICTS", "Families", "Family", "Labels", "target_labels"]

Labels = Mapping[str, str]

CONFLICTS = ("type", "help", "series", "dropped", "value")
"""What :attr:`Families.conflicts` counts: metrics shown apart, or described otherwise; series shown by another
client already; metrics left out; series whose value, or a part of it, is left out by ``samples``."""

SUFFIXES: Mapping[str, Sequence[str]] = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "gaugehistogram": ("", "_bucket", "_gcount", "_gsum"),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
}
"""The names that a family of each type takes; no other family may have them (OpenMetrics 1.0, "Clashing")."""

APART: Mapping[str, str] = {
    "counter": "counters",
    "gauge": "gauges",
    "gaugehistogram": "gaugehistograms",
    "histogram": "histograms",
    "summary": "summaries",
}
"""What is put behind a name that has another type already.  Against the singular promtool has an objection."""

LONGEST_NAME = 200  # characters of a service's or instance's name, which each line of the page repeats

FORMAT_LABELS = frozenset(("le", "quantile"))
"""Labels that the format itself gives to samples."""


def target_labels(source: SourceView, *, node: bool) -> Labels:
    """The labels for all that comes from a source: its service, its instance, and what its Resource says.

    Neither is called ``job`` or ``instance``: these a Prometheus puts on whatever it scrapes.

    Args:
        node: also what the Node says.
    """
    attributes = {**source.resource, **source.node} if node else dict(source.resource)
    known = {**source.resource, **source.node}
    instance = known.get("service.instance.id", "") or source.client.instance
    attributes["service.name"] = known.get("service.name", "")[:LONGEST_NAME]
    attributes["service.instance.id"] = instance[:LONGEST_NAME]
    named = ((label_name(key), value) for key, value in sorted(attributes.items()))
    return _join((f"exported_{name}" if name in FORMAT_LABELS else name, value) for name, value in named)


class Family:
    """Metrics of one name and type, of however many clients."""

    def __init__(self, name: str, kind: str, unit: str, description: str, remark: str, conflicts: Counter[str]) -> None:
        self.name = name
        self.kind = kind
        self.unit = unit
        self.help_differs = False
        self.description = description
        self._remark = remark
        self.conflicts = conflicts
        self._members: list[_Member] = []

    @property
    def help(self) -> str:
        """What the metric measures, and what there is to say about clashes."""
        other = " (described otherwise by other clients)" if self.help_differs else ""
        return f"{self.description}{self._remark}{other}"

    def add(self, target: Labels, held: HeldPoints) -> None:
        """Take in the series of one source."""
        self._members.append(_Member(target, held))

    def series(self) -> Iterator[tuple[dict[str, str], Value]]:
        """The series, their labels ready, each labels once."""
        shown: set[frozenset[tuple[str, str]]] = set()
        for member in reversed(self._members):
            for labels, value in member.series():
                key = frozenset(labels.items())
                if key in shown:
                    self.conflicts["series"] += 1
                else:
                    shown.add(key)
                    yield labels, value


class _Member(NamedTuple):
    target: Labels
    held: HeldPoints

    def series(self) -> Iterator[tuple[dict[str, str], Value]]:
        target, (descriptor, points) = self
        names = [
            f"exported_{name}" if name in target or name in FORMAT_LABELS else name
            for name in label_names(descriptor.label_keys)
        ]
        plain = len(set(names)) == len(names) and target.keys().isdisjoint(names)
        for values, value in points:
            pairs = [(name, text) for name, text in zip(names, values) if text]
            yield ({**target, **dict(pairs)} if plain else _join((*target.items(), *pairs))), value


class Families:
    """The families of one page.

    Args:
        taken: names that no client's metric may have.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.conflicts: Counter[str] = Counter(dict.fromkeys(CONFLICTS, 0))
        """By the words of ``CONFLICTS``; complete once the series of every family were read."""
        self._taken = set(taken)
        self._families: dict[str, Family] = {}
        self._placed: dict[Descriptor, Family | None] = {}

    def add(self, target: Labels, held: HeldPoints) -> None:
        """Put a metric of one source where it belongs."""
        descriptor = held.descriptor
        if descriptor not in self._placed:
            self._placed[descriptor] = self._place(descriptor)
        family = self._placed[descriptor]
        if family is not None:
            family.add(target, held)

    def __iter__(self) -> Iterator[Family]:
        return iter(sorted(self._families.values(), key=lambda family: family.name))

    def _place(self, descriptor: Descriptor) -> Family | None:
        name, kind, unit = exposition(descriptor)
        family = self._family(name, kind, unit, descriptor, "")
        if family is None:
            self.conflicts["type"] += 1
            remark = f" (shown apart from {name}, which another client has with another type)"
            family = self._family(f"{name}_{APART[kind]}", kind, "", descriptor, remark)
        if family is None:
            self.conflicts["dropped"] += 1
        elif family.description != _description(descriptor) and not family.help_differs:
            self.conflicts["help"] += 1
            family.help_differs = True
        return family

    def _family(self, name: str, kind: str, unit: str, descriptor: Descriptor, remark: str) -> Family | None:
        """The family of this name and type, if the name is not taken."""
        known = self._families.get(name)
        if known is not None:
            return known if known.kind == kind else None
        names = {name + suffix for suffix in SUFFIXES[kind]}
        if not self._taken.isdisjoint(names):
            return None
        self._taken |= names
        family = Family(name, kind, unit, _description(descriptor), remark, self.conflicts)
        self._families[name] = family
        return family


def _description(descriptor: Descriptor) -> str:
    return descriptor.description or f"{descriptor.name} of OpenCensus"


def _join(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels, without those that are empty: to Prometheus these are not there."""
    labels: dict[str, str] = {}
    for name, text in pairs:
        if text:
            labels[name] = f"{labels[name]};{text}" if name in labels else text
    return labels
