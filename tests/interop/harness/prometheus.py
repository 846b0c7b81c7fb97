"""A real Prometheus, Debian's, that scrapes what a test names and is asked through its HTTP API."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from .process import Process, free_port, program

__all__ = ["Prometheus", "Sample", "check_page", "read_page"]


class Sample(NamedTuple):
    """One line of a page, or one element of a query's answer."""

    name: str
    labels: dict[str, str]
    value: float


def read_page(page: str) -> list[Sample]:
    """The samples on a page in Prometheus's text format, as prometheus-client's own parser reads them."""
    families = text_string_to_metric_families(page)
    return [Sample(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def check_page(page: str) -> str:
    """What ``promtool check metrics`` has to say against a page; empty if nothing."""
    command = [str(program("promtool")), "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


class Prometheus:
    """A Prometheus that is started at once and ends with the ``with`` block.

    Args:
        targets: What it scrapes: ``"127.0.0.1:PORT"``, at /metrics.
        folder: Where its configuration, its log and its data lie.
        interval: Seconds between two scrapes.
    """

    def __init__(self, targets: Sequence[str], folder: Path, interval: float = 0.5) -> None:
        self.port = free_port()
        (folder / "prometheus.yml").write_text(_configuration(targets, interval))
        command = [
            str(program("prometheus")),
            "--config.file=prometheus.yml",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--storage.tsdb.path={folder / 'data'}",
        ]
        self.process = Process(command, folder, ready=self._is_ready)

    def _is_ready(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)

    def query(self, expression: str) -> list[Sample]:
        """The answer to an instant query, such as ``"opdemo_latency_count"``.

        Raises:
            OSError: It was refused, as an expression that is none is.
        """
        answer = self._ask("query", query=expression)
        found = [(element["metric"], float(element["value"][1])) for element in answer["result"]]
        return [Sample(labels.pop("__name__", ""), labels, value) for labels, value in found]

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, and how that went: ``health`` and ``lastError`` among the fields."""
        return list(self._ask("targets")["activeTargets"])

    def _ask(self, what: str, **parameters: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return dict(json.load(answer)["data"])

    def __enter__(self) -> Prometheus:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.stop()


def _configuration(targets: Sequence[str], interval: float) -> str:
    every = f"{round(interval * 1000)}ms"
    return json.dumps(  # which is YAML too
        {
            "global": {"scrape_interval": every, "scrape_timeout": every},
            "scrape_configs": [{"job_name": "tests", "static_configs": [{"targets": list(targets)}]}],
        }
    )
