"""What several tests without sockets share: a log whose handler fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


class Refuses(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("no room for a line")


@pytest.fixture
def refusing() -> Iterator[None]:
    handler = Refuses()
    logging.getLogger("puremux").addHandler(handler)
    yield
    logging.getLogger("puremux").removeHandler(handler)
