"""The Config streams of the agent's clients, without a socket: what is kept of them stays within bounds."""

from __future__ import annotations

from typing import Any

import pytest

from puremux.agent import services
from puremux.agent.services import ConfigService
from puremux.proto.trace_service_pb2 import CurrentLibraryConfig
from puremux.status import StatusCode
from tests.shared.agent_messages import node


class Call:
    """What a client of a Config call sees of it."""

    pending = 0

    def __init__(self, service: ConfigService) -> None:
        self.sent: list[bytes] = []
        self.ended: tuple[StatusCode, str] | None = None
        self.handler = service.serve(self)  # type: ignore[arg-type]  # the methods that it calls are here

    def say(self, name: str) -> CurrentLibraryConfig:
        """Introduce a client."""
        current = CurrentLibraryConfig(node=node(name))
        self.handler.message(current.SerializeToString())
        return current

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    def finish(self, code: StatusCode, details: str = "", metadata: Any = ()) -> None:
        self.ended = code, details
        self.handler.ended()


def test_what_clients_say_of_themselves_is_held_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    size = CurrentLibraryConfig(node=node("x" * 100)).ByteSize()
    monkeypatch.setattr(services, "MOST_SAID", 3 * size)
    service = ConfigService(1_000)
    calls = [Call(service) for _ in range(4)]
    for call in calls:
        call.say("x" * 100)
    assert [call.ended is None for call in calls] == [True, True, True, False]
    assert calls[3].ended is not None
    assert calls[3].ended[0] is StatusCode.RESOURCE_EXHAUSTED
    calls[0].handler.ended()
    calls[0].handler.ended()  # its room is given back once
    calls[1].say("x" * 100)  # what it says anew takes the place of what it said
    later = [Call(service) for _ in range(2)]
    for call in later:
        call.say("x" * 100)
    assert [call.ended is None for call in later] == [True, False]
    assert len(service.in_force) == 3
