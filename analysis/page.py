"""The background colour of a page, read as a browser would paint it.

The pages are those of the tutorial's family: the colour stands in an inline style of `<body>`, or
of the element that is called `color`; style sheets have background colours of their own, for
decoration; and the request is repeated in the page, so that anything a client sends comes back in
it. The judge is a real HTML parser (Lexbor): text that merely looks like a style is no style.

Which element counts, in this order:

1. the one called color (id, else name), by its inline style, else by a style sheet;
2. an inline style of body, of html, then of any other element, in the order of the document;
3. a style sheet's rule for body, or for html.

Within each, the first in the document wins, so that markup which a request smuggles into a page
that does not escape it stands behind the page's own and changes nothing.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from dataclasses import dataclass

import tinycss2
from selectolax.lexbor import LexborHTMLParser, LexborNode

from analysis.colour import colour_name


def background(page: bytes) -> str | None:
    """The name of the page's background colour, None where it has none. Parses the whole page."""
    try:
        return _background(LexborHTMLParser(page))
    except RecursionError:  # a style of a thousand nested brackets paints nothing either
        return None


def _background(tree: LexborHTMLParser) -> str | None:
    called_color = tree.css("[id=color]") + tree.css("[name=color]")
    if colour := _first(map(_inline, called_color)):
        return colour
    rules = _rules(tree)
    if colour := _first(_by_rules(node, rules) for node in called_color):
        return colour
    roots = [node for node in (tree.body, tree.root) if node is not None]
    if colour := _first(map(_inline, [*roots, *tree.css("[style]")])):
        return colour
    return _first(_by_rules(node, rules) for node in roots)


def _first(colours: Iterable[str | None]) -> str | None:
    return next((colour for colour in colours if colour), None)


def _inline(node: LexborNode) -> str | None:
    style = node.attributes.get("style")
    return _declared(style) if style else None


def _declared(declarations: str | list[object]) -> str | None:
    """The background colour of a declaration block: the last valid one, important ones first."""
    found: dict[bool, str] = {}
    for item in tinycss2.parse_declaration_list(declarations, skip_comments=True):
        if item.type != "declaration" or item.lower_name not in {"background-color", "background"}:
            continue
        # The shorthand may hold an image, a position: its colour is the one token that is one.
        candidates = (
            [tinycss2.serialize(item.value)]
            if item.lower_name == "background-color"
            else [tinycss2.serialize([token]) for token in item.value]
        )
        if colour := _first(colour_name(text.strip()) for text in candidates):
            found[item.important] = colour
    return found.get(True) or found.get(False)


@dataclass(frozen=True)
class _Rule:
    selector: str
    specificity: tuple[int, int, int]
    colour: str


def _rules(tree: LexborHTMLParser) -> list[_Rule]:
    """The style sheets' rules with a background colour, the strongest first."""
    rules: list[_Rule] = []
    for sheet in tree.css("style"):
        for rule in tinycss2.parse_stylesheet(sheet.text(), skip_comments=True):
            if rule.type != "qualified-rule" or not (colour := _declared(rule.content)):
                continue
            for selector in _selectors(rule.prelude):
                text = tinycss2.serialize(selector).strip()
                rules.append(_Rule(text, _specificity(selector), colour))
    # Of equally specific ones the last wins; the sort is stable.
    return sorted(reversed(rules), key=lambda rule: rule.specificity, reverse=True)


def _selectors(prelude: list[object]) -> list[list[object]]:
    selectors: list[list[object]] = [[]]
    for token in prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def _specificity(selector: list[object]) -> tuple[int, int, int]:
    """Ids, classes with attributes, and types: Selectors Level 4, section 17, without functions."""
    ids = classes = types = 0
    previous: object = None
    for token in selector:
        kind = getattr(token, "type", "")
        ids += kind == "hash"
        classes += kind == "[] block" or (kind == "ident" and previous in (".", ":"))
        types += kind == "ident" and previous not in (".", ":")
        previous = token
    return ids, classes, types


def _by_rules(node: LexborNode, rules: list[_Rule]) -> str | None:
    for rule in rules:
        try:
            if rule.selector and node.css_matches(rule.selector):
                return rule.colour
        except ValueError:  # a selector that Lexbor does not know cannot be the page's background
            continue
    return None


# --- pages of a known shape ---------------------------------------------------------------------

# Between `<` and `>` of these, text is text: it opens and closes nothing, and no parser moves it
# elsewhere (as it does out of a table).
_TEXT_HOLDERS = frozenset(
    "textarea title pre p div span td th li dd dt h1 h2 h3 h4 h5 h6 code samp b i em strong a "
    "label section article main footer header body small".split()
)
_SENTINEL = "sentinel0text"


@dataclass(frozen=True)
class _Shape:
    """All pages `head` + text without `<` + `tail`, which have one background."""

    head: bytes
    tail: bytes
    colour: str | None


class PageReader:
    """Reads backgrounds as `background` does, and pages of a shape seen before much faster.

    The pages of one run differ in a few places only: the request that they repeat. Where two
    pages of one colour differ in one stretch, that stretch is shown, by parsing the page with a
    word in its place, to be the text of an element (`_TEXT_HOLDERS`). There the HTML tokeniser
    leaves its text state by `<` alone (HTML standard, 13.2.5.1 and .2), so any stretch without a
    `<` gives the same elements with the same attributes and so the same background. That is
    checked for every page by two comparisons and one search for a byte.

    Memory is bounded: `shapes` shapes and as many pages are kept.
    """

    def __init__(self, shapes: int = 32) -> None:
        self._limit = shapes
        self._shapes: list[_Shape] = []
        self._pages: list[tuple[bytes, str | None]] = []
        self.parsed = 0  # how often the parser had to be asked

    def background(self, page: bytes) -> str | None:
        """The name of the page's background colour, None where it has none."""
        for shape in self._shapes:
            head, tail = shape.head, shape.tail
            if (
                page.startswith(head)
                and page.endswith(tail)
                and len(page) >= len(head) + len(tail)
                and page.find(b"<", len(head), len(page) - len(tail)) < 0
            ):
                return shape.colour
        self.parsed += 1
        colour = background(page)
        self._learn(page, colour)
        return colour

    def _learn(self, page: bytes, colour: str | None) -> None:
        for known, known_colour in self._pages:
            shape = _shape(known, page, colour) if known_colour == colour else None
            if shape:
                self._shapes = [shape, *self._shapes][: self._limit]
                return
        self._pages = [(page, colour), *self._pages][: self._limit]


def _shape(one: bytes, other: bytes, colour: str | None) -> _Shape | None:
    """The shape of two pages, None where it cannot be shown to have one colour."""
    prefix = len(os.path.commonprefix([one, other]))
    # The stretch is widened to the whole text between two tags: nothing is half open at its start.
    head = one[: one.rfind(b">", 0, prefix) + 1]
    rest_one, rest_other = one[len(head) :], other[len(head) :]
    suffix = len(os.path.commonprefix([rest_one[::-1], rest_other[::-1]]))
    cut = rest_one.find(b"<", len(rest_one) - suffix)
    if not head or cut < 0:
        return None
    tail = rest_one[cut:]
    if b"<" in rest_one[:cut] or b"<" in rest_other[: len(rest_other) - len(tail)]:
        return None
    if b"<frameset" in tail.lower():  # the one element that looks back at what text came before
        return None
    tree = LexborHTMLParser(head + _SENTINEL.encode() + tail)
    holders = [
        node.parent.tag
        for node in tree.root.traverse(include_text=True)
        if node.tag == "-text" and node.parent and node.text(deep=False).strip() == _SENTINEL
    ] if tree.root else []
    if len(holders) != 1 or holders[0] not in _TEXT_HOLDERS or _background(tree) != colour:
        return None
    return _Shape(head, tail, colour)
