"""The parts that others wrote, joined with each other, without puremux: what fails here is the workshop."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.shared.waiting import eventually

from .harness.collector import Collector
from .harness.exporters import Exporting
from .harness.process import Missing, Process, built, free_port, is_listening, program
from .harness.prometheus import Prometheus, check_page
from .harness.proxies import Authority, Proxy
from .harness.received import Distribution, Event, Received, Span

ARRIVING = 15.0
"""Seconds: Go's exporter alone gathers spans for two."""

StartCollector = Callable[..., Collector]
StartExporter = Callable[..., Exporting]


def arrived(agent: Collector, record: dict[str, Any]) -> dict[str, Span]:
    """Wait until an agent has every span of a record; Go's exporter adds one of its own, of its call."""
    wanted = {span["span_id"] for span in record["spans"]}
    eventually(lambda: wanted <= {span.span_id for span in agent.spans()}, ARRIVING, "every span arrived")
    return {span.span_id: span for span in agent.spans() if span.span_id in wanted}


def test_go_exporter_to_collector(collector: StartCollector, go_exporter: StartExporter) -> None:
    agent = collector("all")
    exporting = go_exporter(agent.address, "demo", "-service=gopher")
    record = exporting.record()
    got = arrived(agent, record)
    for sent in record["spans"]:
        span = got[sent["span_id"]]
        assert (span.trace_id, span.parent_span_id, span.name) == (
            sent["trace_id"],
            sent["parent_span_id"],
            sent["name"],
        )
        assert (span.start, span.end) == (sent["start"], sent["end"])
        assert span.attributes == (sent["attributes"] or {})
        assert span.resource["service.name"] == "gopher"
        for note in sent["annotations"]:
            assert Event(note["time"], note["description"], note["attributes"]) in span.events
        assert [link.span_id for link in span.links] == [link["span_id"] for link in sent["links"]]
    exporting.finish()


def test_views_of_go_exporter_on_the_collectors_page(collector: StartCollector, go_exporter: StartExporter) -> None:
    agent = collector("all")
    exporting = go_exporter(agent.address, "demo")
    views = exporting.record()["views"]
    assert len(views) == 6
    eventually(lambda: {point.metric for point in agent.points()} == set(views), ARRIVING, "every view arrived")
    (count,) = [sample for sample in agent.samples() if sample.name == "v_count_total"]
    assert (count.value, count.labels["method"]) == (views["v/count"]["rows"][0]["data"], "repl")
    told = views["v/distribution"]["rows"][0]["data"]
    last = [point for point in agent.points() if point.metric == "v/distribution"][-1]
    assert isinstance(last.value, Distribution)
    assert (last.value.count, last.value.sum) == (told["count"], told["sum"])
    assert (last.value.bounds, last.value.bucket_counts) == ([1.0, 5.0, 10.0], told["bucket_counts"])
    exporting.finish()


def test_ocagent_python_to_collector(collector: StartCollector, ocagent_python: StartExporter) -> None:
    agent = collector("all")
    exporting = ocagent_python(agent.address, "demo", "--service=snake")
    record = exporting.record()
    got = arrived(agent, record)
    assert {span.name for span in got.values()} == {"parent", "bench-span"}
    assert all(got[sent["span_id"]].attributes == sent["attributes"] for sent in record["spans"])
    eventually(
        lambda: {point.metric for point in agent.points()} == set(record["views"]), ARRIVING, "every view arrived"
    )
    assert "UNKNOWN" in record["config"], "the real agents don't offer Config"
    exporting.finish()


def test_otlp_python_to_collector(collector: StartCollector, otlp_python: StartExporter) -> None:
    agent = collector("files")
    exporting = otlp_python(agent.otlp_address, "demo")
    record = exporting.record()
    got = arrived(agent, record)
    assert all(got[sent["span_id"]].attributes == sent["attributes"] for sent in record["spans"])
    exporting.finish()


@pytest.mark.parametrize("kind", ["nginx", "haproxy"])
def test_go_exporter_through_tls(
    kind: str,
    collector: StartCollector,
    go_exporter: StartExporter,
    tls_proxy: Callable[..., Proxy],
    authority: Authority,
) -> None:
    agent = collector("files")
    proxy = tls_proxy(kind, agent.ports["opencensus"])
    exporting = go_exporter(proxy.address, "demo", f"-ca={authority.file}")
    assert len(arrived(agent, exporting.record())) == 10
    exporting.finish()


def test_haproxy_wants_certificates_of_clients(tls_proxy: Callable[..., Proxy], authority: Authority) -> None:
    proxy = tls_proxy("haproxy mTLS", free_port())
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    with (
        context.wrap_socket(plain, server_hostname="localhost") as stranger,
        pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"),
    ):
        stranger.recv(1)


def test_prometheus_scrapes_the_collector(
    collector: StartCollector, go_exporter: StartExporter, prometheus: Callable[..., Prometheus]
) -> None:
    agent = collector("all")
    go_exporter(agent.address, "demo").record()
    eventually(agent.page, ARRIVING, "the page has something on it")
    server = prometheus(f"127.0.0.1:{agent.ports['prometheus']}")
    (up,) = eventually(lambda: server.query("up == 1"), ARRIVING, "the first scrape")
    assert up.labels["instance"] == f"127.0.0.1:{agent.ports['prometheus']}"
    (answer,) = eventually(lambda: server.query("v_distribution_milliseconds_count"), ARRIVING, "the view is there")
    assert answer.value == 5
    assert [target["health"] for target in server.targets()] == ["up"]


def test_promtool_knows_a_good_page_from_a_bad_one() -> None:
    assert check_page("# HELP a_total How many.\n# TYPE a_total counter\na_total 1\n") == ""
    assert "error while linting" in check_page("this is no page")


def test_a_killed_collector_comes_back_with_what_it_had(collector: StartCollector, go_exporter: StartExporter) -> None:
    agent = collector("files")
    had = arrived(agent, go_exporter(agent.address, "demo").record())
    agent.kill()
    assert not is_listening(agent.ports["opencensus"])
    agent.start()
    more = arrived(agent, go_exporter(agent.address, "demo").record())
    assert len(more) == len(had) == 10
    assert set(had) <= {span.span_id for span in agent.spans()}


def test_a_moody_collector_loses_what_comes_to_its_second_port(
    collector: StartCollector, go_exporter: StartExporter
) -> None:
    agent = collector("moody")
    go_exporter(agent.full_address, "demo").finish()
    arrived(agent, go_exporter(agent.address, "demo", "-service=heard").record())
    assert {span.resource["service.name"] for span in agent.spans()} == {"heard"}


def test_a_collector_as_a_sink(collector: StartCollector, go_exporter: StartExporter) -> None:
    agent = collector("sink")
    record = go_exporter(agent.address, "bench", "-spans=1000").record()
    assert record["spans"] == 1000
    assert record["cpu_us_per_span"] > 0
    assert agent.spans() == []


@pytest.mark.parametrize("peer", ["go_exporter", "ocagent_python", "otlp_python"])
def test_a_steady_peer(peer: str, collector: StartCollector, request: pytest.FixtureRequest) -> None:
    agent = collector("files")
    start = request.getfixturevalue(peer)
    if peer == "go_exporter":
        exporting = start(agent.address, "steady", "-for=300ms", "-interval=10ms")
    else:
        address = agent.otlp_address if peer == "otlp_python" else agent.address
        exporting = start(address, "steady", "--seconds=0.3", "--interval=0.01")
    ended = exporting.record()["ended"]
    assert ended > 1
    exporting.finish()
    wanted = {f"r{i:06d}" for i in range(ended)}
    eventually(lambda: wanted <= {span.name for span in agent.spans()}, ARRIVING, "every span arrived")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(Missing, match="nosuchserver is not installed: apt-get install nosuchserver"):
        program("nosuchserver")
    with pytest.raises(Missing, match="nosuchpeer is not built: run `make peers`"):
        built(".cache/peers/nosuchpeer")


def test_a_program_that_ends_early_says_why(tmp_path: Any) -> None:
    with pytest.raises(AssertionError, match=r"(?s)sh ended with 3.*out of ink"):
        Process(["sh", "-c", "echo out of ink; exit 3"], tmp_path, ready=lambda: False)


def test_half_a_request_of_a_killed_collector_hides_no_other(tmp_path: Path) -> None:
    span = '{"traceId": "01", "spanId": "02", "name": "%s"}'
    whole = '{"resourceSpans":[{"scopeSpans": [{"spans": [' + span + "]}]}]}"
    path = tmp_path / "received.jsonl"
    half = whole[:40]
    lines = [whole % "before", half + whole % "behind", half, whole % "last"]
    path.write_text("".join(line + "\n" for line in lines))
    assert [span.name for span in Received(path).spans()] == ["before", "behind", "last"]
