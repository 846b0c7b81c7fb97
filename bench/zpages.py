"""How long zPages take with ten thousand spans held, and what they cost a program: ``python -m bench.zpages``.

Pages are fetched over HTTP, with pauses, as a person does, from the request to the last byte; on a machine that others
use, what the processor worked says more than how long it took.  What a
span costs is the time that the exporter's thread spends on telling the pages of it, beside that for encoding it.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
import urllib.request
from types import SimpleNamespace
from typing import Any, Callable

from puremux import Exporter, zpages
from puremux.agent import Agent
from puremux.exporter.spans import SpanEncoder
from puremux.methods import MethodBook
from puremux.status import StatusCode
from puremux.zpages.book import SpanBook
from puremux.zpages.running import RunningSpans
from puremux.zpages.surface import spans_in

SPANS = 10_000
BATCH = 300  # spans, as an exporter sends them
OWN = ("tracez", "rpcz", "statsz", "traceconfigz", "exporterz")
AGENTS = ("tracez", "clientz", "rpcz", "statsz", "traceconfigz")


def span(number: int, names: int) -> Any:
    """The span of the other benchmarks, under one of several names."""
    return SimpleNamespace(
        name=f"/service/method-{number % names}",
        context=SimpleNamespace(trace_id=f"{number // 4 + 1:032x}", tracestate=None),
        span_id=f"{number + 1:016x}",
        parent_span_id=None,
        attributes={
            "http.method": "GET",
            "http.path": "/a/b/c",
            "http.host": "example.com",
            "http.status_code": 200,
            "i": number,
            "cached": number % 2 == 0,
        },
        start_time=f"2026-11-23T12:00:00.{number % 1_000_000:06d}Z",
        end_time=f"2026-11-23T12:00:0{1 + number % 7}.000002Z",
        child_span_count=0,
        stack_trace=None,
        annotations=[],
        message_events=[],
        links=[],
        status=SimpleNamespace(code=5, message="not found") if number % 10 == 9 else None,
        same_process_as_parent_span=True,
        span_kind=1,
    )


def milliseconds(url: str, rounds: int, before: Callable[[], object] = lambda: None) -> tuple[list[float], list[float]]:
    """How long a page takes each time, and what of that is the processor's work for both ends."""
    took, worked = [], []
    for _ in range(rounds):
        before()
        time.sleep(0.1)
        began, processor = time.perf_counter(), time.process_time()
        with urllib.request.urlopen(url, timeout=30) as answer:
            answer.read()
        took.append((time.perf_counter() - began) * 1000)
        worked.append((time.process_time() - processor) * 1000)
    return took, worked


def cost(do: Callable[[], object], rounds: int = 20) -> float:
    """Microseconds a span, the quickest of several rounds over one batch."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        do()
        took.append(time.perf_counter() - began)
    return min(took) / BATCH * 1e6


class Started:
    """As much of a tracer's span as matters when it is made."""


def bench_costs(names: int) -> None:
    batch = [span(number, names) for number in range(BATCH)]
    started = [Started() for _ in range(BATCH)]
    encoder = SpanEncoder()
    payload = b"".join(map(encoder.field, batch))
    book, running = SpanBook(), RunningSpans()
    book_of_calls = MethodBook("bench")
    encoding = cost(lambda: list(encoder.fields(batch)))
    telling = cost(lambda: book.add(list(spans_in(payload))))
    watching = cost(lambda: [running.add(each) for each in started])
    counting = cost(lambda: [count_call(book_of_calls) for _ in batch])
    print("| what | µs |\n|---|--:|")
    print(f"| a span is encoded, as ever | {encoding:.1f} |")
    print(f"| a span is told to the pages, on the exporter's thread | {telling:.1f} |")
    print(f"| a span is watched while it runs, on the program's thread | {watching:.1f} |")
    print(f"| a unary call is counted, with pages or without | {counting:.1f} |")


def count_call(book: MethodBook) -> None:
    counts = book.of("/service/Method")
    counts.start()
    counts.sent(100)
    counts.received(100)
    counts.end(StatusCode.OK, 0.0005)


def bench_memory(names: int) -> None:
    encoder = SpanEncoder()
    payloads = [
        b"".join(encoder.field(span(number, names)) for number in range(begin, begin + 100))
        for begin in range(0, 2 * SPANS, 100)
    ]
    book = SpanBook()
    tracemalloc.start()
    for payload in payloads:
        book.add(list(spans_in(payload)))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    measured, estimated = held / 2**20, book.held_bytes / 2**20
    print(f"\n{book.held:,} spans are held in {measured:.1f} MiB, by an estimate of {estimated:.1f} MiB.")


def bench_pages(names: int, rounds: int) -> None:
    print(f"\n| page, {SPANS:,} spans of {names} names held | processor, ms | median, ms | longest, ms |")
    print("|---|--:|--:|--:|")
    with (
        Agent("127.0.0.1:0", zpages="127.0.0.1:0") as agent,
        Exporter(agent.address, service_name="bench", queue_size=SPANS) as exporter,
        zpages.serve(0, exporter) as served,
    ):
        exporter.export(span(number, names) for number in range(SPANS))
        assert exporter.flush(60)
        one = f"tracez/{1:032x}/{1:016x}"

        def one_more() -> None:
            exporter.export([span(0, names)])
            assert exporter.flush(60)

        report("agent's tracez, one more span having come", *milliseconds(f"{agent.zpages}tracez", rounds, one_more))
        for whose, url, pages in (("exporter's", served.url, OWN), ("agent's", str(agent.zpages), AGENTS)):
            for page in (*pages, one):
                report(f"{whose} {'tracez, one span' if page == one else page}", *milliseconds(url + page, rounds))


def report(page: str, took: list[float], worked: list[float]) -> None:
    figures = statistics.median(worked), statistics.median(took), max(took)
    print(f"| the {page} | {' | '.join(f'{figure:.0f}' for figure in figures)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--names", type=int, default=50, help="span names; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="fetches of each page; default: %(default)s")
    options = parser.parse_args()
    bench_costs(options.names)
    bench_memory(options.names)
    bench_pages(options.names, options.rounds)


if __name__ == "__main__":
    main()
