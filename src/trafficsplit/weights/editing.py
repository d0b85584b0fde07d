"""Other weights in a manifest: just the numbers, and nothing else, are edited."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields, documents_of, plain
from trafficsplit.weights.manifests import Choice, split_of_route
from trafficsplit.weights.percent import whole_weights
from trafficsplit.weights.routes import Route

NUMBER = re.compile(r"[^\s,}\]#]+")
CLOSE = 1e-9  # weights that differ by less are the same


@dataclass(frozen=True)
class NewWeight:
    """The weight, a whole number, that a destination is to have."""

    fields: Fields
    weight: int


def new_weights(chosen: Route, weights: Mapping[str, float], choice: Choice) -> list[NewWeight]:
    """Return what is to be set so that variants get weights in per cent. Raises InputError.

    Nothing where all goes to one destination anyway.
    """
    variants = choice.variants(chosen)
    for variant, weight in weights.items():
        if weight and variant not in variants:
            raise InputError(f"{chosen.where}: no destination of it is {variant}")
    by_variant: dict[str, Fields] = {}
    for variant, destination in zip(variants, chosen.destinations, strict=True):
        if variant in by_variant:
            raise InputError(f"{chosen.where}: several destinations are {variant}: set them there")
        if destination.fields is None:
            raise InputError(f"{chosen.where}: a {chosen.kind}'s controller sets its weights")
        by_variant[variant] = destination.fields
    if len(by_variant) == 1:
        return []  # it gets everything, whatever its weight says
    numbers = whole_weights(weights)
    return [NewWeight(fields, numbers.get(v, 0)) for v, fields in by_variant.items()]


def edited(
    text: str,
    file: str,
    weights: Mapping[str, float],
    choice: Choice,
    beside: Sequence[Fields] = (),
) -> str:
    """Return the text of a manifest with other weights, in per cent, by variant.

    `beside` are documents of other files, for the labels in them. All but the numbers stays as it
    is; that is checked, and what cannot be edited so is refused. Raises InputError.
    """
    before = documents_of(text, file)
    chosen = choice.of([*before, *beside])
    new = new_weights(chosen, weights, choice)
    lines = text.splitlines(keepends=True)
    for one in sorted(new, key=_place, reverse=True):
        _set(lines, one)
    result = "".join(lines)
    # Does it do what it should, and no more? Anchors, for one, share their numbers.
    after = documents_of(result, file)
    changed = choice.of([*after, *beside])
    split = split_of_route(changed, choice)
    total = sum(weights.values())
    right = all(abs(split[v] - w / total) < CLOSE for v, w in weights.items())
    if not right or _but_weights(before, chosen) != _but_weights(after, changed):
        raise InputError(f"{file} cannot be edited without changing more than weights: edit it")
    return result


def _but_weights(documents: Sequence[Fields], chosen: Route) -> list[Any]:
    """Return documents as plain data, without the weights of a route."""
    places = [d.fields.data for d in chosen.destinations if d.fields is not None]
    return [_but(document.data, places) for document in documents]


def _but(node: Any, places: Sequence[Any]) -> Any:
    if isinstance(node, Mapping):
        at_place = any(node is place for place in places)
        kept = {key: value for key, value in node.items() if not (at_place and key == "weight")}
        return {key: _but(value, places) for key, value in kept.items()}
    if isinstance(node, list):
        return [_but(value, places) for value in node]
    return plain(node)


def _place(new: NewWeight) -> tuple[int, int]:
    position = new.fields.position("weight")
    return position or (new.fields.data.lc.line, new.fields.data.lc.col)


def _set(lines: list[str], new: NewWeight) -> None:
    """Put a number in its place; where there is no field for it, one before all others."""
    number, column = _place(new)
    line = lines[number]
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
