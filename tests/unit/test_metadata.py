"""Headers: what may be sent, how it is spelt, and how what came is read."""

from __future__ import annotations

import math
from urllib.parse import unquote_to_bytes

import pytest
from hpack import Encoder
from hypothesis import example, given
from hypothesis import strategies as st

from puremux.errors import Metadata, RemoteProtocolError
from puremux.protocol.metadata import (
    HeaderList,
    check_fields,
    check_path,
    decode_message,
    decode_metadata,
    decode_timeout,
    encode_message,
    encode_metadata,
    encode_timeout,
    header,
    is_grpc_content_type,
    request_headers,
    response_headers,
    trailers,
)

KEYS = st.text(alphabet="abcz09_.-", min_size=1, max_size=8).filter(lambda key: not key.startswith("grpc-"))
PAIRS = st.one_of(
    st.tuples(
        KEYS.filter(lambda key: not key.endswith("-bin")),
        st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)).map(str.strip),
    ),
    st.tuples(KEYS.map(lambda key: key + "-bin"), st.binary()),
)


# Metadata


@pytest.mark.parametrize(
    "metadata, headers",
    [
        pytest.param([], [], id="none"),
        pytest.param([("a", "b")], [(b"a", b"b")], id="ASCII"),
        pytest.param([("a", "")], [(b"a", b"")], id="empty value"),
        pytest.param([("a", "1"), ("a", "2")], [(b"a", b"1"), (b"a", b"2")], id="a key twice"),
        pytest.param([("a-bin", b"\0")], [(b"a-bin", b"AA")], id="bytes, without padding"),
        pytest.param([("a-bin", b"")], [(b"a-bin", b"")], id="no bytes"),
        pytest.param([("a-bin", bytearray(b"\0"))], [(b"a-bin", b"AA")], id="bytearray"),
        pytest.param([("a", b"b")], [(b"a", b"b")], id="ASCII as bytes"),
        pytest.param([("grpc-status-details-bin", b"")], [(b"grpc-status-details-bin", b"")], id="details of a status"),
        pytest.param([("grpc-trace-bin", b"\0")], [(b"grpc-trace-bin", b"AA")], id="OpenCensus's trace context"),
        pytest.param([("grpc-tags-bin", b"\0")], [(b"grpc-tags-bin", b"AA")], id="OpenCensus's tags"),
        pytest.param([("a", "  b c ")], [(b"a", b"b c")], id="spaces around a value"),
    ],
)
def test_metadata_is_written_as_headers(metadata: Metadata, headers: HeaderList) -> None:
    assert encode_metadata(metadata) == headers


@pytest.mark.parametrize(
    "key, value, error, said",
    [
        pytest.param("A", "b", ValueError, "lower-case", id="capital letter"),
        pytest.param("", "b", ValueError, "lower-case", id="no key"),
        pytest.param(":path", "b", ValueError, "lower-case", id="pseudo-header"),
        pytest.param("ä", "b", ValueError, "lower-case", id="not ASCII"),
        pytest.param("a b", "b", ValueError, "lower-case", id="space"),
        pytest.param("a\n", "b", ValueError, "lower-case", id="line feed at the end"),
        pytest.param(b"a", "b", ValueError, "lower-case", id="key of bytes"),
        pytest.param("te", "b", ValueError, "reserved", id="te"),
        pytest.param("content-type", "b", ValueError, "reserved", id="content-type"),
        pytest.param("connection", "b", ValueError, "reserved", id="connection"),
        pytest.param("grpc-timeout", "b", ValueError, "reserved", id="grpc-timeout"),
        pytest.param("grpc-mine", "b", ValueError, "reserved", id="whatever begins with grpc-"),
        pytest.param("a", "ä", ValueError, "name it a-bin", id="value not ASCII"),
        pytest.param("a", "b\n", ValueError, "name it a-bin", id="line feed in the value"),
        pytest.param("a", "b\0", ValueError, "name it a-bin", id="NUL in the value"),
        pytest.param("a", b"\xff", ValueError, "name it a-bin", id="bytes beyond ASCII"),
        pytest.param("a", 1, TypeError, "takes a string", id="number"),
        pytest.param("a-bin", "b", TypeError, "takes bytes", id="string for a -bin key"),
        pytest.param("a-bin", None, TypeError, "takes bytes", id="None for a -bin key"),
    ],
)
def test_metadata_that_cannot_be_sent(key: str, value: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        encode_metadata([(key, value)])


@pytest.mark.parametrize(
    "headers, metadata",
    [
        pytest.param([(b"a", b"b"), (b"a", b"c")], [("a", "b"), ("a", "c")], id="a key twice, in order"),
        pytest.param([(b"a-bin", b"AA")], [("a-bin", b"\0")], id="without padding"),
        pytest.param([(b"a-bin", b"AA==")], [("a-bin", b"\0")], id="with padding"),
        pytest.param(
            [(b"a-bin", b"AA==,AQ, Ag")], [("a-bin", bytes([each])) for each in range(3)], id="joined by commas"
        ),
        pytest.param([(b"a-bin", b"")], [("a-bin", b"")], id="no bytes"),
        pytest.param([(b"a", b"\xc3\xa4")], [("a", "ä")], id="UTF-8 is read"),
        pytest.param([(b"a", b"\xff")], [("a", "\ufffd")], id="other bytes are replaced"),
        pytest.param([(b":status", b"200"), (b"te", b"x"), (b"content-type", b"x")], [], id="HTTP keeps its own"),
        pytest.param([(b"grpc-status", b"0"), (b"grpc-message", b""), (b"grpc-encoding", b"")], [], id="so does gRPC"),
        pytest.param([(b"grpc-status-details-bin", b"AA")], [("grpc-status-details-bin", b"\0")], id="but not details"),
        pytest.param([(b"grpc-trace-bin", b"AA==")], [("grpc-trace-bin", b"\0")], id="nor OpenCensus's trace context"),
        pytest.param([(b"a", b" \tb c\t ")], [("a", "b c")], id="spaces around a value are none of it"),
        pytest.param([(b"grpc-status-details-bin", b"!")], [], id="details that cannot be read are left out"),
    ],
)
def test_headers_are_read_as_metadata(headers: HeaderList, metadata: Metadata) -> None:
    assert decode_metadata(headers) == tuple(metadata)


@pytest.mark.parametrize("value", [b"A", b"!", b"AA=A", b"AAAAA", b"\xff\xff", b"A_-A"])
def test_bytes_that_are_not_base64(value: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="'a-bin' is not base64"):
        decode_metadata([(b"a-bin", value)])


@given(st.lists(PAIRS, max_size=6))
def test_metadata_comes_back(metadata: list[tuple[str, str | bytes]]) -> None:
    reserved = {"te", "host", "connection", "upgrade"}
    metadata = [pair for pair in metadata if pair[0] not in reserved]
    assert decode_metadata(encode_metadata(metadata)) == tuple(metadata)


# Well-formed header lists


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="empty"),
        pytest.param([(b":status", b"200"), (b"a", b"b"), (b"a", b"\x80 c")], id="usual"),
        pytest.param([(b"a!#$%&'*+-.^_`|~9", b"")], id="every sign that a name may have"),
    ],
)
def test_header_lists_that_are_well_formed(headers: HeaderList) -> None:
    check_fields(headers, {b":status"})


@pytest.mark.parametrize(
    "headers, said",
    [
        pytest.param([(b"A", b"")], "name b'A' is not allowed", id="capital letter"),
        pytest.param([(b"", b"")], "name b'' is not allowed", id="no name"),
        pytest.param([(b"a b", b"")], "is not allowed", id="space in a name"),
        pytest.param([(b"a:b", b"")], "is not allowed", id="colon within a name"),
        pytest.param([(b"\xe4", b"")], "is not allowed", id="name beyond ASCII"),
        pytest.param([(b"a", b"b\r\nc")], "value of the header b'a'", id="line break in a value"),
        pytest.param([(b"a", b"\0")], "value of the header b'a'", id="NUL in a value"),
        pytest.param([(b"connection", b"close")], "does not belong in HTTP/2", id="connection"),
        pytest.param([(b"transfer-encoding", b"chunked")], "does not belong in HTTP/2", id="transfer-encoding"),
        pytest.param([(b":path", b"/")], "out of place", id="a pseudo-header of requests"),
        pytest.param([(b":", b"")], "is not allowed", id="a colon alone"),
        pytest.param([(b":status", b"200"), (b":status", b"200")], "out of place", id="a pseudo-header twice"),
        pytest.param([(b"a", b"b"), (b":status", b"200")], "out of place", id="a pseudo-header behind others"),
    ],
)
def test_header_lists_that_are_malformed(headers: HeaderList, said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        check_fields(headers, {b":status"})


def test_the_first_of_several_headers_counts() -> None:
    assert header([(b"a", b"1"), (b"a", b"2")], b"a") == b"1"
    assert header([(b"a", b"1")], b"b") is None


@pytest.mark.parametrize(
    "value, is_grpc",
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;charset=utf-8", True),
        (b"application/grpc+proto ; a=b", True),
        (b"Application/GRPC", True),
        (None, False),
        (b"", False),
        (b"application/grpc+json", False),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"application/grpcx", False),
        (b"application/json", False),
        (b"text/html", False),
        (b" application/grpc", False),
    ],
)
def test_content_types(value: bytes | None, is_grpc: bool) -> None:
    assert is_grpc_content_type(value) is is_grpc


# grpc-timeout


@pytest.mark.parametrize(
    "seconds, value",
    [
        pytest.param(0, "1n", id="nothing left"),
        pytest.param(-5, "1n", id="less than nothing left"),
        pytest.param(1e-9, "1n", id="a nanosecond"),
        pytest.param(1.5e-9, "2n", id="rounded up"),
        pytest.param(0.0999, "99900000n", id="eight digits"),
        pytest.param(0.1, "100000u", id="nine digits would be too many"),
        pytest.param(1.5, "1500000u", id="one second and a half"),
        pytest.param(99, "99000000u", id="99 seconds"),
        pytest.param(100, "100000m", id="100 seconds"),
        pytest.param(86_400, "86400000m", id="a day"),
        pytest.param(100_000, "100000S", id="100,000 seconds"),
        pytest.param(1e8, "1666667M", id="minutes"),
        pytest.param(6e9, "1666667H", id="hours"),
        pytest.param(1e15, "99999999H", id="more than can be said"),
        pytest.param(math.inf, "99999999H", id="for ever"),
    ],
)
def test_timeouts_are_written(seconds: float, value: str) -> None:
    assert encode_timeout(seconds) == value


@pytest.mark.parametrize(
    "value, seconds",
    [("1n", 1e-9), ("5u", 5e-6), ("20m", 0.02), ("3S", 3), ("2M", 120), ("1H", 3600), ("00000007S", 7), ("0S", 0)],
)
def test_timeouts_are_read(value: str, seconds: float) -> None:
    assert decode_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", ["", "1", "S", "1s", "1 S", " 1S", "1S ", "1S\n", "-1S", "+1S", "1.5S", "123456789S", "1D", "٣S", "1e3S"]
)
def test_timeouts_that_cannot_be_read(value: str) -> None:
    with pytest.raises(RemoteProtocolError, match="one to eight digits and a unit"):
        decode_timeout(value)


@given(st.floats(min_value=1e-9, max_value=3e11))
def test_a_timeout_is_never_shortened_and_hardly_lengthened(seconds: float) -> None:
    value = encode_timeout(seconds)
    assert len(value) <= 9
    assert seconds * (1 - 1e-12) <= decode_timeout(value) <= seconds * 1.01 + 1e-9


# grpc-message


@pytest.mark.parametrize(
    "message, wire",
    [
        ("", b""),
        ("not found", b"not found"),
        ("100%", b"100%25"),
        ("a\nb", b"a%0Ab"),
        ("naïve ☃", b"na%C3%AFve %E2%98%83"),
        ("~ !", b"~ !"),
        ("\x7f", b"%7F"),
        ("\ud800", b"?"),
    ],
)
def test_messages_are_percent_encoded(message: str, wire: bytes) -> None:
    assert encode_message(message) == wire


@pytest.mark.parametrize(
    "wire, message",
    [
        pytest.param(b"a%20b", "a b", id="escapes that need not be"),
        pytest.param(b"%e2%98%83", "☃", id="small hexadecimal digits"),
        pytest.param(b"100%", "100%", id="percent at the end"),
        pytest.param(b"%4", "%4", id="escape cut short"),
        pytest.param(b"%zz%41", "%zzA", id="no hexadecimal digits"),
        pytest.param(b"%FF", "\ufffd", id="not UTF-8"),
        pytest.param(b"\xe2\x98\x83", "☃", id="UTF-8 that was not encoded"),
    ],
)
def test_messages_are_read_whatever_they_are(wire: bytes, message: str) -> None:
    assert decode_message(wire) == message


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@example("%25%")
def test_messages_come_back(message: str) -> None:
    wire = encode_message(message)
    assert wire.isascii() and wire.decode().isprintable()
    assert decode_message(wire) == message


@given(st.lists(st.one_of(st.binary(), st.sampled_from([b"%", b"%4", b"%41", b"%zz", b"%C3%b6"]))).map(b"".join))
def test_a_message_is_read_as_any_text_with_such_escapes(wire: bytes) -> None:
    assert decode_message(wire) == unquote_to_bytes(wire).decode("utf-8", "replace")


# Header lists that we make


def test_a_request_s_headers_in_their_order() -> None:
    headers = request_headers(
        "/p.S/M",
        authority="h:1",
        scheme="https",
        metadata=[("a", "b")],
        timeout=1.0,
        encoding="gzip",
        accept_encoding="identity,gzip",
        user_agent="puremux/0",
    )
    assert headers == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/p.S/M"),
        (b":authority", b"h:1"),
        (b"te", b"trailers"),
        (b"grpc-timeout", b"1000000u"),
        (b"content-type", b"application/grpc"),
        (b"grpc-encoding", b"gzip"),
        (b"grpc-accept-encoding", b"identity,gzip"),
        (b"user-agent", b"puremux/0"),
        (b"a", b"b"),
    ]


def test_a_request_says_nothing_that_needs_no_saying() -> None:
    headers = request_headers("/p.S/M", authority="h", scheme="http", accept_encoding="")
    assert {name for name, _ in headers} == {b":method", b":scheme", b":path", b":authority", b"te", b"content-type"}


def test_a_call_s_timeout_does_not_push_others_out_of_the_header_table() -> None:
    encoder = Encoder()
    blocks = [
        encoder.encode(request_headers("/p.S/M", authority="h", scheme="http", timeout=seconds))
        for seconds in range(1, 9)
    ]
    assert {len(block) for block in blocks[1:]} < set(range(32))
    assert not any(name == b"grpc-timeout" for name, _ in encoder.header_table.dynamic_entries)


@pytest.mark.parametrize("path", ["", "p.S/M", "/p S/M", "/p\n", "/ä", "/p\0", "http://h/p"])
def test_paths_that_cannot_be_sent(path: str) -> None:
    with pytest.raises(ValueError, match="not of the form /package.Service/Method"):
        check_path(path)


def test_a_response_and_its_trailers() -> None:
    assert response_headers([("a", "b")], "gzip") == [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        (b"grpc-encoding", b"gzip"),
        (b"a", b"b"),
    ]
    assert trailers(5, "no ☃", [("a-bin", b"\0")]) == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"no %E2%98%83"),
        (b"a-bin", b"AA"),
    ]
    assert trailers(0) == [(b"grpc-status", b"0")]
