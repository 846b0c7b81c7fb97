"""The pictures of zPages: a shop's exporter whose agent goes away for a while, and the agent's own pages."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from opencensus.trace.samplers import AlwaysOnSampler
from opencensus.trace.status import Status
from opencensus.trace.tracer import Tracer

from puremux import Exporter, zpages
from puremux.agent import Agent
from puremux.demo.program import BRISK, Program
from tests.browser.chromium import THEMES, Chromium

__all__ = ["SCENES"]

BEFORE, OUTAGE, AFTER = 14.0, 6.0, 12.0  # seconds
WORK = {"GET /cart": 0.004, "GET /products": 0.02, "POST /order": 0.12, "<script>alert(1)</script>": 0.001}


def shop(browser: Chromium, folder: Path, picture: Callable[[str], Path]) -> None:
    """All pages of one run, since a run takes half a minute."""
    with running_shop() as (own, agents):
        for name, url in {
            "tracez": f"{own}tracez",
            "exporterz": f"{own}exporterz",
            "statsz": f"{own}statsz",
            "span": failed_order(browser, own),
            "traceconfigz": f"{agents}traceconfigz",
        }.items():
            for theme in THEMES:
                browser.theme(theme)
                browser.resize(1120, 560)
                browser.open(url)
                browser.resize(1120, min(820, browser.ask("return document.querySelector('main').scrollHeight + 90")))
                browser.picture(picture(f"{name}-{theme}"))


def failed_order(browser: Chromium, own: str) -> str:
    """The address of an order that failed."""
    browser.open(f"{own}tracez?find=charge")
    browser.find("td.errors a").click()
    return str(browser.find("tbody th a").get_attribute("href"))


@contextlib.contextmanager
def running_shop() -> Iterator[tuple[str, str]]:
    """A program at work; the addresses of its pages, and of its agent's."""
    agent = Agent("127.0.0.1:0", zpages="127.0.0.1:0")
    stop = threading.Event()
    with (
        Exporter(
            agent.address, service_name="shop", reconnection_period=1.0, bundle_delay=0.5, sampler=AlwaysOnSampler()
        ) as exporter,
        zpages.serve(0, exporter) as served,
    ):
        program = Program(exporter, BRISK, threading.Event(), seed=1)
        program.start()
        worker = threading.Thread(target=work, args=(exporter, stop))
        worker.start()
        time.sleep(BEFORE)
        agent.stop()
        time.sleep(OUTAGE)
        agent = Agent(agent.address, zpages="127.0.0.1:0")
        time.sleep(AFTER)
        try:
            yield served.url, str(agent.zpages)
        finally:
            stop.set()
            worker.join()
            program.stop()
            exporter.stop()
            agent.stop()


def work(exporter: Exporter, stop: threading.Event) -> None:
    """Requests, some of which fail."""
    chance = random.Random(7)
    while not stop.is_set():
        name, seconds = chance.choice(list(WORK.items()))
        with Tracer(sampler=exporter.sampler, exporter=exporter).span(name) as span:
            span.add_attribute("http.method", name.split()[0][:4])
            span.add_attribute("customer", chance.randrange(1000))
            stop.wait(chance.expovariate(1 / seconds) / 2)
            if name == "POST /order":
                charge(exporter, span, chance, stop)
            else:
                stop.wait(chance.expovariate(1 / seconds) / 2)


def charge(exporter: Exporter, order: Any, chance: random.Random, stop: threading.Event) -> None:
    """The part of an order that goes wrong now and then."""
    with order.context_tracer.span("charge the card") as span:
        span.add_attribute("amount", chance.randrange(500, 20_000))
        span.add_annotation("asked the bank", attempt=1)
        with order.context_tracer.span("bank.example/charge"):
            stop.wait(0.03 + chance.random() / 20)
        if chance.random() < 0.2:
            span.set_status(Status(9, "the card was declined"))


SCENES = {"zpages": shop}
