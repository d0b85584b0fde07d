"""The background color of a page, read as a browser would paint it.

The pages are those of the tutorial's family: the color stands in an inline style of `<body>`, or
of the element that is called `color`; style sheets have background colors of their own, for
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

from collections.abc import Iterable
from dataclasses import dataclass

import tinycss2
from selectolax.lexbor import LexborHTMLParser, LexborNode

from trafficsplit.identify.color import color_name


def background(page: bytes) -> str | None:
    """The name of the page's background color, None where it has none. Parses the whole page."""
    try:
        return _background(LexborHTMLParser(page))
    except RecursionError:  # a style of a thousand nested brackets paints nothing either
        return None


def _background(tree: LexborHTMLParser) -> str | None:
    called_color = tree.css("[id=color]") + tree.css("[name=color]")
    if color := _first(map(_inline, called_color)):
        return color
    rules = _rules(tree)
    if color := _first(_by_rules(node, rules) for node in called_color):
        return color
    roots = [node for node in (tree.body, tree.root) if node is not None]
    if color := _first(map(_inline, [*roots, *tree.css("[style]")])):
        return color
    return _first(_by_rules(node, rules) for node in roots)


def _first(colors: Iterable[str | None]) -> str | None:
    return next((color for color in colors if color), None)


def _inline(node: LexborNode) -> str | None:
    style = node.attributes.get("style")
    return _declared(style) if style else None


def _declared(declarations: str | list[object]) -> str | None:
    """The background color of a declaration block: the last valid one, important ones first."""
    found: dict[bool, str] = {}
    for item in tinycss2.parse_declaration_list(declarations, skip_comments=True):
        if item.type != "declaration" or item.lower_name not in {"background-color", "background"}:
            continue
        # The shorthand may hold an image, a position: its color is the one token that is one.
        candidates = (
            [tinycss2.serialize(item.value)]
            if item.lower_name == "background-color"
            else [tinycss2.serialize([token]) for token in item.value]
        )
        if color := _first(color_name(text.strip()) for text in candidates):
            found[item.important] = color
    return found.get(True) or found.get(False)


@dataclass(frozen=True)
class _Rule:
    selector: str
    specificity: tuple[int, int, int]
    color: str


def _rules(tree: LexborHTMLParser) -> list[_Rule]:
    """The style sheets' rules with a background color, the strongest first."""
    rules: list[_Rule] = []
    for sheet in tree.css("style"):
        for rule in tinycss2.parse_stylesheet(sheet.text(), skip_comments=True):
            if rule.type != "qualified-rule" or not (color := _declared(rule.content)):
                continue
            for selector in _selectors(rule.prelude):
                text = tinycss2.serialize(selector).strip()
                rules.append(_Rule(text, _specificity(selector), color))
    # Of equally specific ones the last wins; the sort is stable.
    rules.reverse()
    rules.sort(key=lambda rule: rule.specificity, reverse=True)
    return rules


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
                return rule.color
        except ValueError:  # a selector that Lexbor does not know cannot be the page's background
            continue
    return None


# --- pages of a known shape ---------------------------------------------------------------------

# Between `<` and `>` of these, text is text: it opens and closes nothing, and no parser moves it
# elsewhere (as it does out of a table).
_TEXT_HOLDERS = {
    "textarea", "title", "pre", "p", "div", "span", "td", "th", "li", "dd", "dt", "h1", "h2", "h3",
    "h4", "h5", "h6", "code", "samp", "b", "i", "em", "strong", "a", "label", "section", "article",
    "main", "footer", "header", "body", "small",
}  # fmt: skip


@dataclass(frozen=True)
class _Shape:
    """All pages that are `head`, then each of `tails` behind a gap without `<`: one background."""

    head: bytes
    tails: tuple[bytes, ...]
    color: str | None


class PageReader:
    """Reads backgrounds as `background` does, and pages of a shape seen before much faster.

    The pages of one run differ in a few places only: the request that they repeat. A shape is a
    page of which some stretches may differ. A page without gaps is one; where two pages of one
    color differ, the gaps are shown, by parsing the page with a word in each, to be text of
    elements (`_TEXT_HOLDERS`). There the HTML tokeniser leaves its text state by `<` alone (HTML
    standard, 13.2.5.1 and .2), so any stretch without a `<` gives the same elements with the same
    attributes, and so the same background. A gap therefore ends at the next `<`, and a page is
    known by one search and one comparison for each.

    Memory is bounded: the last `shapes` shapes are kept.
    """

    def __init__(self, shapes: int = 32) -> None:
        self._limit = shapes
        self._shapes: list[_Shape] = []
        self.parsed = 0  # how often the parser had to be asked

    def background(self, page: bytes) -> str | None:
        """The name of the page's background color, None where it has none."""
        for shape in self._shapes:
            if not page.startswith(shape.head):
                continue
            at = len(shape.head)
            for tail in shape.tails:
                at = page.find(b"<", at)
                if at < 0 or not page.startswith(tail, at):
                    break
                at += len(tail)
            else:
                if at == len(page):
                    return shape.color
        self.parsed += 1
        color = background(page)
        self._learn(page, color)
        return color

    def _learn(self, page: bytes, color: str | None) -> None:
        for known in self._shapes:
            if not known.tails and known.color == color:
                shape = _shape(known.head, page, color)
                if shape:
                    self._shapes[self._shapes.index(known)] = shape
                    return
        self._shapes = [_Shape(page, (), color), *self._shapes][: self._limit]


def _shape(one: bytes, other: bytes, color: str | None) -> _Shape | None:
    """The shape of two pages, None where it cannot be shown to have one color."""
    parts, others = one.split(b"<"), other.split(b"<")
    if len(parts) != len(others):
        return None
    literals: list[bytes] = [b""]
    for index, (part, its_twin) in enumerate(zip(parts, others, strict=True)):
        opening = b"<" if index else b""
        if part == its_twin:
            literals[-1] += opening + part
            continue
        # The gap is the whole text behind the tag: nothing is half open at its start.
        tag, closed, _ = part.partition(b">")
        if not closed or not its_twin.startswith(tag + closed):
            return None
        tag += closed
        literals[-1] += opening + tag
        literals.append(b"")
    head, *tails = literals
    words = [f"gap{gap}text" for gap in range(len(tails))]
    # The one element that looks back at what text came before, and a page that ends in a gap.
    if b"<frameset" in one.lower() or not tails[-1]:
        return None
    filled = head + b"".join(w.encode() + t for w, t in zip(words, tails, strict=True))
    tree = LexborHTMLParser(filled)
    held = [
        node.text(deep=False).strip()
        for node in (tree.root.traverse(include_text=True) if tree.root else ())
        if node.tag == "-text" and node.parent and node.parent.tag in _TEXT_HOLDERS
    ]
    if any(held.count(word) != 1 for word in words) or _background(tree) != color:
        return None
    return _Shape(head, tuple(tails), color)
