"""Log lines: each kind once a minute, and the silence between is counted."""

from __future__ import annotations

import errno
import logging

import pytest

from puremux.exporter.complaints import LONGEST, NEWEST, PERIOD, Complaints
from puremux.logs import CarefulLogger


def test_a_kind_is_said_once_a_period(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    complaints = Complaints(CarefulLogger("test.complaints"), lambda: now)
    for _ in range(5):
        complaints.say("no connection", "refused")
    complaints.say("other", "something else")
    assert [record.getMessage() for record in caplog.records] == ["puremux: refused", "puremux: something else"]
    now += PERIOD
    complaints.say("no connection", "refused again")
    assert caplog.records[-1].getMessage() == "puremux: refused again (4 more like this since the last line)"
    assert complaints.last == "refused again"


def test_the_newest_are_kept_and_repetitions_are_counted() -> None:
    complaints = Complaints(CarefulLogger("test.complaints"), lambda: 0.0)
    for sentence in ("refused", "refused", "something else", "refused"):
        complaints.say("no connection", sentence)
    assert [(each.sentence, each.times) for each in complaints.newest()] == [
        ("refused", 1),
        ("something else", 1),
        ("refused", 2),
    ]
    for number in range(100):
        complaints.say("kind", f"sentence {number}")
    assert len(complaints.newest()) == NEWEST


def test_two_threads_may_complain_at_once() -> None:
    complaints = Complaints(CarefulLogger("test.complaints"), lambda: 0.0)

    class Slow(str):
        """While it is compared, another thread has taken what was there."""

        def __eq__(self, other: object) -> bool:
            complaints.forget()
            return str(self) == str(other)

        __hash__ = str.__hash__

    complaints.say("export", Slow("no span"))
    complaints.say("export", Slow("no span"))
    assert complaints.newest()[0].sentence == "no span"


def test_an_agents_explanation_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(CarefulLogger("test.complaints"), lambda: 0.0)
    complaints.say("the agent refuses", "no" * 32_768)
    assert complaints.last == complaints.newest()[0].sentence and len(complaints.last) == LONGEST
    assert len(caplog.records[0].getMessage()) < LONGEST + 20


def test_a_log_that_raises_harms_nobody() -> None:
    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(errno.ENOSPC, "the log is full")

    logger = logging.getLogger("test.complaints.raises")
    logger.addHandler(Raises())
    complaints = Complaints(CarefulLogger(logger.name), lambda: 0.0)
    complaints.say("kind", "What went wrong.")
    assert complaints.last == "What went wrong."
