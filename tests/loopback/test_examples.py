"""The examples, run as they stand."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from ..programs import PUREMUX, ROOT, Running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TRIED = {"end_to_end.py", "first_spans.py"}


def test_every_example_is_tried_here() -> None:
    assert {path.name for path in EXAMPLES} == TRIED


def test_end_to_end(tmp_path: Path) -> None:
    spans = tmp_path / "spans"
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", "--spans", spans]) as agent:
        address = agent.wait_for(r"127\.0\.0\.1:\d+").group()
        with Running([sys.executable, "examples/end_to_end.py", "--address", address]) as example:
            example.wait_for(r"^#0: LineLength: \d+By$")
            example.wait_for(r"^Latency: \d+\.\d{3}ms$")
            example.interrupt()
            assert example.finish() == 0, example.output
        agent.terminate()
        assert agent.finish() == 0, agent.output
    latencies = [line for line in example.lines if line.startswith("Latency")]
    received = [json.loads(line) for line in spans.read_text().splitlines()]
    assert {span["name"] for span in received} == {"Foo"}
    # A span that Ctrl-C ended has no latency.
    assert len(latencies) <= len({span["span_id"] for span in received}) <= len(latencies) + 1
    assert "Traceback" not in example.output


def test_first_spans(tmp_path: Path) -> None:
    spans = tmp_path / "spans"
    with Running([*PUREMUX, "agent", "--listen", "127.0.0.1:0", "--spans", spans]) as agent:
        address = agent.wait_for(r"127\.0\.0\.1:\d+").group()
        with Running([sys.executable, "examples/first_spans.py", address]) as example:
            assert example.finish() == 0, example.output
        assert example.lines == ["2 spans are at the agent"]
        received = [json.loads(line) for line in spans.read_text().splitlines()]
    assert [span["name"] for span in received] == ["coffee", "breakfast"]


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
