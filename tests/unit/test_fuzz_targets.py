"""The harnesses in fuzz/, over their seeds and under hypothesis; ``make fuzz`` lets atheris drive them for longer."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FUZZ = Path(__file__).parents[2] / "fuzz"
NAMES = [
    *("address", "client_connection", "framing", "hpack", "metadata", "percent", "server_connection", "timeout"),
    *("agent", "surface", "wire"),
]
SEEDS = [
    pytest.param(name, seed, id=f"{name}: {seed.name}")
    for name in NAMES
    for seed in sorted((FUZZ / "seeds" / name).iterdir())
]


@pytest.mark.parametrize("name, seed", SEEDS)
def test_a_seed(name: str, seed: Path) -> None:
    importlib.import_module(f"fuzz.fuzz_{name}").check(seed.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_whatever_hypothesis_thinks_of(name: str) -> None:
    check = importlib.import_module(f"fuzz.fuzz_{name}").check

    @settings(max_examples=250, deadline=None)
    @given(st.binary(max_size=300))
    def run(data: bytes) -> None:
        check(data)

    run()


@pytest.mark.parametrize("name", NAMES)
def test_a_harness_has_seeds_and_says_its_invariant(name: str) -> None:
    assert (FUZZ / "seeds" / name).is_dir()
    assert importlib.import_module(f"fuzz.fuzz_{name}").__doc__
