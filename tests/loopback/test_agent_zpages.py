"""The agent's zPages: what it shows of its clients, and how it has them sample differently."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from puremux import Exporter
from puremux.agent import Agent
from puremux.proto import metrics_service_pb2
from tests.loopback.exporters import QUICK
from tests.shared.programs import PUREMUX, Running
from tests.shared.span_data import spans
from tests.shared.waiting import eventually

LIMIT = 10.0
A_TRACE = SimpleNamespace(trace_id="0" * 31 + "1", trace_options=SimpleNamespace(get_enabled=lambda: False))


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:
        return str(answer.read().decode())


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent("127.0.0.1:0", zpages="127.0.0.1:0") as agent:
        yield agent


@pytest.fixture
def url(agent: Agent) -> str:
    assert agent.zpages is not None
    return agent.zpages


def exporter(agent: Agent, service: str) -> Exporter:
    return Exporter(agent.address, service_name=service, host_name="host", bundle_delay=0.02, pace=QUICK)


@pytest.mark.parametrize("page", ["", "tracez", "clientz", "rpcz", "statsz", "traceconfigz"])
def test_every_page_is_there_before_anybody_came(url: str, page: str) -> None:
    assert "OpenCensus Agent at 127.0.0.1:" in fetch(url + page)


def test_spans_of_each_client_by_itself_and_together(agent: Agent, url: str) -> None:
    for service in ("shop", "bank"):
        with exporter(agent, service) as sending:
            sending.export(spans(5, f"{service}-"))
            assert sending.flush(LIMIT)
    page = fetch(f"{url}tracez")
    assert "shop-0" in page
    assert "bank-0" in page
    (shop,) = set(re.findall(r'<option value="(shop host:\d+)"', page))
    only = fetch(f"{url}tracez?{urllib.parse.urlencode({'client': shop})}")
    assert "shop-0" in only
    assert "bank-0" not in only
    cell = re.search(r'href="(\?name=[0-9a-f]+&amp;cell=6[^"]*)"', only)
    assert cell is not None
    listed = fetch(f"{url}tracez{cell[1].replace('&amp;', '&')}")
    address = re.search(r'href="(/debug/tracez/[0-9a-f]{32}/[0-9a-f]{16})"', listed)
    assert address is not None
    assert "host:" in fetch(urllib.parse.urljoin(url, address[1]))


def test_clients_calls_and_metrics_are_shown(agent: Agent, url: str) -> None:
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    metric = request.metrics.add()
    metric.metric_descriptor.name, metric.metric_descriptor.type = "queue_length", 1
    for number in range(25):
        series = metric.timeseries.add()
        series.label_values.add(value=str(number), has_value=True)
        series.points.add(int64_value=7_001)
    metric.metric_descriptor.label_keys.add(key="n")
    with exporter(agent, "shop") as sending:
        sending.export_metrics_request(request)
        assert sending.flush(LIMIT)
        assert "shop host:" in fetch(f"{url}clientz")
        stats = fetch(f"{url}statsz")
    assert all(text in stats for text in ("queue_length", "7,001", "5 further time series", "from", "shop host:"))
    assert "MetricsService/Export" in fetch(f"{url}rpcz")


def test_what_is_refused_is_shown(agent: Agent, url: str) -> None:
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    request.metrics.add().metric_descriptor.name = "without a type"
    request.metrics[0].timeseries.add()
    with exporter(agent, "shop") as sending:
        sending.export_metrics_request(request)
        assert sending.flush(LIMIT)
    assert "unspecified type" in fetch(f"{url}clientz")


def change(url: str, **fields: str) -> str:
    """Send the form of traceconfigz as a browser would; return the page that it leads to."""
    token = re.search(r'name="token" value="([^"]+)"', fetch(f"{url}traceconfigz"))
    assert token is not None
    form = urllib.parse.urlencode({"token": token[1], **fields}).encode()
    origin = url.split("/debug", maxsplit=1)[0]
    request = urllib.request.Request(f"{url}traceconfigz", form, {"Origin": origin})
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        return str(answer.read().decode())


def test_a_sampler_is_pushed_to_clients_that_are_there_and_to_those_who_come(agent: Agent, url: str) -> None:
    with exporter(agent, "early") as early:
        eventually(lambda: "early host:" in fetch(f"{url}traceconfigz"), LIMIT)
        assert "This was asked for." in change(url, sampler="on", attributes="7")
        eventually(lambda: early.sampler.should_sample(A_TRACE), LIMIT)
        assert early.sampler.limits.max_attributes == 7
        with exporter(agent, "late") as late:
            eventually(lambda: late.sampler.should_sample(A_TRACE), LIMIT)
            eventually(lambda: fetch(f"{url}traceconfigz").count("every trace</td>") == 2, LIMIT)
            change(url, sampler="off")
            eventually(lambda: not late.sampler.should_sample(A_TRACE), LIMIT)
    eventually(lambda: "No client with a Config stream is connected" in fetch(f"{url}traceconfigz"), LIMIT)


def test_the_pages_end_with_the_agent() -> None:
    agent = Agent("127.0.0.1:0", zpages="127.0.0.1:0")
    url = str(agent.zpages)
    agent.stop()
    assert agent.zpages is None
    with pytest.raises(OSError, match="refused"):
        fetch(url)


def test_an_address_that_cannot_be_read_is_quoted() -> None:
    with pytest.raises(ValueError, match="zPages take host:port, not 'nowhere'"):
        Agent("127.0.0.1:0", zpages="nowhere")


def test_the_command_says_where_they_are() -> None:
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", "--zpages", "127.0.0.1:0"]) as agent:
        found = agent.wait_for(r"zPages: (http://127\.0\.0\.1:\d+/debug/)")
        assert "clientz" in fetch(found[1])


def test_the_command_says_what_to_install() -> None:
    program = "import sys; sys.modules['jinja2'] = None; from puremux.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "agent", "--listen", "127.0.0.1:0", "--zpages", "127.0.0.1:0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("puremux agent: zPages are made with jinja2, which cannot be imported")
    assert done.stderr.endswith("Install it: pip install 'puremux[zpages]'\n")
