"""Weights in the text of a manifest, edited so that the numbers change and nothing else does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields, documents_of, plain
from trafficsplit.weights.manifests import Choice, split_of_route
from trafficsplit.weights.percent import whole_weights
from trafficsplit.weights.routes import Route

NUMBER = re.compile(r"[^\s,}\]#]+")
CLOSE = 1e-9  # normalised weights that differ by less are equal


@dataclass(frozen=True)
class NewWeight:
    """A whole number, and the mapping in which it is to be a destination's weight."""

    fields: Fields
    weight: int


def new_weights(route: Route, weights: Mapping[str, float], choice: Choice) -> list[NewWeight]:
    """Return the numbers to set so that variants get weights in per cent. Raises InputError.

    The list is empty where the route has one destination, which gets everything.
    """
    variants = choice.variants(route)
    for variant, weight in weights.items():
        if weight and variant not in variants:
            raise InputError(f"{route.where}: no destination of it is {variant}")
    fields_by_variant: dict[str, Fields] = {}
    for variant, destination in zip(variants, route.destinations, strict=True):
        if variant in fields_by_variant:
            raise InputError(f"{route.where}: several destinations are {variant}: set them there")
        if destination.fields is None:
            raise InputError(f"{route.where}: a {route.kind}'s controller sets its weights")
        fields_by_variant[variant] = destination.fields
    if len(fields_by_variant) == 1:
        return []
    numbers = whole_weights(weights)
    new = []
    for variant, fields in fields_by_variant.items():
        new.append(NewWeight(fields, numbers.get(variant, 0)))
    return new


def edit_weights(
    text: str,
    file: str,
    weights: Mapping[str, float],
    choice: Choice,
    beside: Sequence[Fields] = (),
) -> str:
    """Return the text of a manifest with other weights, which are in per cent, by variant.

    `beside` are documents of other files, for the labels in them. Raises InputError for a text in
    which not just the numbers would change.
    """
    before = documents_of(text, file)
    route = choice.of([*before, *beside])
    new = new_weights(route, weights, choice)
    lines = text.splitlines(keepends=True)
    # From the end on, so that the positions of those that follow stay right.
    for one in sorted(new, key=_position, reverse=True):
        _set(lines, one)
    result = "".join(lines)
    # Aliases, for one, share the numbers of their anchors.
    refusal = InputError(f"{file} cannot be edited without changing more than weights: edit it")
    try:
        after = documents_of(result, file)
        changed = choice.of([*after, *beside])
    except InputError:
        raise refusal from None
    rest_changed = _without_weights(before, route) != _without_weights(after, changed)
    if rest_changed or not _gives(changed, weights, choice):
        raise refusal
    return result


def _gives(route: Route, weights: Mapping[str, float], choice: Choice) -> bool:
    """Return whether a route has these weights."""
    split = split_of_route(route, choice)
    total = sum(weights.values())
    return all(abs(split[v] - weight / total) < CLOSE for v, weight in weights.items())


def _without_weights(documents: Sequence[Fields], route: Route) -> list[object]:
    """Return documents as plain data, without the weights of a route."""
    weighted = set()
    for destination in route.destinations:
        if destination.fields is not None:
            weighted.add(id(destination.fields.data))
    return [_plain_without(document.data, weighted) for document in documents]


def _plain_without(node: object, weighted: Set[int]) -> object:
    """Return a node as plain data; the mappings with an id in `weighted` lose their weight."""
    if isinstance(node, Mapping):
        kept = {key: _plain_without(value, weighted) for key, value in node.items()}
        if id(node) in weighted:
            kept.pop("weight", None)
        return kept
    if isinstance(node, list):
        return [_plain_without(value, weighted) for value in node]
    return plain(node)


def _position(new: NewWeight) -> tuple[int, int]:
    """Return the line and column of a weight, or else of the mapping that it is missing from."""
    position = new.fields.position("weight")
    return position or (new.fields.data.lc.line, new.fields.data.lc.col)


def _set(lines: list[str], new: NewWeight) -> None:
    """Replace a number; where a destination has none, add one before its other fields."""
    number, column = _position(new)
    line = "" if number == len(lines) else lines[number]  # an empty weight may end the text
    if new.fields.position("weight"):
        match = NUMBER.match(line, column)
        if match is None or not match[0].lstrip("+").isdecimal():
            raise new.fields.error("this cannot be edited: write a plain number", "weight")
        lines[number] = line[:column] + str(new.weight) + line[match.end() :]
    elif new.fields.data.fa.flow_style():
        lines[number] = f"{line[: column + 1]}weight: {new.weight}, {line[column + 1 :]}"
    else:
        end = line[len(line.rstrip("\r\n")) :] or "\n"
        lines[number] = f"{line[:column]}weight: {new.weight}{end}{' ' * column}{line[column:]}"
