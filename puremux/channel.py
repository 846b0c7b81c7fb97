"""A channel: an address, or several, to which calls can be made at any time.

Floor 3, I/O: imports balancer, targets, subchannel, peer, call, methods, multicallable, transport, protocol and words.
Spec: gRPC doc/connectivity-semantics-and-api.md, doc/wait-for-ready.md; the shape is grpcio's ``grpc.Channel``.
"""

from __future__ import annotations

import functools
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Callable

from ._version import __version__
from .balancer import Balancer, PickFirst, RoundRobin
from .call import Call, CallBase
from .checks import check_functions, check_kinds, check_numbers, check_whole_numbers, shown
from .copies import NoCopies
from .errors import Metadata
from .methods import channel_book
from .peer import Keepalive
from .protocol.framing import COMPRESSORS
from .protocol.metadata import encode_metadata, metadata_pairs
from .status import StatusCode
from .subchannel import Backoff, Connectivity, Subchannel
from .targets import TargetOptions
from .transport.address import parse_addresses
from .transport.driver import Driver
from .transport.tap import CarefulTap, Tap

if TYPE_CHECKING:
    import ssl

    from .multicallable import (
        Deserializer,
        Serializer,
        StreamStreamMultiCallable,
        StreamUnaryMultiCallable,
        UnaryStreamMultiCallable,
        UnaryUnaryMultiCallable,
    )

__all__ = ["Channel"]

MAX_RECEIVE = 4 * 1024 * 1024  # bytes; grpcio's and grpc-go's default
POLICIES = ("pick_first", "round_robin")
GRPCIO_COMPRESSION = {0: "identity", 1: "deflate", 2: "gzip"}  # the numbers of grpc.Compression


class _Settings:
    """What the caller asked for; raises TypeError or ValueError for what cannot be done."""

    def __init__(self, metadata: Metadata, compression: str | None, policy: str) -> None:
        encode_metadata(metadata)
        if compression not in (None, "identity", *COMPRESSORS):
            raise ValueError(f"compression {shown(compression)} is not one of {', '.join(COMPRESSORS)}")
        if policy not in POLICIES:
            raise ValueError(f"policy {shown(policy)} is not one of {', '.join(POLICIES)}")
        self.metadata = metadata
        self.compression = compression
        self.policy = policy


class Channel(NoCopies):
    """Makes calls to a gRPC server, over as few connections as it can.

    Nothing is connected until the first call needs it.  May be used from many threads, and in a forked child, which
    makes connections of its own.

    Args:
        target: an address, such as ``"localhost:55678"``, ``"dns:///agent.example:443"``, ``"unix:/run/agent.sock"``,
            or a list of them.  The default port is 443.
        tls: own certificates and trust, as an ``ssl.SSLContext``; ALPN is set on it.
        insecure: True for plaintext, False for TLS, None for plaintext to this machine only (loopback addresses and
            unix sockets) and TLS everywhere else.
        compression: what messages are compressed with unless a call says otherwise: ``gzip``, ``deflate``, a
            ``grpc.Compression``, or None.
        max_receive_message_length: bytes; a larger message ends its call as RESOURCE_EXHAUSTED; None for no limit.
        max_send_message_length: the same for what is sent.
        authority: the virtual host to ask for, and to find in the certificate, instead of the address's.
        user_agent: put before puremux's own.
        metadata: sent with each call.
        keepalive: PINGs for connections that look idle; None sends none.
        proxy: ``http://host:port`` of an HTTP CONNECT proxy; None to go by the environment, whose proxies are for
            addresses of other machines; ``""`` for none.
        policy: ``pick_first`` uses the first target that connects, ``round_robin`` all of them in turn.
        backoff: how long to wait between failed attempts.
        connect_timeout: seconds that one attempt may take, up to the server's SETTINGS.
        idle_timeout: seconds without a call after which the connection is closed; None for never.
        tap: called with a :class:`BytesPassed` for each piece of bytes sent or received.  It must be quick; if it
            raises, that is logged, and it is told no more.  ``puremux.wire.Recorder`` is one that writes to a file.
        driver: shares another channel's thread; by default a channel has its own.
    Raises:
        AddressError: the target cannot be read.
        ValueError, TypeError: an option does not fit.
    Source: gRPC doc/naming.md (targets), doc/keepalive.md, doc/connection-backoff.md, doc/compression.md.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        insecure: bool | None = None,
        compression: str | int | None = None,
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
        check_numbers("seconds", connect_timeout=connect_timeout)
        check_numbers("seconds", or_none=True, idle_timeout=idle_timeout)
        check_kinds(Keepalive, keepalive=keepalive)
        check_kinds(Backoff, backoff=backoff)
        check_whole_numbers(0, or_none=True, max_send_message_length=max_send_message_length)
        check_kinds(str, user_agent=user_agent)
        check_functions(tap=tap)
        agent = f"{user_agent} puremux/{__version__}" if user_agent else f"puremux/{__version__}"
        self._settings = _Settings(metadata_pairs(metadata), _compression(compression), policy)
        addresses = parse_addresses(target, default_port)
        self.max_send_message_length = max_send_message_length
        self.driver = driver or Driver()
        options = TargetOptions(tls, insecure, authority, agent, max_receive_message_length, proxy, self.driver.clock)
        targets = [options.target(each) for each in addresses]
        make = functools.partial(
            Subchannel,
            self.driver,
            backoff=backoff or Backoff(),
            room=_weakly(self._there_may_be_room),
            connect_timeout=connect_timeout,
            keepalive=keepalive,
            idle_timeout=idle_timeout,
            tap=None if tap is None else CarefulTap(tap),
        )
        # Weakly: a channel that nobody holds any more is to go, and its connections and its thread with it.
        changed = _weakly(self._pump_soon)
        self._balancer: Balancer = (
            PickFirst(self.driver, targets, make, changed)
            if policy == "pick_first"
            else RoundRobin(self.driver, targets, make, changed, backoff or Backoff())
        )
        self.name = ", ".join(each.peer.name for each in targets)
        """The target, as sentences name it."""
        self.methods = channel_book(self.name)
        """What became of its calls, by method."""
        self._waiting: OrderedDict[CallBase, None] = OrderedDict()
        self._pumping = False
        self._state = Connectivity.IDLE
        self._subscribers: list[Callable[[Connectivity], None]] = []
        self._listeners: list[Callable[[Connectivity], None]] = []
        self._closed = False
        self._owns_driver = driver is None
        self.driver.on_fork(self._after_fork)
        self._letting_go = weakref.finalize(self, _let_go, self._balancer, self.driver, self._owns_driver)
        self._letting_go.atexit = False

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
        compression: str | int | None = None,
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
        Source: gRPC PROTOCOL-HTTP2.md, "Requests"; doc/wait-for-ready.md.
        """
        call = Call(
            self,
            path,
            metadata=(*self._settings.metadata, *metadata_pairs(metadata)),
            timeout=timeout,
            wait_for_ready=wait_for_ready,
            compression=self._settings.compression if compression is None else _compression(compression),
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
        """A method that takes one message and answers with one (grpc.Channel.unary_unary).

        Args:
            method: ``/package.Service/Method``.
            request_serializer: makes bytes of a message; None for messages that are bytes.
            response_deserializer: the reverse.
        Source: grpcio's ``grpc.Channel``; gRPC PROTOCOL-HTTP2.md, "Requests", Path.
        """
        from .multicallable import UnaryUnaryMultiCallable

        return UnaryUnaryMultiCallable(self, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool = False,
    ) -> UnaryStreamMultiCallable:
        """A method that takes one message and answers with many (grpc.Channel.unary_stream).

        Args and source: as :meth:`unary_unary`.
        """
        from .multicallable import UnaryStreamMultiCallable

        return UnaryStreamMultiCallable(self, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool = False,
    ) -> StreamUnaryMultiCallable:
        """A method that takes many messages and answers with one (grpc.Channel.stream_unary).

        Args and source: as :meth:`unary_unary`.
        """
        from .multicallable import StreamUnaryMultiCallable

        return StreamUnaryMultiCallable(self, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool = False,
    ) -> StreamStreamMultiCallable:
        """A method that takes many messages and answers with many (grpc.Channel.stream_stream).

        Args and source: as :meth:`unary_unary`.
        """
        from .multicallable import StreamStreamMultiCallable

        return StreamStreamMultiCallable(self, method, request_serializer, response_deserializer)

    # Connectivity

    @property
    def metadata(self) -> Metadata:
        """What is sent with each call (PROTOCOL-HTTP2.md, Custom-Metadata)."""
        return self._settings.metadata

    @property
    def connections(self) -> int:
        """How many connections have become ready so far (gRPC doc/connectivity-semantics-and-api.md, READY)."""
        return self._balancer.connections

    @property
    def last_error(self) -> str | None:
        """Why there was no connection the last time there was none; one sentence (gRPC: TRANSIENT_FAILURE)."""
        return next((each.message for each in self._balancer.errors), None)

    @property
    def state(self) -> Connectivity:
        """How the channel is connected now (gRPC doc/connectivity-semantics-and-api.md)."""
        return self._state

    def watch_state(self, listener: Callable[[Connectivity], None]) -> None:
        """Call ``listener(state)`` under the driver's lock whenever the state changes: for what builds on a channel."""
        self._listeners.append(listener)

    def subscribe(self, callback: Callable[[Connectivity], None], try_to_connect: bool = False) -> None:
        """Call ``callback(state)`` on the driver's thread: now, and whenever the state changes.

        Args:
            try_to_connect: connect although no call needs it yet.
        Source: grpcio's ``grpc.Channel.subscribe``.
        """
        with self.driver.lock:
            self._subscribers.append(callback)
            state = self._state
            if try_to_connect:
                self._balancer.connect()
        self.driver.call_unlocked(lambda: callback(state))

    def unsubscribe(self, callback: Callable[[Connectivity], None]) -> None:
        """Stop calling ``callback`` (grpc.Channel.unsubscribe)."""
        with self.driver.lock:
            self._subscribers = [each for each in self._subscribers if each != callback]

    def close(self) -> None:
        """End running calls as CANCELLED, close every connection (RFC 9113 §6.8).  A second time does nothing."""
        with self.driver.lock:
            if self._closed:
                return
            self._closed = True
            self._letting_go.detach()
            for call in [*self._waiting, *self._balancer.running]:
                call.end(StatusCode.CANCELLED, "the channel was closed")
            self._balancer.close()
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
        session = None if self._waiting else self._balancer.pick()
        if session is None:
            self._waiting[call] = None
            self._pump()
        else:
            call.begin(session)
            session.flush()

    def forget_call(self, call: CallBase) -> None:
        """Do not wait for a connection for this call any more."""
        self._waiting.pop(call, None)

    def explain_waiting(self) -> str:
        """Why calls still wait."""
        if self._state is Connectivity.READY:
            return "the server takes no more calls at once (MAX_CONCURRENT_STREAMS)"
        errors = self._balancer.errors
        return errors[-1].message if errors else f"{self.name} was still being connected to"

    # Inside, under the driver's lock

    def _there_may_be_room(self) -> None:
        if self._waiting:
            self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self.driver.call_soon(self._pump)

    def _pump(self) -> None:
        """Give waiting calls connections, in order; fail those that do not want to wait; connect if any is left."""
        self._pumping = False
        self._set_state(Connectivity.SHUTDOWN if self._closed else self._balancer.state)
        while self._waiting:
            session = self._balancer.pick()
            if session is None:
                break
            self._waiting.popitem(last=False)[0].begin(session)
            session.flush()
        if self._waiting and self._state is Connectivity.TRANSIENT_FAILURE:
            why = self.explain_waiting()
            for call in [each for each in self._waiting if not each.wait_for_ready]:
                call.end(StatusCode.UNAVAILABLE, why)
        if self._waiting:
            self._balancer.connect()

    def _set_state(self, state: Connectivity) -> None:
        if state is not self._state:
            self._state = state
            for listener in self._listeners:
                listener(state)
            for callback in self._subscribers:
                self.driver.call_unlocked(lambda callback=callback: callback(state))  # type: ignore[misc]  # mypy cannot infer the default

    def _after_fork(self) -> None:
        for call in list(self._waiting):
            call.end(StatusCode.UNAVAILABLE, "the process forked; calls of the parent do not go on in the child")
        self._balancer.after_fork()
        self._pumping = False
        if not self._closed:
            self._state = self._balancer.state


def _compression(named: str | int | None) -> str | None:
    """A compression by our word for it, or by grpcio's number."""
    return GRPCIO_COMPRESSION.get(named, shown(named)) if isinstance(named, int) else named


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """A bound method that does nothing once its object is gone."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        found = reference()
        if found is not None:
            found()

    return call


def _let_go(balancer: Balancer, driver: Driver, owns_driver: bool) -> None:
    """Close what a channel leaves behind.  Takes no lock: the garbage collector may come at any time."""
    if driver.is_running:
        driver.call_soon(balancer.close)
        if owns_driver:
            driver.call_soon(driver.close)
