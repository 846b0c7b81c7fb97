"""Addresses: every form that is read, every mistake that is named, and that nothing else comes out."""

from __future__ import annotations

import os
from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from puremux.errors import AddressError
from puremux.transport.address import SCHEMES, Address, HostPort, UnixSocket, parse_address


@pytest.mark.parametrize(
    "text, places, written",
    [
        pytest.param("agent", [HostPort("agent", 55678)], "agent:55678", id="a name gets the default port"),
        pytest.param("agent:1", [HostPort("agent", 1)], "agent:1", id="the lowest port"),
        pytest.param("agent:65535", [HostPort("agent", 65535)], "agent:65535", id="the highest port"),
        pytest.param("Agent.Example.:80", [HostPort("agent.example.", 80)], "agent.example.:80", id="case is lowered"),
        pytest.param("my_agent-1:80", [HostPort("my_agent-1", 80)], "my_agent-1:80", id="underscore and hyphen"),
        pytest.param("10.0.0.1", [HostPort("10.0.0.1", 55678)], "10.0.0.1:55678", id="IPv4"),
        pytest.param("10.0.0.1:80", [HostPort("10.0.0.1", 80)], "10.0.0.1:80", id="IPv4 and port"),
        pytest.param("[::1]", [HostPort("::1", 55678)], "[::1]:55678", id="IPv6"),
        pytest.param("[0:0::1]:80", [HostPort("::1", 80)], "[::1]:80", id="IPv6 is shortened"),
        pytest.param("[fe80::1%eth0]:80", [HostPort("fe80::1%eth0", 80)], "[fe80::1%eth0]:80", id="IPv6 with a zone"),
        pytest.param("bücher.example:80", [HostPort("bücher.example", 80)], "bücher.example:80", id="IDNA"),
        pytest.param("dns:///agent:80", [HostPort("agent", 80)], "agent:80", id="dns with an empty authority"),
        pytest.param("dns:agent", [HostPort("agent", 55678)], "agent:55678", id="dns without one"),
        pytest.param("dns:///[::1]:80", [HostPort("::1", 80)], "[::1]:80", id="dns with IPv6"),
        pytest.param("DNS:///unix:80", [HostPort("unix", 80)], "dns:///unix:80", id="a host named as a scheme"),
        pytest.param("ipv4:10.0.0.1:80", [HostPort("10.0.0.1", 80)], "10.0.0.1:80", id="ipv4, one"),
        pytest.param(
            "ipv4:10.0.0.1:80,10.0.0.2",
            [HostPort("10.0.0.1", 80), HostPort("10.0.0.2", 55678)],
            "ipv4:10.0.0.1:80,10.0.0.2:55678",
            id="ipv4, two",
        ),
        pytest.param(
            "ipv6:[::1]:80,[::2]",
            [HostPort("::1", 80), HostPort("::2", 55678)],
            "ipv6:[::1]:80,[::2]:55678",
            id="ipv6, two",
        ),
        pytest.param("unix:/run/a.sock", [UnixSocket("/run/a.sock")], "unix:/run/a.sock", id="unix, absolute"),
        pytest.param("unix:///run/a.sock", [UnixSocket("/run/a.sock")], "unix:/run/a.sock", id="unix, three slashes"),
        pytest.param("unix:////a.sock", [UnixSocket("//a.sock")], "unix:////a.sock", id="unix, four slashes"),
        pytest.param("unix:run/a b", [UnixSocket("run/a b")], "unix:run/a b", id="unix, relative, with a space"),
        pytest.param("unix-abstract:a", [UnixSocket("\0a")], "unix-abstract:a", id="unix, abstract"),
    ],
)
def test_forms_that_are_read(text: str, places: list[HostPort | UnixSocket], written: str) -> None:
    address = parse_address(text, 55678)
    assert address == Address(tuple(places))
    assert str(address) == written
    assert parse_address(written) == address


def test_without_a_default_the_port_is_that_of_grpc() -> None:
    assert parse_address("agent").places == (HostPort("agent", 443),)


@pytest.mark.parametrize(
    "text, problem",
    [
        pytest.param("", "it is empty", id="empty"),
        pytest.param(":80", "its host is missing", id="no host"),
        pytest.param("dns:///", "its host is missing", id="dns without a host"),
        pytest.param("agent:", 'its port "" is not', id="no port after the colon"),
        pytest.param("agent:0", 'its port "0" is not', id="port 0"),
        pytest.param("agent:70000", 'its port "70000" is not', id="port 70000"),
        pytest.param("agent:-1", 'its port "-1" is not', id="negative port"),
        pytest.param("agent:abc", 'its port "abc" is not', id="port in letters"),
        pytest.param("agent:٣", 'its port "٣" is not', id="port in Arabic digits"),
        pytest.param("agent: 80", 'its port " 80" is not', id="space before the port"),
        pytest.param("my agent:80", '"my agent" is not a host name', id="space in the host"),
        pytest.param(" agent:80", '" agent" is not a host name', id="space in front"),
        pytest.param("agent:80\n", "control character", id="newline behind"),
        pytest.param("agent\0:80", "control character", id="NUL"),
        pytest.param("me@agent:80", '"me@agent" is not a host name', id="user name"),
        pytest.param("agent/path:80", '"agent/path" is not a host name', id="path"),
        pytest.param("a..b:80", '"a..b" is not a host name', id="empty label"),
        pytest.param("a" * 64 + ":80", "is not a host name", id="label of 64"),
        pytest.param("ü" * 64 + ":80", "is not a host name", id="IDNA label of 64"),
        pytest.param("a." * 130 + ":80", "is not a host name", id="name of 260"),
        pytest.param("256.0.0.1:80", "looks like an IPv4 address", id="IPv4 out of range"),
        pytest.param("127.1:80", "looks like an IPv4 address", id="IPv4 cut short"),
        pytest.param("１２７.1:80", "looks like an IPv4 address", id="IPv4 cut short, in wide digits"),
        pytest.param("0x7f000001", "looks like an IPv4 address", id="IPv4 in hex"),
        pytest.param("::1", "brackets, as in [::1]:55678", id="IPv6 without brackets"),
        pytest.param("::1:80", "brackets, as in [::1]:55678", id="IPv6 and perhaps a port without brackets"),
        pytest.param("[::1:80", 'closing "]" is missing', id="bracket not closed"),
        pytest.param("::1]:80", "brackets, as in", id="bracket not opened"),
        pytest.param("[::1]80", 'after "]" comes ":port"', id="port without colon"),
        pytest.param("[::1]:", 'its port "" is not', id="no port after the bracket"),
        pytest.param("[agent]:80", '"agent" in brackets is not an IPv6', id="name in brackets"),
        pytest.param("[fe80::1%]:80", 'its zone "" is not', id="empty zone"),
        pytest.param("[fe80::1%a b]:80", 'its zone "a b" is not', id="zone with a space"),
        pytest.param("dns://8.8.8.8/agent:80", "a DNS server of its own (8.8.8.8)", id="dns with an authority"),
        pytest.param("dns:53", '"53" looks like an IPv4', id="dns and a port"),
        pytest.param("ipv4:", "its host is missing", id="empty list"),
        pytest.param("ipv4:10.0.0.1,", "its host is missing", id="comma behind"),
        pytest.param("ipv4:agent:80", "agent is not an IPv4 address", id="name in an IPv4 list"),
        pytest.param("ipv4:[::1]:80", "::1 is not an IPv4 address", id="IPv6 in an IPv4 list"),
        pytest.param("ipv6:10.0.0.1:80", "10.0.0.1 is not an IPv6 address", id="IPv4 in an IPv6 list"),
        pytest.param("unix:", "the path of the unix socket is missing", id="no path"),
        pytest.param("unix://run/a", "there are three slashes", id="two slashes"),
        pytest.param("unix-abstract:", "the name of the unix socket is missing", id="no abstract name"),
        pytest.param("unix:/" + "x" * 107, "its path has 108 bytes", id="path of 108 bytes"),
        pytest.param("http://agent:80/x", 'URL; write only "agent:80"', id="http URL"),
        pytest.param("https://me:pw@agent", 'URL; write only "agent"', id="https URL"),
        pytest.param("http://", 'URL; write only "host:port"', id="http URL without a host"),
        pytest.param("xds:///agent", 'the scheme "xds" is not known', id="unknown scheme"),
    ],
)
def test_mistakes_are_quoted_and_named(text: str, problem: str) -> None:
    with pytest.raises(AddressError) as refused:
        parse_address(text, 55678)
    message = str(refused.value)
    assert problem in message
    assert message.startswith(f'"{text[:50]}' if text.isprintable() else '"agent')
    assert message.endswith('or "unix:/path".') and message.isprintable()


def test_a_path_that_the_file_system_cannot_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsencode", lambda path: path.encode("ascii"))
    with pytest.raises(AddressError, match="its path cannot be encoded for the file system"):
        parse_address("unix:/run/bücher")


def test_a_long_mistake_is_quoted_in_part() -> None:
    with pytest.raises(AddressError) as refused:
        parse_address("x" * 100_000)
    assert len(str(refused.value)) < 500


def test_what_cannot_be_printed_is_quoted_as_an_escape() -> None:
    with pytest.raises(AddressError) as refused:
        parse_address("agent\0\n\u200b:80")
    assert str(refused.value).startswith(r'"agent\x00\n\u200b:80" is not an address')


def test_what_is_not_text_is_a_type_error() -> None:
    with pytest.raises(TypeError, match='such as "localhost:443", not NoneType'):
        parse_address(None)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize(
    "text, is_local",
    [
        pytest.param("localhost", True, id="localhost"),
        pytest.param("LOCALHOST.:80", True, id="localhost, capitals and dot"),
        pytest.param("agent.localhost:80", True, id="below localhost"),
        pytest.param("ｌocalhost:80", True, id="localhost, with a wide letter"),
        pytest.param("127.8.0.1:80", True, id="127/8"),
        pytest.param("[::1]:80", True, id="::1"),
        pytest.param("[::ffff:127.0.0.1]:80", True, id="127/8 mapped to IPv6"),
        pytest.param("unix:a", True, id="unix"),
        pytest.param("unix-abstract:a", True, id="unix, abstract"),
        pytest.param("ipv4:127.0.0.1:1,127.0.0.2:1", True, id="a list, all of it local"),
        pytest.param("ipv4:127.0.0.1:1,10.0.0.2:1", False, id="a list, half of it local"),
        pytest.param("agent:80", False, id="a name"),
        pytest.param("notlocalhost:80", False, id="a name that ends like localhost"),
        pytest.param("localhost.example:80", False, id="localhost.example"),
        pytest.param("0.0.0.0:80", False, id="0.0.0.0"),
        pytest.param("[fe80::1%lo]:80", False, id="link-local"),
    ],
)
def test_local_means_that_it_stays_on_this_machine(text: str, is_local: bool) -> None:
    assert parse_address(text).is_local is is_local


@pytest.mark.parametrize(
    "text, host, authority",
    [
        pytest.param("agent:80", "agent", "agent:80", id="name"),
        pytest.param("agent.example.:80", "agent.example", "agent.example:80", id="the dot at the end goes"),
        pytest.param("bücher.example:80", "xn--bcher-kva.example", "xn--bcher-kva.example:80", id="IDNA"),
        pytest.param("[::1]:80", "::1", "[::1]:80", id="IPv6"),
        pytest.param("[fe80::1%eth0]:80", "fe80::1", "[fe80::1]:80", id="the zone goes"),
        pytest.param("ipv4:10.0.0.1:1,10.0.0.2:2", "10.0.0.1", "10.0.0.1:1", id="the first of a list"),
        pytest.param("unix:/run/a", "localhost", "localhost", id="unix"),
    ],
)
def test_what_certificates_and_servers_know_it_by(text: str, host: str, authority: str) -> None:
    address = parse_address(text)
    assert (address.host, address.authority) == (host, authority)


ports = st.integers(1, 65535)
labels = st.text("abcxyz-_019üßé", min_size=1, max_size=20)
names = st.one_of(st.sampled_from(SCHEMES), st.lists(labels, min_size=1, max_size=4).map(".".join))
hosts = st.one_of(names, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format))
host_ports = st.one_of(hosts, st.builds("{}:{}".format, hosts, ports))
almost_addresses = st.one_of(
    host_ports,
    st.builds("{}:{}".format, st.sampled_from(SCHEMES), st.one_of(host_ports, st.text())),
    st.builds("{}://{}/{}".format, st.sampled_from([*SCHEMES, "http"]), st.sampled_from(["", "a"]), host_ports),
    st.lists(host_ports, min_size=1).map(lambda items: "ipv4:" + ",".join(items)),
    st.text("[]:%/.,0123abcunix-"),
    st.text(),
)


@given(almost_addresses)
@example("unix:////")
@example("dns:ß")
@example("[::%25]")
@example("unix:\ud800")
@example("\u2488com")
@example("xn--a:80")
@example("a。1")
def test_whatever_is_read_is_written_and_read_again_and_all_else_is_an_address_error(text: str) -> None:
    try:
        address = parse_address(text, 55678)
    except AddressError as refused:
        assert str(refused).isprintable()
    else:
        assert parse_address(str(address)) == address
        assert address.host.isascii() and address.authority.isascii()
        assert isinstance(address.is_local, bool)


@pytest.mark.parametrize(
    "host, ip",
    [
        ("agent", None),
        ("agent-1", None),
        ("agent.", None),
        ("10.0.0.1", "10.0.0.1"),
        ("::", "::"),
        ("fe80::a", "fe80::a"),
        ("fe80::a%eth0", "fe80::a"),
    ],
)
def test_a_host_that_is_an_ip_address(host: str, ip: str | None) -> None:
    assert HostPort(host, 1).ip == (None if ip is None else ip_address(ip))
