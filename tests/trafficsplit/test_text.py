import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.text import one_line, percent


@given(st.text(), st.integers(1, 50))
def test_any_text_is_one_printable_line(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line) <= most
    assert line.isprintable()
    assert line == line.strip()
    assert one_line(line, most) == line


@given(st.text(st.characters(categories=["L", "N", "P"], exclude_characters="#:")))
def test_a_short_line_stays_as_it_is(text: str) -> None:
    assert one_line(text, len(text) + 1) == text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("##[error]no", "# #[error]no"),
        ("a ##vso[task.setvariable]x", "a # #vso[task.setvariable]x"),
        ("##[group]a ##[endgroup]", "# #[group]a # #[endgroup]"),
        ("::error file=a::no", ": :error file=a::no"),
        ("x ::set-output name=a::b", "x : :set-output name=a::b"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("std::vector", "std::vector"),
        ("## a heading", "## a heading"),
    ],
)
def test_what_a_gateway_says_is_no_command_to_a_runner(said: str, shown: str) -> None:
    assert one_line(said) == shown


def test_what_is_cut_says_so() -> None:
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"
    assert one_line(" a\r\n\tb\x1b[31mc ") == "a b [31mc"


@pytest.mark.parametrize(
    ("fraction", "digits", "said"),
    [(0.25, 2, "25.00 %"), (0.12345, 1, "12.3 %"), (0.0, 0, "0 %"), (None, 2, "–")],
)
def test_fractions_are_shown_in_per_cent(fraction: float | None, digits: int, said: str) -> None:
    assert percent(fraction, digits) == said
