"""grpc.health.v1 of the agent, as load balancers ask for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from puremux import Channel, RpcError, StatusCode
from puremux.agent import Agent
from puremux.agent.services import SERVICES
from puremux.proto import health_pb2
from tests.hostile import wire

from .raw_client import LIMIT, RawClient

Response = health_pb2.HealthCheckResponse


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent("127.0.0.1:0") as running:
        yield running


@pytest.fixture
def channel(agent: Agent) -> Iterator[Channel]:
    with Channel(agent.address) as channel:
        yield channel


def request(service: str) -> bytes:
    return health_pb2.HealthCheckRequest(service=service).SerializeToString()


def check(channel: Channel, service: str) -> int:
    call = channel.unary_unary(health_pb2.HEALTH_CHECK_PATH, None, Response.FromString)
    return call(request(service), timeout=LIMIT).status  # type: ignore[no-any-return]


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_what_is_served_is_healthy(channel: Channel, service: str) -> None:
    assert check(channel, service) == Response.SERVING


def test_what_is_not_served_is_not_found(channel: Channel) -> None:
    with pytest.raises(RpcError, match="there is no service 'x.Y' here") as caught:
        check(channel, "x.Y")
    assert caught.value.code() is StatusCode.NOT_FOUND


def test_the_list_has_each(channel: Channel) -> None:
    call = channel.unary_unary(health_pb2.HEALTH_LIST_PATH, None, health_pb2.HealthListResponse.FromString)
    statuses = call(health_pb2.HealthListRequest().SerializeToString(), timeout=LIMIT).statuses
    assert {name: each.status for name, each in statuses.items()} == dict.fromkeys(["", *SERVICES], Response.SERVING)


def test_whoever_watches_is_told_of_the_end(agent: Agent, channel: Channel) -> None:
    watch = channel.unary_stream(health_pb2.HEALTH_WATCH_PATH, None, Response.FromString)
    known, unknown = watch(request(SERVICES[0]), timeout=LIMIT), watch(request("x.Y"), timeout=LIMIT)
    assert next(known).status == Response.SERVING
    assert next(unknown).status == Response.SERVICE_UNKNOWN
    ending = threading.Thread(target=agent.stop, args=(LIMIT,))
    ending.start()
    assert next(known).status == Response.NOT_SERVING
    with pytest.raises(RpcError, match="the agent is ending") as caught:
        next(known)
    assert caught.value.code() is StatusCode.UNAVAILABLE
    ending.join(LIMIT)
    assert not ending.is_alive()


@pytest.mark.parametrize(
    "body, code",
    [
        pytest.param([], "13", id="none"),
        pytest.param([request(""), request("")], "0", id="two, the first of which is answered"),
        pytest.param([b"\xff"], "3", id="one that cannot be read"),
    ],
)
def test_one_message_is_asked_for(agent: Agent, body: list[bytes], code: str) -> None:
    with RawClient(agent.address) as client:
        client.begin(1, health_pb2.HEALTH_CHECK_PATH)
        client.send(1, b"".join(map(wire.message, body)), end=True)
        assert client.status()[0] == code
