"""A channel: an address, or several, to which calls can be made at any time.

Floor 3, I/O: imports subchannel, call, multicallable, transport and errors.
Spec: gRPC doc/connectivity-semantics-and-api.md, doc/wait-for-ready.md, doc/load-balancing.md; the shape is grpcio's
``grpc.Channel``.
"""

from __future__ import annotations

import os
import ssl
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Callable, Sequence

from ._version import __version__
from .call import Call, CallBase
from .errors import Metadata
from .multicallable import (
    Deserializer,
    Serializer,
    StreamStreamMultiCallable,
    StreamUnaryMultiCallable,
    UnaryStreamMultiCallable,
    UnaryUnaryMultiCallable,
)
from .protocol.framing import COMPRESSORS
from .protocol.metadata import encode_metadata
from .status import StatusCode
from .subchannel import Backoff, Connectivity, Keepalive, Peer, Session, Subchannel
from .transport.address import Address, parse_address
from .transport.dial import dial
from .transport.driver import Driver
from .transport.link import Tap
from .transport.proxy import proxy_for
from .transport.tls import client_context

__all__ = ["Channel"]

MAX_RECEIVE = 4 * 1024 * 1024  # bytes; grpcio's and grpc-go's default
POLICIES = ("pick_first", "round_robin")


@dataclass(frozen=True)
class _Settings:
    """What the caller asked for, checked when made."""

    metadata: Metadata
    compression: str | None
    policy: str
    connect_timeout: float
    idle_timeout: float | None

    def __post_init__(self) -> None:
        encode_metadata(self.metadata)
        if self.compression not in (None, "identity", *COMPRESSORS):
            raise ValueError(f"compression {self.compression!r} is not one of {', '.join(COMPRESSORS)}")
        if self.policy not in POLICIES:
            raise ValueError(f"policy {self.policy!r} is not one of {', '.join(POLICIES)}")
        if self.connect_timeout <= 0:
            raise ValueError(f"connect_timeout takes seconds above zero, not {self.connect_timeout!r}")


class Channel:
    """Makes calls to a gRPC server, over as few connections as it can.

    Nothing is connected until the first call needs it.  May be used from many threads, and in a forked child, which
    makes connections of its own.

    Args:
        target: an address, such as ``"localhost:55678"``, ``"dns:///agent.example:443"``, ``"unix:/run/agent.sock"``,
            or a list of them.  The default port is 443.
        tls: own certificates and trust, as an ``ssl.SSLContext``; ALPN is set on it.
        insecure: True for plaintext, False for TLS, None for plaintext to this machine only (loopback addresses and
            unix sockets) and TLS everywhere else.
        compression: what messages are compressed with unless a call says otherwise: ``gzip``, ``deflate`` or None.
        max_receive_message_length: bytes; a larger message ends its call as RESOURCE_EXHAUSTED; None for no limit.
        max_send_message_length: the same for what is sent.
        authority: the virtual host to ask for, and to find in the certificate, instead of the address's.
        user_agent: put before puremux's own.
        metadata: sent with each call.
        keepalive: PINGs for connections that look idle; None sends none.
        proxy: ``http://host:port`` of an HTTP CONNECT proxy; None to go by the environment, ``""`` for none.
        policy: ``pick_first`` uses the first target that connects, ``round_robin`` all of them in turn.
        backoff: how long to wait between failed attempts.
        connect_timeout: seconds that one attempt may take, up to the server's SETTINGS.
        idle_timeout: seconds without a call after which the connection is closed; None for never.
        tap: told all bytes sent and received, as ``tap("sent" or "received", data)``.
        driver: shares another channel's thread; by default a channel has its own.
    Raises:
        AddressError: the target cannot be read.
        ValueError, TypeError: an option does not fit.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        insecure: bool | None = None,
        compression: str | None = None,
        max_receive_message_length: int | None = MAX_RECEIVE,
        max_send_message_length: int | None = None,
        authority: str | None = None,
        user_agent: str | None = None,
        metadata: Metadata = (),
        keepalive: Keepalive | None = None,
        proxy: str | None = None,
        policy: str = "pick_first",
        backoff: Backoff | None = None,
        connect_timeout: float = 20.0,
        idle_timeout: float | None = 1800.0,
        tap: Tap | None = None,
        driver: Driver | None = None,
        default_port: int = 443,
    ) -> None:
        self._settings = _Settings(tuple(metadata), compression, policy, connect_timeout, idle_timeout)
        targets = [target] if isinstance(target, str) else list(target)
        addresses = [parse_address(each, default_port) for each in targets]
        self.max_send_message_length = max_send_message_length
        self.driver = driver or Driver()
        self._owns_driver = driver is None
        agent = f"{user_agent} " if user_agent else ""
        self._subchannels = [
            Subchannel(
                self.driver,
                _peer(address, tls, insecure, authority, f"{agent}puremux/{__version__}", max_receive_message_length, proxy),
                self._pump_soon,
                backoff=backoff or Backoff(),
                connect_timeout=connect_timeout,
                keepalive=keepalive,
                idle_timeout=idle_timeout,
                tap=tap,
            )
            for address in addresses
        ]
        self._turn = 0
        self._waiting: deque[CallBase] = deque()
        self._pumping = False
        self._state = Connectivity.IDLE
        self._subscribers: list[Callable[[Connectivity], None]] = []
        self._listeners: list[Callable[[Connectivity], None]] = []
        self._closed = False
        self.driver.on_fork(self._after_fork)

    # Calls

    def open(
        self,
        path: str,
        *,
        request: bytes | None = None,
        one_response: bool = False,
        metadata: Metadata = (),
        timeout: float | None = None,
        wait_for_ready: bool = False,
        compression: str | None = None,
    ) -> Call:
        """Open a call of any shape, to send and receive bytes on.

        Args:
            path: ``/package.Service/Method``.
            request: the one message of the call, if the method takes one; it leaves together with the headers, and the
                call is half-closed behind it.
            one_response: the method answers with one message; any other number ends the call as UNIMPLEMENTED.
            metadata: pairs of lower-case key and value; ``bytes`` for keys that end in ``-bin``.
            timeout: seconds until the call ends as DEADLINE_EXCEEDED; None for no deadline.
            wait_for_ready: wait through failed connections instead of ending as UNAVAILABLE.
            compression: overrides the channel's.
        Raises:
            ValueError, TypeError: an argument cannot be sent; what the server does ends the call instead.
        """
        call = Call(
            self,
            path,
            metadata=(*self._settings.metadata, *metadata),
            timeout=timeout,
            wait_for_ready=wait_for_ready,
            compression=compression or self._settings.compression,
            one_response=one_response,
        )
        with self.driver.lock:
            if request is not None:
                call.send_message(request, end=True)
            call.start()
        return call

    def unary_unary(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool = False,
    ) -> UnaryUnaryMultiCallable:
        """A method that takes one message and answers with one (grpc.Channel.unary_unary)."""
        return UnaryUnaryMultiCallable(self, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool = False,
    ) -> UnaryStreamMultiCallable:
        """A method that takes one message and answers with many (grpc.Channel.unary_stream)."""
        return UnaryStreamMultiCallable(self, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool = False,
    ) -> StreamUnaryMultiCallable:
        """A method that takes many messages and answers with one (grpc.Channel.stream_unary)."""
        return StreamUnaryMultiCallable(self, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool = False,
    ) -> StreamStreamMultiCallable:
        """A method that takes many messages and answers with many (grpc.Channel.stream_stream)."""
        return StreamStreamMultiCallable(self, method, request_serializer, response_deserializer)

    # Connectivity

    @property
    def name(self) -> str:
        """The target, as sentences name it."""
        return ", ".join(each.peer.name for each in self._subchannels)

    @property
    def metadata(self) -> Metadata:
        """What is sent with each call."""
        return self._settings.metadata

    @property
    def connections(self) -> int:
        """How many connections have become ready so far."""
        return sum(each.connections for each in self._subchannels)

    @property
    def last_error(self) -> str | None:
        """Why there was no connection the last time there was none; one sentence."""
        return next((each.error.message for each in self._subchannels if each.error is not None), None)

    @property
    def state(self) -> Connectivity:
        """How the channel is connected now."""
        return self._state

    def watch_state(self, listener: Callable[[Connectivity], None]) -> None:
        """Call ``listener(state)`` under the driver's lock whenever the state changes: for what is built on a channel."""
        self._listeners.append(listener)

    def subscribe(self, callback: Callable[[Connectivity], None], try_to_connect: bool = False) -> None:
        """Call ``callback(state)`` on the driver's thread: now, and whenever the state changes.

        Args:
            try_to_connect: connect although no call needs it yet.
        """
        with self.driver.lock:
            self._subscribers.append(callback)
            state = self._state
            if try_to_connect:
                self._connect()
        self.driver.call_unlocked(lambda: callback(state))

    def unsubscribe(self, callback: Callable[[Connectivity], None]) -> None:
        """Stop calling ``callback``."""
        with self.driver.lock:
            self._subscribers = [each for each in self._subscribers if each != callback]

    def close(self) -> None:
        """End the calls that run as CANCELLED, and close every connection.  A second time does nothing."""
        with self.driver.lock:
            if self._closed:
                return
            self._closed = True
            for call in [*self._waiting, *self._running()]:
                call.end(StatusCode.CANCELLED, "the channel was closed")
            for subchannel in self._subchannels:
                subchannel.close()
            self._set_state(Connectivity.SHUTDOWN)
        if self._owns_driver:
            self.driver.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # What calls need of their channel, under the driver's lock

    def start_call(self, call: CallBase) -> None:
        """Run the call now if there is a connection with room, else as soon as there is one."""
        if self._closed:
            call.end(StatusCode.CANCELLED, "the channel was closed")
            return
        session = None if self._waiting else self._pick()
        if session is None:
            self._waiting.append(call)
            self._pump()
        else:
            call.begin(session)
            session.flush()

    def forget_call(self, call: CallBase) -> None:
        """Do not wait for a connection for this call any more."""
        if call in self._waiting:
            self._waiting.remove(call)

    def explain_waiting(self) -> str:
        """Why calls still wait."""
        errors = [each.error.message for each in self._subchannels if each.error is not None]
        if self._state is Connectivity.READY:
            return "the server takes no more calls at once (MAX_CONCURRENT_STREAMS)"
        return errors[-1] if errors else f"{self._subchannels[0].peer.name} was still being connected to"

    # Inside, under the driver's lock

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self.driver.call_soon(self._pump)

    def _pump(self) -> None:
        """Give waiting calls connections, in order; fail those that do not want to wait; connect if any is left."""
        self._pumping = False
        self._set_state(self._overall_state())
        while self._waiting:
            session = self._pick()
            if session is None:
                break
            self._waiting.popleft().begin(session)
            session.flush()
        if self._waiting and self._state is Connectivity.TRANSIENT_FAILURE:
            why = self.explain_waiting()
            for call in [each for each in self._waiting if not each.wait_for_ready]:
                call.end(StatusCode.UNAVAILABLE, why)
        if self._waiting:
            self._connect()

    def _pick(self) -> Session | None:
        ready = [
            each.session
            for each in self._subchannels
            if each.session is not None and each.state is Connectivity.READY and each.session.connection.can_open
        ]
        if not ready:
            return None
        if self._settings.policy == "pick_first":
            return ready[0]
        self._turn += 1
        return ready[self._turn % len(ready)]

    def _connect(self) -> None:
        states = [each.state for each in self._subchannels]
        if self._settings.policy == "round_robin":
            for subchannel in self._subchannels:
                subchannel.connect()
        elif Connectivity.READY not in states and Connectivity.CONNECTING not in states:
            for subchannel in self._subchannels:
                if subchannel.state is Connectivity.IDLE:
                    subchannel.connect()
                    return

    def _overall_state(self) -> Connectivity:
        states = {each.state for each in self._subchannels}
        if self._closed:
            return Connectivity.SHUTDOWN
        for state in (Connectivity.READY, Connectivity.CONNECTING, Connectivity.IDLE):
            if state in states:
                return state
        return Connectivity.TRANSIENT_FAILURE

    def _set_state(self, state: Connectivity) -> None:
        if state is not self._state:
            self._state = state
            for listener in self._listeners:
                listener(state)
            for callback in self._subscribers:
                self.driver.call_unlocked(lambda callback=callback: callback(state))  # type: ignore[misc]  # mypy cannot infer the default

    def _running(self) -> list[CallBase]:
        sessions = [each.session for each in self._subchannels if each.session is not None]
        return [call for session in sessions for call in session.calls.values()]

    def _after_fork(self) -> None:
        for call in list(self._waiting):
            call.end(StatusCode.UNAVAILABLE, "the process forked; calls of the parent do not go on in the child")
        for subchannel in self._subchannels:
            subchannel.after_fork()
        self._pumping = False
        self._state = self._overall_state()


def _peer(
    address: Address,
    tls: ssl.SSLContext | None,
    insecure: bool | None,
    authority: str | None,
    user_agent: str,
    max_receive_message_length: int | None,
    proxy: str | None,
) -> Peer:
    plaintext = insecure if insecure is not None else tls is None and address.is_local
    if plaintext and tls is not None:
        raise ValueError("insecure=True means plaintext, which leaves no use for tls=")
    context = None if plaintext else client_context(tls)
    server_name = parse_address(authority).host if authority else None
    route = proxy_for(address, os.environ, proxy)
    return Peer(
        name=str(address),
        dial=lambda until: dial(address, tls=context, proxy=route, until=until, server_name=server_name),
        authority=authority or address.authority,
        scheme="http" if plaintext else "https",
        user_agent=user_agent,
        max_receive_message_length=max_receive_message_length,
    )
