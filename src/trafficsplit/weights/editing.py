"""Other weights in a manifest: just the numbers, and nothing else, are edited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from analysis.errors import InputError
from analysis.fields import Fields, documents_of
from analysis.manifests import Asked, Destination, route_of, split_of_manifest, variants_of
from analysis.weights import whole

NUMBER = re.compile(r"[^\s,}\]#]+")


@dataclass(frozen=True)
class NewWeight:
    """The weight, a whole number, that a destination is to have."""

    fields: Fields
    weight: int


def new_weights(
    found: Iterable[Fields],
    weights: Mapping[str, float],
    asked: Asked,
    *,
    route: str = "",
    names: str = "",
) -> list[NewWeight]:
    """What is to be set in documents, so that variants get weights in per cent. Raises InputError.

    Nothing where all goes to one destination anyway.
    """
    chosen = route_of(found, asked, route=route)
    variants = variants_of(chosen.destinations, names)
    for variant, weight in weights.items():
        if weight and variant not in variants:
            raise InputError(f"{chosen.where}: no destination of it is {variant}")
    by_variant: dict[str, Destination] = {}
    for variant, destination in zip(variants, chosen.destinations, strict=True):
        if variant in by_variant:
            raise InputError(f"{chosen.where}: several destinations are {variant}: set them there")
        if destination.fields is None:
            raise InputError(f"{chosen.where}: a {chosen.kind}'s controller sets its weights")
        by_variant[variant] = destination
    if len(by_variant) == 1:
        return []  # it gets everything, whatever its weight says
    numbers = whole(weights)
    return [
        NewWeight(destination.fields, numbers.get(variant, 0))
        for variant, destination in by_variant.items()
        if destination.fields
    ]


def edited(
    text: str,
    file: str,
    weights: Mapping[str, float],
    asked: Asked,
    *,
    route: str = "",
    names: str = "",
    beside: Sequence[Fields] = (),
) -> str:
    """The text of a manifest with other weights, in per cent, by variant.

    `beside` are documents of other files, for the labels in them. All but the numbers stays as it
    is; that is checked, and what cannot be edited so is refused. Raises InputError.
    """
    wanted = partial(new_weights, weights=weights, asked=asked, route=route, names=names)
    before: list[Fields] = documents_of(text, file)
    new = wanted([*before, *beside])
    lines = text.splitlines(keepends=True)
    for one in sorted(new, key=_place, reverse=True):
        _set(lines, one)
    result = "".join(lines)
    # Does it do what it should, and no more? Anchors, for one, share their numbers.
    after: list[Fields] = documents_of(result, file)
    split = split_of_manifest([*after, *beside], asked, route=route, names=names)
    total = sum(weights.values())
    right = all(abs(split[v] - w / total) < 1e-9 for v, w in weights.items())
    for one in [*new, *wanted([*after, *beside])]:
        one.fields.data.pop("weight", None)
    if not right or [one.data for one in before] != [one.data for one in after]:
        raise InputError(f"{file} cannot be edited without changing more than weights: edit it")
    return result


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
