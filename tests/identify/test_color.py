"""CSS colors to names, and to hex digits."""

from __future__ import annotations

import subprocess
import sys

import pytest
from coloraide import Color

from trafficsplit.identify.color import BASIC, color_name, hex_of


@pytest.mark.parametrize("name", BASIC)
def test_what_is_known_is_what_the_library_says(name: str) -> None:
    color = Color(name)
    assert color_name(name) == color.to_string(hex=True, names=True) == name
    assert hex_of(name) == color.to_string(hex=True, names=False) == BASIC[name]


@pytest.mark.parametrize(
    ("text", "name", "digits"),
    [
        (" Green ", "green", "#008000"),
        ("#008000", "green", "#008000"),
        ("rgb(0, 128, 0)", "green", "#008000"),
        ("#0000ff", "blue", "#0000ff"),
        ("rebeccapurple", "rebeccapurple", "#663399"),
        ("#123456", "#123456", "#123456"),
        ("transparent", None, None),
        ("var(--x)", None, None),
        ("no color", None, None),
        ("", None, None),
    ],
)
def test_any_notation_has_one_name(text: str, name: str | None, digits: str | None) -> None:
    assert color_name(text) == name
    assert hex_of(text) == digits


def test_a_common_name_does_not_import_the_library() -> None:
    code = (
        "import sys; from trafficsplit.identify.color import color_name; "
        "assert color_name('green') == 'green'; sys.exit('coloraide' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
