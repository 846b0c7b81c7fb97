"""Spans that have begun and not ended, as opencensus's tracers hold them.

Floor 5, zpages: imports surface, and the exporter's span encoder below.  opencensus itself is looked up by name, where
it is installed.
Source: ``opencensus.trace.span.Span.on_create``, opencensus's own hook, called with each span that a tracer makes.

A span is held weakly: it leaves when its owner drops it, or is left out when it has an end.  What a running span holds
is read when a page asks for it, by the encoder that would send it.
"""

from __future__ import annotations

import importlib
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Callable

from ..exporter.spans import SpanEncoder
from .surface import Surface, spans_in

__all__ = ["RunningSpans", "observe_tracers", "stop_observing"]

MOST = 10_000  # spans watched at one time; those beyond are counted only
SWEEP_EVERY = 1.0  # seconds; sweeping ten thousand takes a millisecond of whoever starts a span
MOST_SHOWN = 1_000
DEEPEST = 100  # generations


class RunningSpans:
    """Spans of the program that have not ended.

    Args:
        most: spans watched at one time.
        clock: seconds, as ``time.monotonic``.
    """

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self.missed = 0
        """Spans that were not watched since there were too many."""
        self._most = most
        self._clock = clock
        self._swept_at = clock() - SWEEP_EVERY
        self._spans: dict[int, weakref.ref[Any]] = {}  # by id(); single steps on a dict need no lock

    def add(self, span: Any) -> None:
        """Watch a span, on the thread that makes it; a microsecond, and never an error."""
        spans, key = self._spans, id(span)
        if len(spans) >= self._most and not self._sweep():
            self.missed += 1
            return
        spans[key] = weakref.ref(span, lambda gone: _remove(spans, key, gone))

    def _sweep(self) -> bool:
        """Drop what has ended but is still held by somebody; whether there is room now."""
        now = self._clock()
        if now - self._swept_at < SWEEP_EVERY:
            return False
        self._swept_at = now
        for key, reference in list(self._spans.items()):
            span = reference()
            if span is None or getattr(span, "end_time", None) is not None:
                self._spans.pop(key, None)
        return len(self._spans) < self._most

    def names(self) -> Counter[str]:
        """How many spans of each name are running."""
        return Counter(str(span.name) for span in self._alive())

    def spans(self, wanted: Callable[[str], bool] = lambda name: True) -> list[Surface]:
        """Running spans whose names are wanted, the longest running first; their ends are 0.

        One that its program changes at this very moment may be missing.
        """
        found: list[Surface] = []
        encoder = SpanEncoder()
        for span in self._alive():
            if wanted(str(span.name)) and len(found) < MOST_SHOWN:
                found += _read(span, encoder)
        return sorted(found, key=lambda span: span.start)

    def _alive(self) -> Iterable[Any]:
        for _ in range(10):
            try:
                held = [reference() for reference in self._spans.values()]
            except RuntimeError:  # one came or went meanwhile
                continue
            return [span for span in held if span is not None and span.start_time and span.end_time is None]
        return []


def _remove(spans: dict[int, weakref.ref[Any]], key: int, gone: weakref.ref[Any]) -> None:
    if spans.get(key) is gone:  # the id may have gone to another span already
        del spans[key]


def _read(span: Any, encoder: SpanEncoder) -> list[Surface]:
    try:
        return list(spans_in(encoder.field(_as_data(span))))
    except (ValueError, RuntimeError, AttributeError):  # its owner changes it meanwhile, or it is of another shape
        return []


def _as_data(span: Any) -> Any:
    """A tracer's span in the shape of the SpanData that it will become."""
    return SimpleNamespace(
        name=span.name,
        context=SimpleNamespace(trace_id=_tracer(span).trace_id, tracestate=None),
        span_id=span.span_id,
        parent_span_id=getattr(span.parent_span, "span_id", None),
        attributes=dict(span.attributes),
        start_time=span.start_time,
        end_time=None,
        child_span_count=len(span.children),
        stack_trace=span.stack_trace,
        annotations=list(span.annotations),
        message_events=list(span.message_events),
        links=list(span.links),
        status=span.status,
        same_process_as_parent_span=span.same_process_as_parent_span,
        span_kind=span.span_kind,
    )


def _tracer(span: Any) -> Any:
    """Who made it, or the ancestor of a child that was made by ``span.span()``, which has none itself."""
    for _ in range(DEEPEST):
        if span.context_tracer is not None:
            break
        span = span.parent_span
    return span.context_tracer


_watching: tuple[weakref.ref[RunningSpans], ...] = ()  # replaced as a whole: spans are made without a lock
_changing = threading.Lock()
_hooked: set[int] = set()


def observe_tracers(running: RunningSpans) -> bool:
    """Have it told of each span that opencensus's tracers make, for as long as somebody holds it.

    Returns:
        False where opencensus is not installed: nothing will be told.
    """
    global _watching  # noqa: PLW0603  the hook is the process's, and so is who is behind it
    try:
        span_class = importlib.import_module("opencensus.trace.span").Span
    except ImportError:
        return False
    with _changing:
        _watching = (*_others(running), weakref.ref(running))
        if id(span_class) not in _hooked:
            _hooked.add(id(span_class))
            span_class.on_create(_created)  # for good: opencensus has no way to take it back
    return True


def stop_observing(running: RunningSpans | None) -> None:
    """Tell it no more."""
    global _watching  # noqa: PLW0603  as above
    with _changing:
        _watching = _others(running)


def _others(running: RunningSpans | None) -> tuple[weakref.ref[RunningSpans], ...]:
    """Who is told besides, without those that are gone."""
    return tuple(each for each in _watching if each() not in (None, running))


def _created(span: Any) -> None:
    for reference in _watching:
        running = reference()
        try:
            if running is not None:
                running.add(span)
        except Exception:  # noqa: BLE001  whoever starts a span must not suffer for a page that may never be looked at
            stop_observing(running)
