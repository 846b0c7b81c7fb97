"""What pages make of hostile texts and of figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puremux.zpages.text import clock_time, cut, day_time, duration, number, size, visible


@pytest.mark.parametrize(
    "text, shown",
    [
        pytest.param("GET /cart", "GET /cart", id="an ordinary name"),
        pytest.param("<script>", "<script>", id="escaping is not done here"),
        pytest.param("tab\there", "tab⟨U+0009⟩here", id="a control character"),
        pytest.param("\x1b[31m", "⟨U+001B⟩[31m", id="a terminal's escape"),
        pytest.param("\u202egnp.exe", "⟨U+202E⟩gnp.exe", id="right-to-left override"),
        pytest.param("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩", id="isolates"),
        pytest.param("a\ud800b", "a⟨U+D800⟩b", id="half of a surrogate pair"),
        pytest.param("a\u200bb\ufeff", "a⟨U+200B⟩b⟨U+FEFF⟩", id="what cannot be seen"),
        pytest.param("שלום", "שלום", id="a right-to-left language"),
        pytest.param("می\u200cخواهم", "می\u200cخواهم", id="a joiner that a language needs"),
        pytest.param("a\u00a0b", "a\u00a0b", id="another space"),
        pytest.param("a\u2028b", "a⟨U+2028⟩b", id="a line separator"),
    ],
)
def test_nothing_hides_in_a_text(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_a_text_has_it_can_be_written_as_utf_8_and_is_on_one_line(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def test_a_long_text_is_cut() -> None:
    assert cut("x" * 10_000, 60) == ("x" * 60, 9940)
    assert cut("short", 60) == ("short", 0)


@pytest.mark.parametrize(
    "nanoseconds, shown",
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (12_345, "12.3 µs"),
        (1_234_567, "1.23 ms"),
        (123_456_789, "123 ms"),
        (59_999_000_000, "60.0 s"),
        (125e9, "2 min 5 s"),
        (7_300e9, "2 h 1 min"),
    ],
)
def test_durations(nanoseconds: float, shown: str) -> None:
    assert duration(nanoseconds) == shown


@pytest.mark.parametrize(
    "count, shown",
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.50 KiB"), (5 * 1024**2, "5.00 MiB"), (1024**5, "1024 TiB")],
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    "value, shown",
    [
        (0, "0"),
        (12345, "12,345"),
        (-3.0, "-3"),
        (0.03125, "0.03125"),
        (498.4937, "498.49"),
        (1617612.0000001, "1,617,612"),
        (1.5e20, "1.5e+20"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown


def test_moments() -> None:
    assert day_time(1_764_000_000_123_456_789) == "2025-11-24 16:00:00.123456"
    assert day_time(-(10**25)) == "-10000000000000000000000000 ns since 1970"
    assert clock_time(0) == "00:00:00"
