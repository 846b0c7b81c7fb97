"""The tree of errors: one root, plain values, and every error survives pickle and copy."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from puremux import errors
from puremux.errors import (
    AddressError,
    ConnectError,
    FutureCancelledError,
    FutureTimeoutError,
    LocalProtocolError,
    MessageError,
    ProtocolError,
    PuremuxError,
    RemoteProtocolError,
    RpcError,
    TlsError,
)
from puremux.status import StatusCode

EXAMPLES = [
    pytest.param(AddressError("no address"), "no address", id="AddressError"),
    pytest.param(LocalProtocolError("not now"), "not now", id="LocalProtocolError"),
    pytest.param(RemoteProtocolError("not HTTP/2", 9), "not HTTP/2", id="RemoteProtocolError"),
    pytest.param(MessageError(StatusCode.DATA_LOSS, "cut short"), "cut short", id="MessageError"),
    pytest.param(ConnectError("a:1", "nobody listens"), "nobody listens", id="ConnectError"),
    pytest.param(TlsError("a:1", "expired"), "expired", id="TlsError"),
    pytest.param(RpcError(StatusCode.ABORTED, "again"), "ABORTED: again", id="RpcError"),
    pytest.param(RpcError(StatusCode.ABORTED), "ABORTED", id="RpcError without details"),
    pytest.param(
        RpcError(StatusCode.ABORTED, "x", [("a", "b")], [("c-bin", b"d")]), "ABORTED: x", id="RpcError, whole"
    ),
    pytest.param(FutureTimeoutError("late"), "late", id="FutureTimeoutError"),
    pytest.param(FutureCancelledError(), "", id="FutureCancelledError"),
]


def all_errors() -> list[type[BaseException]]:
    return [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, BaseException)]


@pytest.mark.parametrize("error, text", EXAMPLES)
@pytest.mark.parametrize(
    "again",
    [
        pytest.param(lambda error: pickle.loads(pickle.dumps(error)), id="pickled"),
        pytest.param(copy.deepcopy, id="copied"),
    ],
)
def test_an_error_keeps_its_values(error: Exception, text: str, again) -> None:
    twin = again(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error) == text
    assert twin.args == error.args
    assert vars(twin) == vars(error)


def test_everything_has_one_root_and_is_exported() -> None:
    for error in all_errors():
        assert issubclass(error, PuremuxError)
        assert error.__name__ in errors.__all__


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    depths = {line.split("──")[-1].split()[0]: line.index("──") // 4 for line in drawn}
    assert set(depths) == {each.__name__ for each in all_errors()} - {"PuremuxError"}
    for error in all_errors():
        if error is not PuremuxError:
            ancestors = [each for each in error.__mro__ if issubclass(each, PuremuxError)]
            assert depths[error.__name__] == len(ancestors) - 1


@pytest.mark.parametrize(
    "error, builtin",
    [
        pytest.param(AddressError, ValueError, id="an address that cannot be read is a ValueError"),
        pytest.param(FutureTimeoutError, TimeoutError, id="a wait that took too long is a TimeoutError"),
    ],
)
def test_errors_that_python_has_a_word_for(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


def test_a_protocol_error_says_its_http2_code() -> None:
    assert ProtocolError("x").error_code == 1
    assert ProtocolError("x", 11).error_code == 11


def test_a_call_s_error_is_read_by_grpcio_s_methods() -> None:
    error = RpcError(StatusCode.NOT_FOUND, "no such thing", [("a", "1")], [("b-bin", b"\0")])
    assert error.code() is StatusCode.NOT_FOUND
    assert error.details() == "no such thing"
    assert error.initial_metadata() == (("a", "1"),)
    assert error.trailing_metadata() == (("b-bin", b"\0"),)
