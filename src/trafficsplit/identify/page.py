"""The background color of a page, read as a browser would paint it.

The pages are those of the tutorial's family. The color stands in an inline style of `<body>`, or of
the element that is called `color`. Style sheets have background colors of their own, for
decoration. The page repeats the request, so anything that a client sends comes back in it. A real
HTML parser (Lexbor) decides what is a style: text that merely looks like one is none.

These elements count, in this order:

1. the one called color (id, else name);
2. body, then html;
3. the outermost box that fills most of the page, then any other element with a style of its own, in
   the order of the document.

An element's own style comes before a style sheet's rules for it. Within each, the first in the
document wins. A request may smuggle markup into a page that does not escape it; such markup stands
behind the page's own and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from trafficsplit.identify.styles import Styles

LARGEST = 512 * 1024  # bytes of a page that are read: what colors it stands at its beginning
DEEPEST = 1000  # elements within elements; Lexbor takes seconds for 20,000
MOST_BOXES = 8  # around one another, that may fill a page
MOST_STYLED = 200  # elements with a style of their own that are asked
TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^>]*?(/?)>")
# Elements that hold nothing, or that their next sibling closes: they are not within one another.
FLAT = frozenset(
    b"area base br col embed hr img input link meta param source track wbr p li dt dd tr td th "
    b"option thead tbody tfoot".split()
)


def background(page: bytes) -> str | None:
    """Return the name of a page's background color, None where it has none, or is too deep.

    Parses the page, as far as `LARGEST`.
    """
    page = page[:LARGEST]
    if _is_too_deep(page):
        return None
    return _background(LexborHTMLParser(page))


def _is_too_deep(page: bytes) -> bool:
    """Return whether elements stand within one another more than `DEEPEST` deep."""
    if page.count(b"<") <= DEEPEST:
        return False
    depth = 0
    for closing, name, closed in TAG.findall(page):
        if name.lower() in FLAT or closed:
            continue
        depth += -1 if closing else 1
        if depth > DEEPEST:
            return True
    return False


def _background(tree: LexborHTMLParser) -> str | None:
    try:
        return _decisive_color(tree)
    except RecursionError:  # a style of a thousand nested brackets paints nothing either
        return None


def _decisive_color(tree: LexborHTMLParser) -> str | None:
    """Return the color of the first element that counts, in the order of this module."""
    roots = [node for node in (tree.root, tree.body) if node is not None]
    styles = Styles((sheet.text() for sheet in tree.css("style")), roots)
    called_color = tree.css("[id=color]") + tree.css("[name=color]")
    if color := _first(map(styles.color, called_color)):
        return color
    if color := _first(map(styles.color, reversed(roots))):
        return color
    if color := _first(map(styles.color, _filling(tree))):
        return color
    return _first(map(styles.inline_color, tree.css("[style]")[:MOST_STYLED]))


def _first(colors: Iterable[str | None]) -> str | None:
    return next(filter(None, colors), None)


def _filling(tree: LexborHTMLParser) -> Iterator[LexborNode]:
    """Yield the boxes that each hold most of what the one around it does, from the body inwards."""
    node = tree.body
    for _ in range(MOST_BOXES):
        if node is None:
            return
        boxes = [child for child in node.iter() if child.tag not in NO_BOXES]
        if not boxes:
            return
        sizes = [len(box.html or "") for box in boxes]
        largest = max(sizes)
        if 2 * largest < sum(sizes):
            return
        node = boxes[sizes.index(largest)]
        yield node


NO_BOXES = {"script", "style", "template", "link", "meta", "noscript", "title", "head"}


# --- pages of a known shape ---------------------------------------------------------------------

# Between `<` and `>` of these, text is text: it opens and closes nothing, and no parser moves it
# elsewhere (as it does out of a table).
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6", "title"}
_BLOCKS = {"article", "body", "div", "footer", "header", "main", "p", "pre", "section", "textarea"}
_CELLS_AND_ITEMS = {"dd", "dt", "li", "td", "th"}
_INLINE = {"a", "b", "code", "em", "i", "label", "samp", "small", "span", "strong"}
_TEXT_HOLDERS = _HEADINGS | _BLOCKS | _CELLS_AND_ITEMS | _INLINE


@dataclass(frozen=True)
class _Shape:
    """All pages that are `head`, then each of `tails` behind a gap without `<`: one background."""

    head: bytes
    tails: tuple[bytes, ...]
    color: str | None


class PageReader:
    """Reads backgrounds as `background` does, and pages of a shape seen before much faster.

    The pages of one run differ in a few places only: the request that they repeat. A shape is a
    page of which some stretches, its gaps, may differ; a page without gaps is one too.

    Two pages of one color make a shape with gaps where they differ, if each gap is shown to be text
    of an element (`_TEXT_HOLDERS`), by parsing the page with a word in it. There the HTML tokeniser
    leaves its text state by `<` alone (HTML standard, 13.2.5.1 and .2), so any stretch without a
    `<` gives the same elements with the same attributes, and so the same background. A gap
    therefore ends at the next `<`, and one search and one comparison for each gap recognise a page.

    Memory is bounded: the last `shapes` shapes are kept.
    """

    def __init__(self, shapes: int = 32) -> None:
        self._limit = shapes
        self._shapes: list[_Shape] = []
        self.parsed = 0  # how often a page had to be parsed

    def background(self, page: bytes) -> str | None:
        """Return the name of a page's background color, None where it has none."""
        # One loop, without a call for each shape: a load generator's every response comes here.
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
        for index, known in enumerate(self._shapes):
            if not known.tails and known.color == color:
                shape = _shared_shape(known.head, page, color)
                if shape:
                    self._shapes[index] = shape
                    return
        self._shapes = [_Shape(page, (), color), *self._shapes][: self._limit]


def _shared_shape(one: bytes, other: bytes, color: str | None) -> _Shape | None:
    """Return the shape of two pages, None where it cannot be shown to have one color."""
    parts = _common_parts(one, other)
    # A page that ends in a gap has no end to compare; a frameset looks back at the text before it.
    if not parts or not parts[-1] or b"<frameset" in one.lower():
        return None
    shape = _Shape(parts[0], tuple(parts[1:]), color)
    if not _gaps_are_text(shape):
        return None
    return shape


def _common_parts(one: bytes, other: bytes) -> list[bytes]:
    """Return what two pages have in common, cut where their texts differ; none where tags do."""
    segments = one.split(b"<")
    twins = other.split(b"<")
    if len(segments) != len(twins):
        return []
    parts = [b""]
    for index, (segment, twin) in enumerate(zip(segments, twins, strict=True)):
        opening = b"<" if index else b""
        if segment == twin:
            parts[-1] += opening + segment
            continue
        # The gap is the whole text behind the tag: nothing is half open at its start.
        tag, closed, _ = segment.partition(b">")
        if not closed or not twin.startswith(tag + closed):
            return []
        parts[-1] += opening + tag + closed
        parts.append(b"")
    return parts


def _gaps_are_text(shape: _Shape) -> bool:
    """Return whether a word in each gap is text of an element, and the background stays."""
    words = [f"gap{gap}text" for gap in range(len(shape.tails))]
    page = shape.head
    for word, tail in zip(words, shape.tails, strict=True):
        page += word.encode() + tail
    tree = LexborHTMLParser(page)
    texts = _held_texts(tree)
    if any(texts.count(word) != 1 for word in words):
        return False
    return _background(tree) == shape.color


def _held_texts(tree: LexborHTMLParser) -> list[str]:
    """Return the texts of a page's elements that hold nothing but text."""
    texts: list[str] = []
    if tree.root is None:
        return texts
    for node in tree.root.traverse(include_text=True):
        if node.tag == "-text" and node.parent and node.parent.tag in _TEXT_HOLDERS:
            texts.append(node.text(deep=False).strip())
    return texts
