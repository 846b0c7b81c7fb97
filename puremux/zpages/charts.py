"""Charts as figures for SVG: where lines, bars and their labels lie.  The templates only draw.

Floor 5, zpages: imports text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Callable, NamedTuple

from .text import clock_time, number

__all__ = ["Bar", "Chart", "Line", "Tick", "bars", "line_chart", "nice_ceiling"]

WIDTH, HEIGHT = 640.0, 150.0  # of a line chart, in units of its viewBox
LEFT, RIGHT, TOP, BOTTOM = 56.0, 8.0, 10.0, 22.0  # margins for labels

BARS_WIDTH, BARS_HEIGHT = 220.0, 44.0
LEAST_BAR = 1.5  # so that one among a million is seen


class Line(NamedTuple):
    """One curve of a chart."""

    name: str
    values: Sequence[float]


class Tick(NamedTuple):
    """A label on an axis."""

    at: float
    label: str


class Chart(NamedTuple):
    """A chart of lines over time."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    """Where the area begins and ends that the lines are drawn on."""

    paths: list[tuple[str, str]]
    """Name and path of each line."""

    across: list[Tick]
    up: list[Tick]
    bands: list[tuple[str, float, float]]
    """Name, left end and width of each stretch of time that is marked."""


class Bar(NamedTuple):
    """A bar of a histogram."""

    left: float
    top: float
    width: float
    height: float
    title: str


def line_chart(
    times: Sequence[float],
    lines: Sequence[Line],
    states: Sequence[str] = (),
    label: Callable[[float], str] = number,
) -> Chart:
    """Lines over the same times.

    Args:
        times: seconds since 1970, increasing; at least one.
        states: what held at each time; stretches of one state become a band.
        label: writes the figures at the side.
    """
    begin, end = times[0], max(times[-1], times[0] + 1.0)
    ceiling = nice_ceiling(max((value for line in lines for value in line.values), default=0.0))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def across(at: float) -> float:
        return round(LEFT + (at - begin) / (end - begin) * (right - LEFT), 1)

    def up(value: float) -> float:
        return round(bottom - value / ceiling * (bottom - TOP), 1)

    places = [across(at) for at in times]
    paths = [(line.name, _path(places, [up(value) for value in line.values])) for line in lines]
    marks = [begin, (begin + end) / 2, end]
    return Chart(
        WIDTH,
        HEIGHT,
        LEFT,
        right,
        TOP,
        bottom,
        paths,
        [Tick(across(at), clock_time(at)) for at in marks],
        [Tick(up(value), label(value)) for value in (0.0, ceiling / 2, ceiling)],
        _bands(places, states, right),
    )


def _path(across: Sequence[float], up: Sequence[float]) -> str:
    """Straight from one point to the next; a single point is drawn as a short line."""
    points = [f"{x:g},{y:g}" for x, y in zip(across, up)]
    return "M" + "L".join(points if len(points) > 1 else [*points, *points])


def _bands(places: Sequence[float], states: Sequence[str], right: float) -> list[tuple[str, float, float]]:
    bands: list[tuple[str, float, float]] = []
    for place, state in zip(places, states):
        if not bands or bands[-1][0] != state:
            bands.append((state, place, 0.0))
    ends = [begin for _, begin, _ in bands[1:]] + [right]
    return [(state, begin, round(max(1.0, end - begin), 1)) for (state, begin, _), end in zip(bands, ends)]


def nice_ceiling(value: float) -> float:
    """The least of 1, 2, 5, 10, 20, ... that is no smaller."""
    if not 1 < value < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value * 0.999999)


def bars(
    counts: Sequence[int], titles: Sequence[str], width: float = BARS_WIDTH, height: float = BARS_HEIGHT
) -> list[Bar]:
    """A histogram: one bar a count, the highest as high as there is room."""
    step = width / max(1, len(counts))
    highest = max(counts, default=0)
    found = []
    for index, (count, title) in enumerate(zip(counts, titles)):
        tall = max(LEAST_BAR, count / highest * height) if count else 0.0
        gap = min(2.0, step / 4)
        found.append(Bar(round(index * step, 2), round(height - tall, 2), round(step - gap, 2), round(tall, 2), title))
    return found
