"""The examples, run as they stand."""

from __future__ import annotations

import json
import runpy
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shared.programs import LIMIT, PUREMUX, ROOT, Running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")

ENDLESS = {"end_to_end.py"}
BRIEF = sorted({path.name for path in (ROOT / "examples").glob("*.py")} - ENDLESS)


class Agent:
    """``puremux agent``, which writes its spans to a file."""

    def __init__(self, process: Running, spans: Path) -> None:
        self.address = process.wait_for(r"127\.0\.0\.1:\d+").group()
        self._process = process
        self._spans = spans

    def received(self) -> list[dict[str, Any]]:
        """End it, and read what it wrote."""
        self._process.terminate()
        assert self._process.finish() == 0, self._process.output
        return [json.loads(line) for line in self._spans.read_text().splitlines()]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent to try an example with."""
    spans = tmp_path / "spans"
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", "--spans", spans]) as process:
        yield Agent(process, spans)


@pytest.mark.parametrize("name", BRIEF)
def test_an_example_that_ends_by_itself(name: str, agent: Agent) -> None:
    """Each takes an agent's address, and sends it something."""
    with Running([sys.executable, f"examples/{name}", agent.address]) as example:
        assert example.finish() == 0, example.output
    assert "Traceback" not in example.output
    assert agent.received()


def test_end_to_end(agent: Agent) -> None:
    with Running([sys.executable, "examples/end_to_end.py", agent.address, "--zpages", "0"]) as example:
        zpages = example.wait_for(r"^zPages: (http://127\.0\.0\.1:\d+/debug/)$")[1]
        example.wait_for(r"^#0: LineLength: \d+By$")
        example.wait_for(r"^Latency: \d+\.\d{3}ms$")
        with urllib.request.urlopen(f"{zpages}statsz", timeout=LIMIT) as page:
            assert "opdemo/latency" in page.read().decode()
        example.interrupt()
        assert example.finish() == 0, example.output
    assert "Traceback" not in example.output
    latencies = [line for line in example.lines if line.startswith("Latency")]
    received = agent.received()
    assert {span["name"] for span in received} == {"Foo"}
    # A span that Ctrl-C ended has no latency.
    assert len(latencies) <= len({span["span_id"] for span in received}) <= len(latencies) + 1


def test_it_is_the_program_of_the_demo() -> None:
    """The demo and the example measure the same things the same way."""
    from puremux.demo import program

    example = runpy.run_path(str(ROOT / "examples" / "end_to_end.py"))
    assert [as_words(view) for view in example["VIEWS"]] == [as_words(view) for view in program.VIEWS]
    assert list(example["TAGS"]) == list(program.TAGS)
    assert tuple(example["LONGEST_SLEEP_MS"]) == program.LONGEST_SLEEP_MS


def as_words(view: object) -> str:
    """A view, as something that can be compared."""
    described = vars(view.get_metric_descriptor())  # type: ignore[attr-defined]
    bounds = getattr(view.aggregation, "_boundaries", None)  # type: ignore[attr-defined]
    return f"{ {name: str(value) for name, value in described.items()} } {bounds}"
