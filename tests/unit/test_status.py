"""Status codes: gRPC's numbers, and what HTTP and HTTP/2 become."""

from __future__ import annotations

import grpc
import pytest
from h2.errors import ErrorCodes
from hypothesis import example, given
from hypothesis import strategies as st

from puremux.status import StatusCode, code_for_http_status, code_for_reset, code_from_wire


def test_names_and_numbers_are_those_of_grpcio() -> None:
    assert {code.name: int(code) for code in StatusCode} == {code.name: code.value[0] for code in grpc.StatusCode}


def test_a_code_prints_as_grpcio_s_does() -> None:
    code = StatusCode.UNAVAILABLE
    assert f"{code} {code:d} {code!s:>24}" == "StatusCode.UNAVAILABLE 14   StatusCode.UNAVAILABLE"


@pytest.mark.parametrize(
    "status, code",
    [
        pytest.param(200, "UNKNOWN", id="OK, but no grpc-status"),
        pytest.param(400, "INTERNAL", id="Bad Request"),
        pytest.param(401, "UNAUTHENTICATED", id="Unauthorized"),
        pytest.param(403, "PERMISSION_DENIED", id="Forbidden"),
        pytest.param(404, "UNIMPLEMENTED", id="Not Found"),
        pytest.param(409, "UNKNOWN", id="Conflict is not listed"),
        pytest.param(415, "UNKNOWN", id="Unsupported Media Type is not listed"),
        pytest.param(429, "UNAVAILABLE", id="Too Many Requests"),
        pytest.param(500, "UNKNOWN", id="Internal Server Error is not listed"),
        pytest.param(502, "UNAVAILABLE", id="Bad Gateway"),
        pytest.param(503, "UNAVAILABLE", id="Service Unavailable"),
        pytest.param(504, "UNAVAILABLE", id="Gateway Timeout"),
        pytest.param(800, "UNKNOWN", id="no such status"),
    ],
)
def test_an_answer_that_is_plain_http(status: int, code: str) -> None:
    assert code_for_http_status(status).name == code


@pytest.mark.parametrize(
    "error, code",
    [
        *(pytest.param(error, "INTERNAL", id=error.name) for error in list(ErrorCodes)[:7]),
        pytest.param(ErrorCodes.REFUSED_STREAM, "UNAVAILABLE", id="REFUSED_STREAM"),
        pytest.param(ErrorCodes.CANCEL, "CANCELLED", id="CANCEL"),
        pytest.param(ErrorCodes.COMPRESSION_ERROR, "INTERNAL", id="COMPRESSION_ERROR"),
        pytest.param(ErrorCodes.CONNECT_ERROR, "INTERNAL", id="CONNECT_ERROR"),
        pytest.param(ErrorCodes.ENHANCE_YOUR_CALM, "RESOURCE_EXHAUSTED", id="ENHANCE_YOUR_CALM"),
        pytest.param(ErrorCodes.INADEQUATE_SECURITY, "PERMISSION_DENIED", id="INADEQUATE_SECURITY"),
        pytest.param(ErrorCodes.HTTP_1_1_REQUIRED, "INTERNAL", id="HTTP_1_1_REQUIRED"),
        pytest.param(0xBEEF, "INTERNAL", id="a code that nobody knows"),
    ],
)
def test_a_stream_that_the_peer_resets(error: int, code: str) -> None:
    assert code_for_reset(error).name == code


@given(st.sampled_from(StatusCode))
def test_every_code_is_read_from_the_wire(code: StatusCode) -> None:
    assert code_from_wire(str(int(code))) is code


@given(st.text(alphabet="0123456789 +-.eE\x00x²٣"))
@example("")
@example("17")
@example("-1")
@example(" 0")
@example("0 ")
@example("+0")
@example("0x0")
@example("000")
@example("1_0")
@example("²")
@example("٣")
@example("9" * 5_000)
def test_what_is_no_known_number_is_unknown(value: str) -> None:
    plain = value in {f"{number:d}" for number in range(17)} | {f"{number:02d}" for number in range(17)}
    assert plain or code_from_wire(value) is StatusCode.UNKNOWN
