"""The checklist: one look after the other, each with a bound, until there is nothing left to look at.

Floor 5, probe: imports the rest of ``probe``, transport and errors.
"""

from __future__ import annotations

import socket
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import AddressError, TransportError
from ..transport.address import Address, parse_address
from .conversation import Conversation
from .findings import Finding, failed, found, left_out, printable
from .reach import Way, find_way, milliseconds
from .recognise import Other, recognise
from .secure import Tls, own_context, secure
from .sentences import advise
from .services import judge, services, verdict

__all__ = ["Options", "probe"]

DEFAULT_PORT = 55678
SAMPLES = 5  # of the round trip
AT_ONCE = 0.1  # seconds
LONGEST = 3600.0  # seconds of --timeout
SHOWN = ("max_concurrent_streams", "initial_window_size", "max_frame_size", "header_table_size", "max_header_list_size")


@dataclass(frozen=True)
class Options:
    """How to look.

    Raises:
        ValueError: options that exclude each other, or a file that cannot be used.
    """

    timeout: float = 5.0
    """Seconds for each look; the whole takes a few of them at the very most."""

    insecure: bool | None = None
    """True for plaintext, False for TLS, None for plaintext to this machine only."""

    ca: str | None = None
    """PEM file of the issuers to trust instead of the system's."""

    cert: str | None = None
    """PEM file of the client's certificate."""

    key: str | None = None
    """PEM file of its key; None when it is in ``cert``."""

    authority: str | None = None
    """The name to ask for and to find in the certificate, instead of the address's."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= LONGEST:
            raise ValueError(f"the timeout takes seconds above zero and up to {LONGEST:g}, not {self.timeout!r}")
        if self.key is not None and self.cert is None:
            raise ValueError("a key alone is of no use: give the certificate too")
        if self.insecure and (self.ca or self.cert):
            raise ValueError("plaintext leaves no use for certificates: leave out one or the other")
        if self.authority is not None:
            parse_address(self.authority)
            if not self.authority.isascii():
                raise ValueError(f"the authority {self.authority} is not ASCII: write it as the DNS does (xn--…)")
        own_context(self.ca, self.cert, self.key)

    def plaintext_to(self, address: Address) -> bool:
        """Whether a program with these options speaks plaintext to an address, as ``puremux.Channel`` decides it."""
        if self.insecure is not None:
            return self.insecure
        return address.is_local and not (self.ca or self.cert)

    def tls_to(self, address: Address) -> Tls:
        """How to shake hands with an address."""
        name = parse_address(self.authority).host if self.authority else address.host
        return Tls(own_context(self.ca, self.cert, self.key), name, (self.cert, self.key))


def probe(text: str, options: Options = Options()) -> Iterator[Finding]:
    """Look at what is at an address.

    Args:
        text: an address as :class:`puremux.Exporter` takes it; the port is 55678 if it names none.
        options: how to look.
    Yields:
        Findings, as they are made.  It never raises for what is at the address.
    """
    findings = []
    for finding in _findings(text, options):
        yield finding
        findings.append(finding)
    yield from verdict(findings)


def _findings(text: str, options: Options) -> Iterator[Finding]:
    try:
        address = parse_address(text, DEFAULT_PORT)
    except AddressError as error:
        yield failed("address", *advise(str(error)))
        return
    plaintext = options.plaintext_to(address)
    spoken = "plaintext" if plaintext else "TLS"
    yield found(
        "address", f"{printable(str(address))}, to be spoken to in {spoken}", address=str(address), speaks=spoken
    )
    way = None
    for step in find_way(address, options.timeout):
        if isinstance(step, Way):
            way = step
        else:
            yield step
    if way is not None:
        yield from _Look(way, options, plaintext).findings()


class _Look:
    """What can be said once there is a way."""

    def __init__(self, way: Way, options: Options, plaintext: bool) -> None:
        self._way, self._options, self._plaintext = way, options, plaintext
        self._name = str(way.address)
        self._authority = options.authority or way.address.authority
        self._tls = options.tls_to(way.address)

    def findings(self) -> Iterator[Finding]:
        sock: socket.socket | None = None
        for step in self._connect():
            if isinstance(step, Finding):
                yield step
            else:
                sock = step
        if sock is None:
            if not self._plaintext:
                yield from self._without_tls()
            return
        with self._converse(sock) as conversation:
            if not conversation.wait_for_settings(self._options.timeout):
                yield self._no_http2(conversation)
                return
            if not self._plaintext:  # TLS 1.3 does not tell before (RFC 8446 §4.4.2.4)
                yield self._client_certificate()
            yield _settings_finding(conversation)
            yield from self._ask(conversation)

    def _connect(self) -> Iterator[Finding | socket.socket]:
        if not self._plaintext:
            yield from secure(self._way, self._tls, self._options.timeout)
            return
        try:
            yield self._way.connect(self._options.timeout)
        except TransportError as error:  # it was open a moment ago
            yield failed("HTTP/2", *advise(error.message))

    def _converse(self, sock: socket.socket) -> Conversation:
        return Conversation(sock, self._name, self._authority)

    def _client_certificate(self) -> Finding:
        """We cannot see if the server asked, only if it went on."""
        if self._options.cert is None:
            return left_out("client certificate", "the server does without")
        return found("client certificate", "the server does not refuse ours")

    # It is not what it was taken for

    def _without_tls(self) -> Iterator[Finding]:
        """TLS failed: what is it then?"""
        try:
            sock = self._way.connect(self._options.timeout)
        except TransportError:
            return
        with self._converse(sock) as conversation:
            if conversation.wait_for_settings(self._options.timeout):
                yield left_out("HTTP/2", "the port speaks HTTP/2 in plaintext, without TLS", speaks="HTTP/2")
                return
            other = recognise(conversation.first_bytes)
        if other is not None and other.name != "TLS":
            yield left_out("HTTP/2", f"the port speaks {_quote(other)}", speaks=other.name)

    def _no_http2(self, conversation: Conversation) -> Finding:
        other = recognise(conversation.first_bytes)
        ended = conversation.ended.reason if conversation.ended else ""
        if "client certificate" in ended:  # TLS 1.3 tells only now (RFC 8446 §4.4.2.4)
            return failed("client certificate", *advise(ended))
        may_be_tls = other.may_be_tls if other else not conversation.first_bytes
        if self._plaintext and may_be_tls and self._speaks_tls():
            return failed(
                "HTTP/2",
                "the port speaks TLS, and plaintext was spoken to it",
                "Give --tls (in a program: insecure=False), and --ca FILE for an authority of your own.",
                speaks="TLS",
            )
        if other is not None:
            return failed(
                "HTTP/2", f"the port speaks {_quote(other)}", "Correct the port: gRPC needs HTTP/2.", speaks=other.name
            )
        return self._unknown(conversation)

    def _unknown(self, conversation: Conversation) -> Finding:
        if conversation.first_bytes:
            beginning = conversation.first_bytes[:16]
            return failed(
                "HTTP/2",
                f"what answers is not HTTP/2 and nothing known here; it begins with the bytes {beginning.hex(' ')}",
                "Correct the port: gRPC needs HTTP/2.",
                first_bytes=beginning.hex(),
            )
        if conversation.ended is not None:
            return failed(
                "HTTP/2",
                "the server closed the connection without a word",
                "Look into the server's log: it may be starting, full, or not a gRPC server.",
            )
        return failed(
            "HTTP/2",
            f"the server accepted the connection and said nothing for {self._options.timeout:g} s",
            "Check that a gRPC server listens at this port, and that it is not stuck.",
        )

    def _speaks_tls(self) -> bool:
        try:
            self._tls.look(self._way, self._options.timeout).close()
        except (OSError, TransportError, ValueError):
            return False
        return True

    # It is HTTP/2

    def _ask(self, conversation: Conversation) -> Iterator[Finding]:
        at_once = conversation.wait_for_acknowledgement(min(AT_ONCE, self._options.timeout))
        for service in services():
            answer = conversation.call(service.path, service.request, self._options.timeout)
            if answer is None:
                yield _no_calls(conversation)
                return
            finding = judge(service, answer)
            yield finding
            if "status" not in finding.details:
                break  # the others would not answer either, and each would take its time
        yield from _acknowledgement(conversation, at_once, self._options.timeout)


def _no_calls(conversation: Conversation) -> Finding:
    """Why the server takes no call any more."""
    ended, away = conversation.ended, conversation.going_away
    if ended is not None and "client certificate" in ended.reason:
        return failed("client certificate", *advise(ended.reason))
    if away is not None:
        said = printable(away.debug_data.decode("utf-8", "replace"))
        says = f"the server sent GOAWAY{f' ({said})' if said else ''} and takes no calls"
        return failed("services", says, "Try again; if it stays so, look into the server's log.")
    reason = ended.reason.rstrip(".") if ended else "the server takes no calls (MAX_CONCURRENT_STREAMS 0)"
    return failed("services", printable(reason), "Look into the server's log.")


def _quote(other: Other) -> str:
    return f"{other.name} (it said “{other.first_line}”)" if other.first_line else other.name


def _settings_finding(conversation: Conversation) -> Finding:
    settings = conversation.settings
    shown = [f"{name} {settings[name]:,}" for name in SHOWN if name in settings]
    return found("HTTP/2", "SETTINGS: " + ", ".join(shown), **settings)


def _acknowledgement(conversation: Conversation, at_once: bool, timeout: float) -> Iterator[Finding]:
    """A multiplexer in front of an agent acknowledges nothing before the first HEADERS, so this is asked last."""
    if not conversation.wait_for_acknowledgement(timeout):
        yield failed(
            "acknowledges",
            f"our SETTINGS were not acknowledged within {timeout:g} s (RFC 9113 §6.5.3)",
            "Look at what stands in between: puremux takes a connection for dead that acknowledges nothing.",
        )
        return
    yield found("acknowledges", "at once" if at_once else "after the first HEADERS, as agents do", at_once=at_once)
    samples = [seconds for seconds in (conversation.measure(timeout) for _ in range(SAMPLES)) if seconds is not None]
    if len(samples) < SAMPLES:
        yield left_out("round trip", "the connection ended while it was measured")
        return
    low, middle, high = (milliseconds(pick(samples)) for pick in (min, statistics.median, max))
    yield found(
        "round trip",
        f"{middle:g} ms ({low:g} to {high:g} ms, {SAMPLES} times)",
        milliseconds=[milliseconds(sample) for sample in samples],
    )
