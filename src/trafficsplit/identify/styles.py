"""A page's style sheets: which background color an element has by them, and by its own style.

Selectors and specificity: Selectors Level 4; custom properties: CSS Variables Level 1; rules within
rules: CSS Nesting Level 1. All work is bounded: a page is no reason to stand still.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tinycss2
from selectolax.lexbor import LexborNode

from trafficsplit.identify.color import color_name

BRACKETS = re.compile(r"\[[^\]]*\]")
LARGEST = 48 * 1024  # characters of all style sheets that are read
MOST_RULES = 2000
MOST_TRIED = 64  # selectors that are tried at one element
DEEPEST = 8  # rules within rules, and variables of variables
# At-rules whose rules are those of an ordinary screen.
TRANSPARENT = {"layer", "supports", "container"}
NO_SCREEN = re.compile(r"print|speech|prefers-color-scheme\s*:\s*dark|not\s+(all|screen)")
LAST = re.compile(r"[^\s>+~]+$")  # the last compound of a selector: what the element itself is
TYPE = re.compile(r"^[a-zA-Z][\w-]*")
ATTRIBUTE = re.compile(r"\[\s*([\w-]+)")
NAME = re.compile(r"[.#]([\w-]+)")

Tokens = Sequence[Any]  # of tinycss2
Variables = Mapping[str, str]  # custom properties, by name


@dataclass(frozen=True)
class Rule:
    """The declarations that an element has which a selector selects."""

    selector: str
    specificity: tuple[int, int, int]
    declarations: Tokens


class Styles:
    """The rules of a page, the strongest first, and the custom properties of its root and body."""

    def __init__(self, sheets: Iterable[str], roots: Sequence[LexborNode]) -> None:
        """`roots` are html and body, as far as they are there."""
        rules: list[Rule] = []
        left = LARGEST
        for sheet in sheets:
            parsed = tinycss2.parse_stylesheet(sheet[: max(left, 0)], skip_comments=True)
            rules += _rules(parsed, "", DEEPEST)
            left -= len(sheet)
        rules = rules[:MOST_RULES]
        # Of equally specific ones the last wins; the sort is stable.
        rules.reverse()
        rules.sort(key=lambda rule: rule.specificity, reverse=True)
        self._rules = rules
        self._variables: dict[str, str] = {}
        for node in roots:
            for rule in reversed(list(self._of(node))):
                self._variables |= _custom_properties(rule.declarations)
            self._variables |= _custom_properties(_inline(node))

    def inline_color(self, node: LexborNode) -> str | None:
        """Return the background color of an element by its own style."""
        return _declared_color(_inline(node), self._variables)

    def color(self, node: LexborNode) -> str | None:
        """Return the background color of an element, by its own style or by the sheets."""
        inline = self.inline_color(node)
        if inline:
            return inline
        for rule in self._of(node):
            color = _declared_color(rule.declarations, self._variables)
            if color:
                return color
        return None

    def _of(self, node: LexborNode) -> Iterator[Rule]:
        """Yield the rules that select an element, the strongest first."""
        tried = 0
        for rule in self._rules:
            if not _may_select(rule.selector, node):
                continue
            tried += 1
            if tried > MOST_TRIED:
                return
            if _selects(rule.selector, node):
                yield rule


def _inline(node: LexborNode) -> Tokens:
    style = node.attributes.get("style")
    if not style:
        return []
    found: Tokens = tinycss2.parse_declaration_list(style[:LARGEST], skip_comments=True)
    return found


def _may_select(selector: str, node: LexborNode) -> bool:
    """Return whether a selector may select an element, by its last compound: this is quick."""
    last = LAST.search(selector)
    if last is None or "::" in last[0]:
        return False
    compound = last[0]
    kind = TYPE.match(compound)
    if kind and kind[0].lower() != node.tag:
        return False
    if not all(name in node.attributes for name in ATTRIBUTE.findall(compound)):
        return False
    if "(" in compound:
        return True
    known = set((node.attributes.get("class") or "").split()) | {node.attributes.get("id")}
    return all(name in known for name in NAME.findall(BRACKETS.sub("", compound)))


def _selects(selector: str, node: LexborNode) -> bool:
    try:
        return bool(node.css_matches(selector))
    except Exception:  # one that Lexbor does not know cannot be the page's background
        return False


# --- rules ---


def _rules(parsed: Tokens, parent: str, depth: int) -> Iterator[Rule]:
    """Yield the rules of a sheet, or of a rule with the selector `parent`, and those within."""
    for rule in parsed:
        kind = getattr(rule, "type", "")
        if kind == "at-rule" and depth and rule.content is not None and _is_of_screen(rule):
            inner = tinycss2.parse_blocks_contents(rule.content, skip_comments=True)
            yield from _rules(inner, parent, depth - 1)
        if kind != "qualified-rule":
            continue
        contents = tinycss2.parse_blocks_contents(rule.content, skip_comments=True)
        declarations = [one for one in contents if one.type == "declaration"]
        for tokens in _selectors(rule.prelude):
            text = _nested(tinycss2.serialize(tokens).strip(), parent)
            yield Rule(text, _specificity(tokens), declarations)
            if depth:
                yield from _rules(contents, text, depth - 1)


def _is_of_screen(rule: Any) -> bool:
    name = rule.lower_at_keyword
    if name == "media":
        return not NO_SCREEN.search(tinycss2.serialize(rule.prelude).lower())
    return name in TRANSPARENT


def _nested(selector: str, parent: str) -> str:
    """Return the selector of a rule within another one."""
    if not parent:
        return selector
    if "&" in selector:
        return selector.replace("&", parent)
    return f"{parent} {selector}"


def _selectors(prelude: Tokens) -> list[list[Any]]:
    selectors: list[list[Any]] = [[]]
    for token in prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def _specificity(selector: Tokens) -> tuple[int, int, int]:
    """Return the numbers of ids, of classes and attributes, and of types.

    Selectors Level 4, section 17, without its functions.
    """
    ids = 0
    classes = 0
    types = 0
    previous: object = None
    for token in selector:
        kind = getattr(token, "type", "")
        ids += kind == "hash"
        classes += kind == "[] block" or (kind == "ident" and previous in (".", ":"))
        types += kind == "ident" and previous not in (".", ":")
        previous = token
    return ids, classes, types


# --- declarations ---


def _custom_properties(declarations: Tokens) -> dict[str, str]:
    found = {}
    for item in declarations:
        if item.type == "declaration" and item.name.startswith("--"):
            found[item.name] = tinycss2.serialize(item.value).strip()
    return found


def _declared_color(declarations: Tokens, variables: Variables) -> str | None:
    """Return the background color of a declaration block: the last valid one, important first."""
    by_importance: dict[bool, str] = {}
    for item in declarations:
        if item.type != "declaration":
            continue
        color = _color_of_value(item.lower_name, item.value, variables)
        if color:
            by_importance[item.important] = color
    return by_importance.get(True) or by_importance.get(False)


def _color_of_value(name: str, value: Tokens, variables: Variables) -> str | None:
    if name not in ("background-color", "background"):
        return None
    text = _resolved(value, variables, DEEPEST)
    if name == "background-color":
        return color_name(text.strip())
    # The shorthand may hold an image, a position: its color is the one token that is one.
    for token in tinycss2.parse_component_value_list(text):
        color = color_name(tinycss2.serialize([token]).strip())
        if color:
            return color
    return None


def _resolved(value: Tokens, variables: Variables, depth: int) -> str:
    """Return a value as text, with what each `var(--name, fallback)` stands for."""
    parts = []
    for token in value:
        if getattr(token, "type", "") == "function" and token.lower_name == "var" and depth:
            parts.append(_variable(token.arguments, variables, depth - 1))
        else:
            parts.append(tinycss2.serialize([token]))
    return "".join(parts)


def _variable(arguments: Tokens, variables: Variables, depth: int) -> str:
    name, comma, fallback = tinycss2.serialize(arguments).partition(",")
    text = variables.get(name.strip())
    if text is None:
        text = fallback if comma else "var(--unknown)"
    return _resolved(tinycss2.parse_component_value_list(text), variables, depth)
