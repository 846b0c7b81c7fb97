"""Addresses as people write them, read once into what the other modules need to know of them.

Floor 3, transport: imports checks and errors only, and does no I/O: it decides, it does not look up.
Spec: gRPC doc/naming.md; RFC 3986 §3.2.2 (IPv6 in brackets); RFC 4007 §11 (zones); RFC 6761 §6.3 (localhost).

============================  =======================================================
``agent``                     a host name; the port is the default
``agent:55678``               a host name or IPv4 address, and a port
``[::1]:55678``               an IPv6 address, in brackets; a zone may follow: ``[fe80::1%eth0]:55678``
``dns:///agent:55678``        the same with its scheme, as gRPC writes it; also ``dns:agent:55678``
``ipv4:10.0.0.1:1,10.0.0.2``  IPv4 addresses of one server, and ports; ``ipv6:[::1]:1`` likewise
``unix:/run/agent.sock``      a unix socket by its path; also ``unix:relative`` and ``unix:///absolute``
``unix-abstract:name``        a Linux unix socket without a file
============================  =======================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Union

from ..checks import shown
from ..errors import AddressError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    IpAddress = Union[IPv4Address, IPv6Address]

__all__ = ["Address", "HostPort", "UnixSocket", "host_in", "parse_address", "parse_addresses"]

SCHEMES = ("dns", "ipv4", "ipv6", "unix", "unix-abstract")

EXPECTED = 'expected "host:port", "[IPv6]:port", "dns:///host:port", "ipv4:…", "ipv6:…", or "unix:/path"'


class HostPort(NamedTuple):
    """A host name or an IP address, and a port."""

    host: str
    """In lower case: a name as it was written, or an IP address in its shortest form, without brackets."""

    port: int
    """From 1 to 65,535."""

    @property
    def ip(self) -> IpAddress | None:
        """The IP address, without its zone; None for a name."""
        if ":" not in self.host and not self.host[-1:].isdigit():
            return None  # most are names, for which ipaddress need not be loaded
        import ipaddress

        try:
            return ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return None

    @property
    def ascii_host(self) -> str:
        """What the DNS, TLS and HTTP know the host by: the name in IDNA's ASCII form, or the IP address."""
        return self.host if self.host.isascii() else self.host.encode("idna").decode("ascii")

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine: a loopback address, ``localhost`` or ``*.localhost``."""
        if self.ip is not None:
            mapped = getattr(self.ip, "ipv4_mapped", None)
            return (mapped or self.ip).is_loopback
        return f".{self.ascii_host}".rstrip(".").endswith(".localhost")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixSocket(NamedTuple):
    """A unix socket."""

    path: str
    """As ``socket.connect`` takes it; an abstract name begins with a NUL."""

    @property
    def is_local(self) -> bool:
        """True: what is sent there stays on this machine."""
        return True

    def __str__(self) -> str:
        if self.path.startswith("\0"):
            return "unix-abstract:" + self.path[1:]
        return ("unix://" if self.path.startswith("//") else "unix:") + self.path


class Address(NamedTuple):
    """Where one server is; ``str()`` writes it, with its port, so that it can be read again."""

    places: tuple[HostPort | UnixSocket, ...]
    """One, or several that are the same server (``ipv4:`` and ``ipv6:`` lists)."""

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine, so that plaintext is safe."""
        return all(place.is_local for place in self.places)

    @property
    def host(self) -> str:
        """The name or IP address that a TLS certificate must have; ``localhost`` for a unix socket."""
        place = self.places[0]
        if isinstance(place, UnixSocket):
            return "localhost"
        return place.ascii_host.partition("%")[0].rstrip(".")

    @property
    def authority(self) -> str:
        """What goes in ``:authority``; ``localhost`` for a unix socket.

        Source: gRPC doc/naming.md; RFC 6874 §4 for leaving out the zone, which means nothing elsewhere.
        """
        place = self.places[0]
        return "localhost" if isinstance(place, UnixSocket) else str(HostPort(self.host, place.port))

    def __str__(self) -> str:
        places = ",".join(map(str, self.places))
        if len(self.places) > 1:
            return f"ipv6:{places}" if places.startswith("[") else f"ipv4:{places}"
        if isinstance(self.places[0], HostPort) and self.places[0].host in SCHEMES:
            return f"dns:///{places}"
        return places


def parse_address(text: str, default_port: int = 443) -> Address:
    """Read an address in any of the forms above.

    Args:
        text: the address.
        default_port: the port of addresses that name none; gRPC's own default is 443.
    Raises:
        AddressError: it cannot be read; the message quotes it, and says why and what is expected.
        TypeError: it is not a ``str``.
    """
    if not isinstance(text, str):
        raise TypeError(f'an address is a str such as "localhost:{default_port}", not {type(text).__name__}')
    return _Reader(text, default_port).read()


def parse_addresses(texts: Any, default_port: int = 443) -> list[Address]:
    """Read an address or several, at least one; raises as :func:`parse_address`, and ValueError where there is none."""
    if isinstance(texts, (bytes, bytearray)) or not isinstance(texts, Iterable):
        raise TypeError(
            f'an address is a str such as "localhost:{default_port}", or a list of them, not {shown(texts)}'
        )
    addresses = [parse_address(each, default_port) for each in ([texts] if isinstance(texts, str) else texts)]
    if not addresses:
        raise ValueError(f'at least one address is needed, such as "localhost:{default_port}"')
    return addresses


def host_in(authority: str) -> str:
    """The host of an ``:authority``; AddressError where there is none."""
    try:
        return parse_address(authority).host
    except AddressError as error:
        raise AddressError(f'authority takes "host" or "host:port": {error}') from None


class _Reader:
    """Reads one address; holds the whole of it for the messages."""

    def __init__(self, text: str, default_port: int) -> None:
        self._text, self._default_port = text, default_port

    def read(self) -> Address:
        text = self._text
        if not text:
            self._refuse("it is empty")
        if not text.isprintable():
            self._refuse("it holds a control character or another that cannot be printed")
        scheme, colon, rest = text.partition(":")
        if colon and scheme.lower() in SCHEMES:
            read = getattr(self, "_read_" + scheme.lower().replace("-", "_"))
            return Address(read(rest))
        if "://" in text:
            self._refuse_url()
        return Address((self._host_port(text),))

    def _read_dns(self, rest: str) -> tuple[HostPort, ...]:
        if rest.startswith("//"):
            server, _, rest = rest[2:].partition("/")
            if server:
                self._refuse(f"it names a DNS server of its own ({server}), but names are resolved by this machine")
        return (self._host_port(rest),)

    def _read_ipv4(self, rest: str) -> tuple[HostPort, ...]:
        return self._read_ip_list(rest, 4)

    def _read_ipv6(self, rest: str) -> tuple[HostPort, ...]:
        return self._read_ip_list(rest, 6)

    def _read_ip_list(self, rest: str, version: int) -> tuple[HostPort, ...]:
        places = tuple(self._host_port(item) for item in rest.split(","))
        for place in places:
            if place.ip is None or place.ip.version != version:
                self._refuse(f"{place.host} is not an IPv{version} address")
        return places

    def _read_unix(self, rest: str) -> tuple[UnixSocket, ...]:
        if rest.startswith("//"):
            rest = rest[2:]
            if not rest.startswith("/"):
                self._refuse('after "unix://" comes an absolute path, so there are three slashes')
        return (self._unix_socket(rest),)

    def _read_unix_abstract(self, rest: str) -> tuple[UnixSocket, ...]:
        if not rest:
            self._refuse("the name of the unix socket is missing")
        return (self._unix_socket("\0" + rest),)

    def _unix_socket(self, path: str) -> UnixSocket:
        if not path:
            self._refuse("the path of the unix socket is missing")
        try:
            length = len(os.fsencode(path))
        except UnicodeEncodeError:
            self._refuse("its path cannot be encoded for the file system")
        if length > 107:  # sockaddr_un of unix(7) holds 108 bytes, with a NUL at the end
            self._refuse(f"its path has {length} bytes, and unix sockets allow 107")
        return UnixSocket(path)

    def _host_port(self, text: str) -> HostPort:
        if text.startswith("["):
            host, bracket, port = text[1:].partition("]")
            if not bracket:
                self._refuse('the closing "]" is missing')
            if port and not port.startswith(":"):
                self._refuse('after "]" comes ":port" or nothing')
            return HostPort(self._ipv6(host), self._port(port[1:] if port else None))
        if text.count(":") > 1:
            self._refuse(f"it has several colons, and IPv6 addresses need brackets, as in [::1]:{self._default_port}")
        host, colon, port = text.partition(":")
        return HostPort(self._host(host), self._port(port if colon else None))

    def _port(self, text: str | None) -> int:
        """Read a port; None where the address has none."""
        if text is None:
            return self._default_port
        if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
            self._refuse(f"its port {_quoted(text)} is not a number from 1 to 65535")
        return int(text)

    def _ipv6(self, text: str) -> str:
        host, percent, zone = text.partition("%")
        if percent and not re.fullmatch("[A-Za-z0-9._~-]+", zone):
            self._refuse(f"its zone {_quoted(zone)} is not the name or number of a network interface")
        from ipaddress import IPv6Address

        try:
            return IPv6Address(host).compressed + percent + zone
        except ValueError:
            self._refuse(f"{_quoted(host)} in brackets is not an IPv6 address")

    def _host(self, text: str) -> str:
        host = text.lower()
        if not host:
            self._refuse("its host is missing")
        try:
            if len(host) > 254:  # RFC 1035 §2.3.4; and the codec is slow on long ones
                raise ValueError
            name = HostPort(host, 1).ascii_host
        except ValueError:
            name = ""
        if not re.fullmatch(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?", name):
            self._refuse(f"{_quoted(host)} is not a host name")
        # No top-level domain is a number (RFC 3696 §2), but libc reads "127.1" and "0x7f000001" as addresses.
        if re.fullmatch("[0-9]+|0x[0-9a-f]*", name.rstrip(".").rpartition(".")[2]):
            return self._ipv4(name)
        return host

    def _ipv4(self, text: str) -> str:
        from ipaddress import IPv4Address

        try:
            return str(IPv4Address(text))
        except ValueError:
            self._refuse(f"{_quoted(text)} looks like an IPv4 address, and is none")

    def _refuse_url(self) -> NoReturn:
        scheme, _, rest = self._text.partition("://")
        if scheme.lower() not in ("http", "https"):
            self._refuse(f"the scheme {_quoted(scheme)} is not known")
        host_port = re.split("[/?#]", rest)[0].rpartition("@")[2] or "host:port"
        self._refuse(f"it is a URL; write only {_quoted(host_port)}, and choose TLS by insecure= and tls=")

    def _refuse(self, problem: str) -> NoReturn:
        raise AddressError(f"{_quoted(self._text)} is not an address: {problem}; {EXPECTED}.")


def _quoted(text: str) -> str:
    shown = text if len(text) <= 100 else text[:100] + "…"
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown) + '"'
