"""Which proxy lies on the way to an address, by the environment or by the caller's word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.errors import AddressError
from puremux.transport.address import parse_address
from puremux.transport.proxy import Proxy, proxy_for

PROXY = {"https_proxy": "http://proxy:3128"}


@pytest.mark.parametrize(
    "environ, proxy",
    [
        pytest.param({}, None, id="none is set"),
        pytest.param({"https_proxy": ""}, None, id="an empty one"),
        pytest.param({"http_proxy": "http://a:1"}, "a:1", id="http_proxy"),
        pytest.param({"HTTP_PROXY": "http://a:1"}, None, id="HTTP_PROXY, which a CGI program's client may set"),
        pytest.param({"http_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "b:1", id="http_proxy last"),
        pytest.param({"https_proxy": "http://a:1"}, "a:1", id="https_proxy"),
        pytest.param({"HTTPS_PROXY": "http://a:1"}, "a:1", id="HTTPS_PROXY"),
        pytest.param({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "a:1", id="lower case first"),
        pytest.param({"grpc_proxy": "http://a:1", "https_proxy": "http://b:1"}, "a:1", id="grpc_proxy before all"),
        pytest.param({"https_proxy": "http://a/"}, "a:80", id="port 80 when it names none"),
        pytest.param({"https_proxy": "a:3128"}, "a:3128", id="no scheme"),
        pytest.param({"https_proxy": "HTTP://[::1]:3128"}, "[::1]:3128", id="IPv6"),
    ],
)
def test_the_environment_names_the_proxy(environ: dict[str, str], proxy: str | None) -> None:
    chosen = proxy_for(parse_address("agent:55678"), environ)
    assert (chosen and str(chosen)) == proxy


@pytest.mark.parametrize(
    "listed, text, excepted",
    [
        pytest.param("*", "agent:1", True, id="everything"),
        pytest.param("agent", "agent:1", True, id="the name"),
        pytest.param("AGENT", "Agent.:1", True, id="the name in other letters"),
        pytest.param("other, agent", "agent:1", True, id="the second, after a space"),
        pytest.param("example.com", "a.b.example.com:1", True, id="a domain"),
        pytest.param(".example.com", "a.example.com:1", True, id="a domain with a dot"),
        pytest.param("*.example.com", "a.example.com:1", True, id="a domain with a star"),
        pytest.param("example.com", "badexample.com:1", False, id="not a label's end"),
        pytest.param("example.com", "example.com.evil:1", False, id="not in the middle"),
        pytest.param("agent:1", "agent:1", True, id="name and port"),
        pytest.param("agent:2", "agent:1", False, id="name and another port"),
        pytest.param("agent:999999", "agent:1", False, id="name and no port"),
        pytest.param("bücher.example", "bücher.example:1", False, id="IDNA is listed in ASCII"),
        pytest.param("xn--bcher-kva.example", "bücher.example:1", True, id="IDNA in ASCII"),
        pytest.param("10.0.0.1", "10.0.0.1:1", True, id="IPv4"),
        pytest.param("10.0.0.1:2", "10.0.0.1:1", False, id="IPv4 and another port"),
        pytest.param("10.0.0.0/8", "10.2.3.4:1", True, id="IPv4 network"),
        pytest.param("10.0.0.1/8", "10.2.3.4:1", True, id="IPv4 network by one of its hosts"),
        pytest.param("10.0.0.0/8", "11.2.3.4:1", False, id="another IPv4 network"),
        pytest.param("10.0.0.0/8", "agent:1", False, id="a network and a name"),
        pytest.param("0.0.1", "10.0.0.1:1", False, id="addresses have no domains"),
        pytest.param("2001:db8::1", "[2001:db8::1]:1", True, id="IPv6"),
        pytest.param("[2001:db8::1]:1", "[2001:db8::1]:1", True, id="IPv6 and port"),
        pytest.param("[2001:db8::1]:2", "[2001:db8::1]:1", False, id="IPv6 and another port"),
        pytest.param("2001:db8::/32", "[2001:db8::1]:1", True, id="IPv6 network"),
        pytest.param("2001:db8::/32", "10.0.0.1:1", False, id="IPv6 network and IPv4"),
        pytest.param(".", "agent:1", False, id="a lone dot"),
        pytest.param(",,", "agent:1", False, id="commas"),
    ],
)
def test_no_proxy_excepts_hosts(listed: str, text: str, excepted: bool) -> None:
    chosen = proxy_for(parse_address(text), {**PROXY, "no_proxy": listed})
    assert (chosen is None) is excepted


@pytest.mark.parametrize("name", ["no_grpc_proxy", "no_proxy", "NO_PROXY"])
def test_each_name_of_no_proxy_counts(name: str) -> None:
    assert proxy_for(parse_address("agent"), {**PROXY, name: "agent"}) is None


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1", "[::1]", "a.localhost", "unix:/run/a"])
def test_what_stays_on_this_machine_needs_none(text: str) -> None:
    assert proxy_for(parse_address(text), PROXY) is None


def test_a_caller_who_names_a_proxy_means_it() -> None:
    assert str(proxy_for(parse_address("localhost"), {}, "http://proxy:3128")) == "proxy:3128"
    assert proxy_for(parse_address("unix:/run/a"), {}, "http://proxy:3128") is None


def test_the_caller_overrules_the_environment() -> None:
    agent = parse_address("agent")
    assert str(proxy_for(agent, {**PROXY, "no_proxy": "*"}, "http://mine:1")) == "mine:1"
    assert proxy_for(agent, PROXY, "") is None


@pytest.mark.parametrize(
    "url, authorization",
    [
        pytest.param("http://proxy", None, id="none"),
        pytest.param(
            "http://Aladdin:open%20sesame@proxy", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", id="user and password"
        ),
        pytest.param("http://me@proxy", "Basic bWU6", id="user alone"),
        pytest.param("http://me:p@ss@proxy", "Basic bWU6cEBzcw==", id="an @ in the password"),
        pytest.param("me:%C3%A4@proxy", "Basic bWU6w6Q=", id="UTF-8, and no scheme"),
    ],
)
def test_the_url_carries_the_password_and_nothing_shows_it(url: str, authorization: str | None) -> None:
    proxy = proxy_for(parse_address("agent"), {}, url)
    assert proxy == Proxy(parse_address("proxy", 80), authorization)
    assert str(proxy) == "proxy:80" and "Basic" not in repr(proxy)


@pytest.mark.parametrize(
    "url, problem",
    [
        pytest.param("https://me:secret@proxy", "has the scheme 'https'; expected http://", id="TLS to the proxy"),
        pytest.param("socks5://proxy", "has the scheme 'socks5'; expected http://", id="SOCKS"),
        pytest.param("http://me:secret@", "cannot be read: .* it is empty", id="no host"),
        pytest.param("http://me:secret@proxy:x", 'cannot be read: "proxy:x" .* port', id="bad port"),
        pytest.param("unix:proxy.sock", "is unix:proxy.sock; expected http://", id="unix socket"),
        pytest.param("http://me:sec/ret@a:b:c", 'cannot be read: "a:b:c"', id="several colons"),
    ],
)
@pytest.mark.parametrize("source", ["proxy=", "$https_proxy"])
def test_a_proxy_that_cannot_be_read(url: str, problem: str, source: str) -> None:
    explicit, environ = (url, {}) if source == "proxy=" else (None, {"https_proxy": url})
    with pytest.raises(AddressError, match=problem) as refused:
        proxy_for(parse_address("agent"), environ, explicit)
    assert f"The proxy in {source} " in str(refused.value)
    assert "sec" not in str(refused.value)


@given(st.text(), st.text())
def test_an_environment_of_any_text_ends_in_a_proxy_or_none_or_an_address_error(url: str, listed: str) -> None:
    try:
        chosen = proxy_for(parse_address("agent"), {"https_proxy": url, "no_proxy": listed})
    except AddressError:
        return
    assert chosen is None or chosen.address.places[0]
