"""Many services, one agent, one scrape: bench/ten_thousand.py with few of them, so that it goes on working."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.ten_thousand import AGENTS, one_by_one, scraped_once

SERVICES = 50


@pytest.mark.parametrize("agent", AGENTS)
def test_all_services_are_in_the_scrape_of_one_port(agent: str, tmp_path: Path) -> None:
    outcome = scraped_once(agent, SERVICES, tmp_path, interval=2.0)
    assert outcome.services == SERVICES
    assert outcome.samples >= SERVICES * 28, "each has two histograms, of 15 and 11 samples, and two counters"


def test_what_is_scraped_one_by_one_is_scraped(tmp_path: Path) -> None:
    each = one_by_one(3, tmp_path)
    assert each["seconds"] > 0 and each["memory"] > 0
