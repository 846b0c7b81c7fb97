"""Log lines whose writers fail."""

from __future__ import annotations

import pytest

from puremux.logs import CarefulLogger
from puremux.transport.tap import BytesPassed, CarefulTap


def test_a_line_says_where_it_comes_from_and_what_was_raised(caplog: pytest.LogCaptureFixture) -> None:
    CarefulLogger("puremux").error("puremux: %s", "a sentence", error=ValueError("why"))
    (record,) = caplog.records
    assert (record.name, record.getMessage(), record.levelname) == ("puremux", "puremux: a sentence", "ERROR")
    assert record.filename == "test_logs.py" and record.exc_info is not None and record.exc_info[0] is ValueError


def test_a_handler_that_raises_is_no_matter_of_ours(refusing: None) -> None:
    CarefulLogger("puremux").warning("puremux: nobody writes this")


def test_a_tap_and_a_handler_that_both_raise_harm_no_call(refusing: None) -> None:
    def tap(passed: BytesPassed) -> None:
        raise ValueError("a mistake")

    CarefulTap(tap)(BytesPassed(1, "agent", 0.0, "sent", b"x"))
