import re

from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.identify.color import hex_of
from trafficsplit.report.colors import INK, PALETTE, styles

names = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=12)


@given(names)
def test_every_variant_can_be_drawn(variants: list[str]) -> None:
    found = styles(variants)
    assert list(found) == variants
    for style in found.values():
        assert re.fullmatch("#[0-9a-fA-F]{6}", style.color)
        assert re.fullmatch("#[0-9a-fA-F]{6}", style.outline)


def test_variants_differ_by_more_than_color() -> None:
    found = styles(["blue", "green", "v3"])
    for name in ("mark", "line", "hatch"):
        assert len({getattr(style, name) for style in found.values()}) == 3


def test_a_variant_that_is_called_a_color_has_it() -> None:
    found = styles(["blue", "v2", "green"])
    assert found["blue"].color == hex_of("blue")
    assert found["green"].color == hex_of("green")
    assert found["v2"].color == PALETTE[1]


def test_what_is_pale_has_an_outline_that_can_be_read() -> None:
    found = styles(["white", "yellow", "lime", "blue"])
    for name in ("white", "yellow", "lime"):
        assert found[name].outline == INK
    assert found["blue"].outline == found["blue"].color
