"""The weights of a manifest's other routes, which may have taken the requests instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.manifests import RULES, Choice, split_of_route, without_lists
from trafficsplit.weights.routes import Destination, kind_of, name_of

Backend = tuple[str, str]  # host and subset


def other_splits(manifest: Iterable[Fields], choice: Choice) -> dict[str, Split]:
    """Return the weights of the rules that the request of `choice` does not take, by name.

    Rules with other destinations than those of its own route, or with the same weights, are left
    out. Raises InputError.
    """
    documents = list(manifest)
    route = choice.of(documents)
    own = split_of_route(route, choice)
    variants = dict(zip(map(_backend, route.destinations), choice.variants(route), strict=True))
    others = {}
    for name, destinations in _all_rules(documents):
        split = _split(destinations, variants)
        if split is not None and any(split[variant] != own[variant] for variant in own):
            others[name] = split
    return others


def _all_rules(documents: Iterable[Fields]) -> Iterator[tuple[str, Sequence[Destination]]]:
    """Yield all rules that can be read, with their names for people."""
    for document in without_lists(documents):
        _, kind = kind_of(document)
        if kind not in RULES:
            continue
        try:
            rules = RULES[kind](document)
        except InputError:  # it is another resource than the one that is verified
            continue
        for number, destinations in enumerate(rules, start=1):
            yield f"rule {number} of {kind} {name_of(document)}", destinations


def _backend(destination: Destination) -> Backend:
    return destination.host, destination.subset


def _split(destinations: Sequence[Destination], variants: Mapping[Backend, str]) -> Split | None:
    """Return the split of a rule, None where it has unknown destinations or no weights."""
    weights: dict[str, float] = dict.fromkeys(variants.values(), 0.0)
    for destination in destinations:
        variant = variants.get(_backend(destination))
        if variant is None:
            return None
        weights[variant] += destination.weight
    if not any(weights.values()):
        return None
    return Split(weights)
