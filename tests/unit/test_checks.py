"""What options are refused for, and in which words."""

from __future__ import annotations

import math
from fractions import Fraction
from numbers import Integral
from typing import Any, Callable

import pytest

from puremux.checks import (
    check_flags,
    check_functions,
    check_kinds,
    check_numbers,
    check_whole_numbers,
    checked_timeout,
)


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "check, words",
    [
        pytest.param(
            lambda: check_numbers("seconds", wait=0), "wait takes a number of seconds above zero, not 0", id="0"
        ),
        pytest.param(lambda: check_numbers("seconds", wait=math.nan), "wait .* above zero, not nan", id="NaN"),
        pytest.param(lambda: check_numbers("seconds", wait=10**400), "larger than a float can be", id="huge"),
        pytest.param(
            lambda: check_numbers("seconds", wait=None), "wait takes a number of seconds, not None", id="None"
        ),
        pytest.param(lambda: check_numbers("s", or_none=True, wait="1"), "wait .* or None, not '1'", id="text"),
        pytest.param(lambda: check_numbers("s", wait=1, more=-1), "more takes", id="the second of two"),
        pytest.param(lambda: check_whole_numbers(1, size=0), "size takes a whole number above zero, not 0", id="none"),
        pytest.param(lambda: check_whole_numbers(0, size=-1), "size takes a whole number from 0 up, not -1", id="less"),
        pytest.param(lambda: check_whole_numbers(1, size=1.0), "size takes a whole number, not 1.0", id="a float"),
        pytest.param(
            lambda: check_whole_numbers(1, size=-(10**5000)),
            "not something of type int",
            id="more digits than are written",
        ),
        pytest.param(lambda: check_flags(insecure="no"), "insecure takes True, False or None, not 'no'", id="flag"),
        pytest.param(lambda: check_kinds(str, name=Mute()), "name takes str or None, not <Mute instance", id="mute"),
        pytest.param(lambda: check_functions(tap=7), "tap takes something to call or None, not 7", id="function"),
        pytest.param(lambda: checked_timeout("1"), "timeout takes a number of seconds or None", id="timeout"),  # type: ignore[arg-type]
        pytest.param(lambda: checked_timeout(math.nan), "NaN is none", id="timeout that is no number"),
    ],
)
def test_the_sentence_names_the_option(check: Callable[[], object], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        check()
    assert len(str(caught.value)) < 200


class Whole(Fraction):
    """A whole number that is no int, as numpy's are."""


Integral.register(Whole)


def test_what_fits_passes() -> None:
    check_numbers("seconds", a=1, b=0.5, c=math.inf, d=Fraction(1, 3), e=True)
    check_numbers("seconds", or_none=True, a=None)
    check_whole_numbers(0, or_none=True, a=0, b=None, c=2**70, d=Whole(7))
    check_flags(a=True, b=False, c=None)
    check_kinds(str, a="", b=None)
    check_functions(a=print, b=None)


@pytest.mark.parametrize(
    "given, seconds", [(None, None), (math.inf, None), (10**400, None), (-(10**400), -math.inf), (3, 3.0), (-1, -1.0)]
)
def test_a_timeout_becomes_seconds_or_endlessly_many(given: Any, seconds: float | None) -> None:
    assert checked_timeout(given) == seconds
