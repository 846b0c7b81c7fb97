"""``puremux demo`` as a user runs it: a process, its lines, its exit code."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.shared.programs import LIMIT, PUREMUX, Running
from tests.shared.waiting import eventually

VIEWS = ["opdemo/latency", "opdemo/process_counts", "opdemo/line_lengths", "opdemo/line_counts"]
RECONNECTION_PERIOD = 1.0  # seconds; the demo's, unless it runs in real time
PATIENCE = 5.0  # seconds more, for a machine that has other things to do


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:
        return str(answer.read().decode())


def compared(demo: Running, name: str) -> list[int]:
    """The figures of a closing line, such as ``spans: 5 ended = 5 confirmed = 5 at the agent``."""
    (line,) = [line for line in demo.lines if line.startswith(f"{name}: ")]
    return [int(figure) for figure in re.findall(r"(\d+) (?:ended|recorded|confirmed|at the agent)", line)]


def assert_complete(demo: Running, figures: int) -> int:
    """Nothing was lost, and nothing printed is a traceback; returns the number of spans."""
    assert "Nothing was lost." in demo.lines, demo.output
    assert "Traceback" not in demo.output
    for name in ["spans", *VIEWS]:
        counts = compared(demo, name)
        assert len(counts) == figures if name == "spans" else counts
        assert len(set(counts)) == 1, demo.output
    spans, *views = [compared(demo, name)[0] for name in ["spans", *VIEWS]]
    assert views == [spans, spans, views[2], views[2]]
    assert spans > 0
    return spans


def test_everything_that_was_recorded_is_with_the_embedded_agent() -> None:
    with Running([*PUREMUX, "demo", "--duration", "2"]) as demo:
        demo.wait_for(r"embedded agent at 127\.0\.0\.1:\d+")
        pages = [
            demo.wait_for(rf"{name}: +(http://127\.0\.0\.1:\d+/\S+)$")[1]
            for name in ("this program's zPages", "the agent's zPages", "the Prometheus page")
        ]
        demo.wait_for(r"\d s  ready: spans \d+ ended")
        own, agents, prometheus = map(fetch, pages)
        assert "puremux-demo → 127.0.0.1:" in own
        assert "OpenCensus Agent at 127.0.0.1:" in agents
        assert "puremux_agent_spans_total" in prometheus
        assert "Foo" in fetch(f"{pages[0]}tracez")
        eventually(lambda: "Foo" in fetch(f"{pages[1]}tracez"), LIMIT)
        assert demo.finish() == 0, demo.output
        assert_complete(demo, figures=3)


def test_a_seed_makes_the_same_run_again(tmp_path: Path) -> None:
    runs = []
    for name in ("first", "second"):
        log = tmp_path / name
        with Running([*PUREMUX, "demo", "--seed", "1", "--spans", "12", "--spans-log", log]) as demo:
            assert demo.finish() == 0, demo.output
            assert assert_complete(demo, figures=3) == 12
        spans = [json.loads(line) for line in log.read_text().splitlines()]
        runs.append(([span["attributes"] for span in spans], compared(demo, "opdemo/line_counts")))
        assert len({span["span_id"] for span in spans}) == len({span["trace_id"] for span in spans}) == 12
    assert runs[0] == runs[1]


def test_in_real_time_it_need_not_sleep_to_the_end() -> None:
    with Running([*PUREMUX, "demo", "--real-time", "--duration", "1"]) as demo:
        assert demo.finish() == 0, demo.output
        assert_complete(demo, figures=3)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no terminals of this kind")
def test_on_a_terminal_it_shows_a_table() -> None:
    in_a_terminal = [sys.executable, "-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]
    with Running([*in_a_terminal, *PUREMUX, "demo", "--spans", "100"], {"TERM": "xterm", "COLUMNS": "100"}) as demo:
        demo.wait_for("sent again.*confirmed.*dropped")
        demo.wait_for("[0-9]+ measurements")
        assert demo.finish() == 0, demo.output
        assert "spans: 100 ended = 100 confirmed = 100 at the agent\n" in demo.output


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("how", ["interrupt", "terminate"])
def test_a_signal_ends_it_with_the_summary(how: str) -> None:
    with Running([*PUREMUX, "demo"]) as demo:
        demo.wait_for(r"ready: spans [1-9]")
        getattr(demo, how)()
        assert demo.finish() == 0, demo.output
        assert_complete(demo, figures=3)


def test_nothing_compiled_and_no_grpcio_is_needed() -> None:
    command = [sys.executable, "-m", "tests.shared.no_extensions", "demo", "--duration", "2"]
    with Running(command) as demo:
        assert demo.finish(2 * LIMIT) == 0, demo.output
        assert_complete(demo, figures=3)


def test_the_agent_is_killed_and_comes_back(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    log = tmp_path / "ended"
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", "--spans", first]) as agent:
        address = agent.wait_for(r"127\.0\.0\.1:\d+").group()
        with Running([*PUREMUX, "demo", "--agent", address, "--spans-log", log]) as demo:
            demo.wait_for(r"ready: .* [1-9]\d* confirmed")
            agent.kill()
            away = demo.wait_for(r"(transient failure|connecting): spans (\d+) ended")
            with Running([*PUREMUX, "agent", "--listen", address, "--spans", second]) as again:
                again.wait_for(re.escape(address))
                eventually(lambda: span_ids(second), RECONNECTION_PERIOD + PATIENCE, "spans arrive again")
                back = demo.wait_for(r"ready: spans (\d+) ended", after=demo.lines.index(away.string))
                assert int(back.group(1)) > int(away.group(2)), "the demo went on meanwhile"
                demo.wait_for(r"ready: .* [1-9]\d* confirmed", after=demo.lines.index(back.string))
                demo.interrupt()
                assert demo.finish() == 0, demo.output
                again.terminate()
                assert again.finish() == 0, again.output
        assert_complete(demo, figures=2)
    ended = {json.loads(line)["span_id"] for line in log.read_text().splitlines()}
    received = {span for file in (first, second) for span in span_ids(file)}
    assert received == ended, f"{len(ended - received)} of {len(ended)} were lost"
    assert set(span_ids(second)) - set(span_ids(first)), "none came after the restart"


def span_ids(file: Path) -> list[str]:
    """Of the spans that an agent wrote; a line that its death cut short is none."""
    lines = file.read_text().split("\n")[:-1]
    return [json.loads(line)["span_id"] for line in lines]


def test_an_agent_that_is_not_there_is_told_in_a_sentence(refused_port: int) -> None:
    with Running([*PUREMUX, "demo", "--agent", f"127.0.0.1:{refused_port}", "--duration", "1"]) as demo:
        assert demo.finish() == 1
        assert f"127.0.0.1:{refused_port}" in demo.output
        assert re.search("LOST, or not proven to have arrived: [1-9]", demo.output)
        assert "Traceback" not in demo.output


@pytest.mark.parametrize(
    "option, value, sentence",
    [
        pytest.param("--agent", "127.0.0.1:http", "127.0.0.1:http", id="a port that is no number"),
        pytest.param("--prometheus", "127.0.0.1:http", "127.0.0.1:http", id="the page's"),
        pytest.param("--spans-log", "/no/such/folder/log", "/no/such/folder/log", id="a folder that is not there"),
    ],
)
def test_what_keeps_it_from_beginning_is_one_sentence(option: str, value: str, sentence: str) -> None:
    with Running([*PUREMUX, "demo", "--duration", "1", option, value]) as demo:
        assert demo.finish() == 2
        (line,) = demo.lines
        assert line.startswith("puremux demo: ") and sentence in line


def test_without_jinja2_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['jinja2'] = None; from puremux.cli import main; sys.exit(main(sys.argv[1:]))"
    with Running([sys.executable, "-c", program, "demo", "--duration", "1"]) as demo:
        assert demo.finish() == 2
    (sentence,) = demo.lines
    assert sentence.startswith("puremux demo: zPages are made with jinja2, which cannot be imported")
    assert sentence.endswith("Install it: pip install 'puremux[zpages]'")
