"""The Config stream: tells the agent how the program samples, and does what the agent asks for.

Floor 4, exporter: imports call, channel, events and fields; and ``puremux.proto`` once an agent asks for something.
Spec: opencensus-proto's TraceService.Config.  The real agents end it at once, with status 2 or 12; then it is left
alone until there is a new connection.
"""

from __future__ import annotations

from typing import Callable, Protocol

from ..call import CallBase
from ..channel import Channel
from ..proto.paths import TRACE_SERVICE_CONFIG_PATH
from ..protocol.events import CallEnded
from ..status import StatusCode
from .fields import LENGTH, delimited, tag

__all__ = ["ConfigService", "Configurable"]

NODE, CONFIG = tag(1, LENGTH), tag(2, LENGTH)
"""The two fields of CurrentLibraryConfig."""

REOPEN = 1.0  # seconds from the end of a connection to the next stream


class Configurable(Protocol):
    """What follows the agent's configuration."""

    def apply(self, config: bytes) -> None:
        """Take a serialized TraceConfig; raise ValueError for one that cannot be read."""

    def current(self) -> bytes:
        """The serialized TraceConfig that is in force."""

    def forked(self) -> None:
        """This is a forked child: locks are as the parent's threads left them."""


class _ConfigStream(CallBase):
    def __init__(self, service: ConfigService, channel: Channel) -> None:
        super().__init__(
            channel,
            TRACE_SERVICE_CONFIG_PATH,
            metadata=channel.metadata,
            wait_for_ready=True,
            may_retry=False,
        )
        self._service = service
        self._owes_answer = False

    def opened(self) -> None:
        self.send_message(self._service.announcement())

    def message_received(self, payload: bytes) -> None:
        self._service.update(payload)
        self._owes_answer = True
        self._answer()
        self.message_taken()

    def drained(self) -> None:
        self._answer()

    def _answer(self) -> None:
        """Tell what is in force; once for all that the agent has asked for while it did not read."""
        if self._owes_answer and not self.pending and not self.is_half_closed:
            self._owes_answer = False
            self.send_message(self._service.answer())

    def connection_leaves(self) -> None:
        self.half_close()  # so that nothing of ours holds the connection up

    def call_ended(self, ended: CallEnded) -> None:
        self._service.stream_ended(self)


class ConfigService:
    """Keeps a Config stream open on each connection whose agent offers one.  Runs under the driver's lock."""

    def __init__(
        self,
        channel: Channel,
        node: Callable[[], bytes],
        following: Configurable,
        complain: Callable[[str, str], None],
    ) -> None:
        self._channel = channel
        self._node = node
        self._following = following
        self._complain = complain
        self._stream: _ConfigStream | None = None
        self._asked_on: int | None = None  # the connection, by its number, whose agent ended the stream
        self._not_before = 0.0  # the driver's time at which a stream may be opened again
        self._closed = False

    def open(self) -> None:
        """Open the stream, unless it is open or this connection's agent has ended it."""
        is_due = self._asked_on != self._channel.connections and self._channel.driver.clock() >= self._not_before
        if self._stream is None and not self._closed and is_due:
            self._stream = _ConfigStream(self, self._channel)
            self._stream.start()

    def close(self) -> None:
        """Half-close the stream, and open no other."""
        self._closed = True
        if self._stream is not None:
            self._stream.half_close()

    def make_room(self) -> None:
        """Give the stream up on this connection, whose agent allows too few of them for an Export stream beside it."""
        if self._stream is not None and self._stream.session is not None:
            self._stream.end(StatusCode.CANCELLED, "the agent allows too few streams")

    def abandon(self) -> None:
        """Begin anew in a forked child."""
        self._stream, self._asked_on, self._not_before = None, None, 0.0
        self._following.forked()

    def announcement(self) -> bytes:
        """The stream's first message."""
        return delimited(NODE, self._node()) + self.answer()

    def update(self, payload: bytes) -> None:
        """Do what the agent's message asks for."""
        try:
            from ..proto import trace_service_pb2  # here, since few agents ask for anything, and protobuf is large

            update = trace_service_pb2.UpdatedLibraryConfig.FromString(payload)
            self._following.apply(update.config.SerializeToString())
        except Exception as error:  # noqa: BLE001  protobuf has a DecodeError in each implementation; the old settings stay
            self._complain("the agent's configuration", f"The agent sent a configuration that cannot be used: {error}")

    def answer(self) -> bytes:
        """The message that tells what is in force now."""
        return delimited(CONFIG, self._following.current())

    def stream_ended(self, stream: _ConfigStream) -> None:
        """Ask again soon if only the connection broke, else on the next connection."""
        if stream is not self._stream:  # the parent's, in a forked child
            return
        self._stream = None
        if stream.left_with_connection:
            self._asked_on = None
            self._not_before = self._channel.driver.clock() + REOPEN  # however often agents come and go
            self._channel.driver.call_later(REOPEN, self.open)
        else:
            self._asked_on = self._channel.connections
