"""A real Prometheus and the agent's page while clients come and go, as bench/scraped.py has it for longer."""

from __future__ import annotations

from pathlib import Path

from bench.scraped import scraped


def test_no_scrape_fails_and_nobody_complains(tmp_path: Path) -> None:
    outcome = scraped(20.0, tmp_path)
    assert outcome.is_clean, outcome
    assert outcome.scrapes >= 6
    assert outcome.clients > 30
    assert outcome.expired > 3
