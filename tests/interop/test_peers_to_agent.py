"""Exporters that others wrote, and a real Prometheus, with the embedded agent: what they sent is what it has."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from puremux.agent import Agent
from tests.shared.waiting import eventually

from .harness.exporters import Exporting
from .harness.prometheus import Prometheus

ARRIVING = 15.0
"""Seconds: Go's exporter alone gathers spans for two."""

StartExporter = Callable[..., Exporting]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with Agent("127.0.0.1:0", prometheus="127.0.0.1:0", spans=str(tmp_path / "spans.jsonl")) as agent:
        yield agent


def logged(folder: Path) -> list[dict[str, Any]]:
    """The span log so far."""
    path = folder / "spans.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def arrived(folder: Path, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Wait until the log has every span of a record."""
    wanted = {span["span_id"] for span in record["spans"]}
    eventually(lambda: wanted <= {line["span_id"] for line in logged(folder)}, ARRIVING, "every span arrived")
    return {line["span_id"]: line for line in logged(folder) if line["span_id"] in wanted}


def samples(agent: Agent) -> dict[tuple[str, str], float]:
    """Values on the agent's page, by name and the label ``le``."""
    assert agent.page is not None
    with urllib.request.urlopen(agent.page, timeout=5) as answer:
        page = answer.read().decode()
    families = text_string_to_metric_families(page)
    return {(each.name, each.labels.get("le", "")): each.value for family in families for each in family.samples}


def nanoseconds(moment: str) -> int:
    """An ISO time of the span log since 1970."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


def test_gos_exporter(agent: Agent, go_exporter: StartExporter, tmp_path: Path) -> None:
    exporting = go_exporter(agent.address, "demo", "-service=gopher")
    record = exporting.record()
    got = arrived(tmp_path, record)
    assert len(got) == len(record["spans"]) == 10
    for sent in record["spans"]:
        span = got[sent["span_id"]]
        assert (span["trace_id"], span["name"]) == (sent["trace_id"], sent["name"])
        assert (span["parent_span_id"] or "").strip("0") == sent["parent_span_id"].strip("0")  # Go sends zeros for none
        assert (nanoseconds(span["start_time"]), nanoseconds(span["end_time"])) == (sent["start"], sent["end"])
        assert span.get("attributes", {}) == (sent["attributes"] or {})
        assert [note["description"] for note in span.get("annotations", [])] == [
            note["description"] for note in sent["annotations"]
        ]
        assert [link["span_id"] for link in span.get("links", [])] == [link["span_id"] for link in sent["links"]]
    (client,) = agent.store.clients()
    assert client.identity.service_name == "gopher"
    exporting.finish()


def test_gos_views_are_on_the_page(agent: Agent, go_exporter: StartExporter) -> None:
    exporting = go_exporter(agent.address, "demo")
    views = exporting.record()["views"]
    told = views["v/distribution"]["rows"][0]["data"]
    eventually(
        lambda: samples(agent).get(("v_distribution_milliseconds_count", "")) == told["count"],
        ARRIVING,
        "the last export",
    )
    page = samples(agent)
    assert page["v_count_total", ""] == views["v/count"]["rows"][0]["data"]
    assert page["v_distribution_milliseconds_sum", ""] == told["sum"]
    counts, running = told["bucket_counts"], 0
    for bound, count in zip(("1.0", "5.0", "10.0", "+Inf"), counts):
        running += count
        assert page["v_distribution_milliseconds_bucket", bound] == running
    exporting.finish()


def test_ocagent_python(agent: Agent, ocagent_python: StartExporter, tmp_path: Path) -> None:
    exporting = ocagent_python(agent.address, "demo", "--service=snake")
    record = exporting.record()
    got = arrived(tmp_path, record)
    assert {span["name"] for span in got.values()} == {"parent", "bench-span"}
    for sent in record["spans"]:
        assert got[sent["span_id"]].get("attributes", {}) == sent["attributes"]
    assert agent.store.clients()[0].identity.service_name == "snake"
    eventually(lambda: len([name for name, _ in samples(agent) if name.startswith("v_")]) > 5, ARRIVING, "its views")
    exporting.finish()


def test_one_scrape_has_the_metrics_of_all_clients(
    agent: Agent, go_exporter: StartExporter, ocagent_python: StartExporter, prometheus: Callable[..., Prometheus]
) -> None:
    peers = [go_exporter(agent.address, "demo", "-service=gopher"), ocagent_python(agent.address, "demo")]
    for peer in peers:
        peer.record()
    assert agent.page is not None
    server = prometheus(agent.page.split("/")[2])

    def services() -> set[str]:
        answers = server.query("v_count_total")
        return {label for answer in answers for key, label in answer.labels.items() if "service" in key or key == "job"}

    eventually(lambda: "gopher" in str(services()) and len(server.query("v_count_total")) == 2, ARRIVING, "both")
    for peer in peers:
        peer.finish()
