"""Health checking: the agent tells whoever asks whether it serves, and whoever watches when that changes.

Floor 5, agent: imports server, status and ``puremux.proto``.
Spec: gRPC doc/health-checking.md; grpc.health.v1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..proto import health_pb2
from ..server import Handler, Method, Responder
from ..status import StatusCode

__all__ = ["HealthService"]

Response = health_pb2.HealthCheckResponse
Status = Response.ServingStatus

ENDING = "the agent is ending"


class HealthService:
    """The health of the server as a whole, whose name is empty, and of each of its services.

    Args:
        services: their full names.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = ("", *services)
        self._status = Response.SERVING
        self._watchers: set[_Watch] = set()

    def methods(self) -> dict[str, Method]:
        """What is served, by path."""
        return {
            health_pb2.HEALTH_CHECK_PATH: lambda responder: _Check(self, responder),
            health_pb2.HEALTH_LIST_PATH: lambda responder: _List(self, responder),
            health_pb2.HEALTH_WATCH_PATH: lambda responder: _Watch(self, responder),
        }

    def drain(self) -> None:
        """Serve no more: tell those who watch, and end their calls, which would hold up the end.  Under the lock."""
        self._status = Response.NOT_SERVING
        for watcher in list(self._watchers):
            watcher.tell(self._status)
            watcher.finish(StatusCode.UNAVAILABLE, ENDING)

    def status_of(self, service: str) -> int | None:
        """A service's ServingStatus; None of one that is not here."""
        return self._status if service in self._services else None

    def listing(self) -> health_pb2.HealthListResponse:
        """The status of each."""
        return health_pb2.HealthListResponse(statuses={name: Response(status=self._status) for name in self._services})

    def joined(self, watcher: _Watch) -> None:
        """Somebody watches."""
        self._watchers.add(watcher)

    def left(self, watcher: _Watch) -> None:
        """Somebody watches no more."""
        self._watchers.discard(watcher)


class _Asked(Handler):
    """A call with one message."""

    def __init__(self, service: HealthService, responder: Responder) -> None:
        self._service = service
        self._responder = responder
        self._is_asked = False

    def message(self, payload: bytes) -> None:
        if self._is_asked:
            self.finish(StatusCode.INTERNAL, "a second message came, and one is taken")
            return
        self._is_asked = True
        try:
            asked = health_pb2.HealthCheckRequest.FromString(payload).service
        except Exception as error:  # noqa: BLE001  without its C core protobuf raises more than DecodeError
            self.finish(StatusCode.INVALID_ARGUMENT, f"the message cannot be read: {error}")
            return
        self.answer(asked)

    def answer(self, asked: str) -> None:
        """Answer for a service."""
        raise NotImplementedError

    def half_closed(self) -> None:
        if not self._is_asked:
            self.finish(StatusCode.INTERNAL, "no message came, and one is needed")

    def ended(self) -> None:
        pass

    def finish(self, code: StatusCode = StatusCode.OK, sentence: str = "") -> None:
        """End the call."""
        self.ended()
        self._responder.finish(code, sentence)

    def tell(self, status: Any) -> None:
        """Send a ServingStatus."""
        self._responder.send(Response(status=status).SerializeToString())


class _Check(_Asked):
    def answer(self, asked: str) -> None:
        status = self._service.status_of(asked)
        if status is None:
            self.finish(StatusCode.NOT_FOUND, f"there is no service {asked[:200]!r} here")
        else:
            self.tell(status)
            self.finish()


class _List(_Asked):
    def answer(self, asked: str) -> None:
        self._responder.send(self._service.listing().SerializeToString())
        self.finish()


class _Watch(_Asked):
    """A call that lasts; of a service that is not here it is told so, since that may change (health-checking.md)."""

    def answer(self, asked: str) -> None:
        status = self._service.status_of(asked)
        self.tell(Response.SERVICE_UNKNOWN if status is None else status)
        self._service.joined(self)

    def ended(self) -> None:
        self._service.left(self)
