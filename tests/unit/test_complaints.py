"""Log lines: each kind once a minute, and the silence between is counted."""

from __future__ import annotations

import logging

import pytest

from puremux.exporter.complaints import PERIOD, Complaints


def test_a_kind_is_said_once_a_period(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    complaints = Complaints(logging.getLogger("test.complaints"), lambda: now)
    for _ in range(5):
        complaints.say("no connection", "refused")
    complaints.say("other", "something else")
    assert [record.getMessage() for record in caplog.records] == ["puremux: refused", "puremux: something else"]
    now += PERIOD
    complaints.say("no connection", "refused again")
    assert caplog.records[-1].getMessage() == "puremux: refused again (4 more like this since the last line)"
    assert complaints.last == "refused again"
