"""The names of variants, as the responses of destinations show them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trafficsplit.errors import InputError
from trafficsplit.weights.routes import Destination

# Keys of labels by which releases differ, the most usual first.
RELEASE_LABELS = ("color", "colour", "version", "release", "track")
HASH = "template-hash"  # ends the labels by which controllers tell pods apart, and nobody else does
Backend = tuple[str, str, int]  # host, subset and port


def variants_of(destinations: Sequence[Destination], mapping: Mapping[str, str]) -> list[str]:
    """Return the name that the responses of each destination show. Raises InputError.

    It is the value of a label by which their pods differ; else their subset, else their host,
    without the words that all have in common (`blue-sub`, `green-sub` are blue and green).
    `mapping` replaces it, and may call the destination by any of these, and by its controller's
    name for it (`stable`, `primary`, `canary`).
    """
    derived = _derive_names(destinations)
    variants = []
    used = set()
    for destination, name in zip(destinations, derived, strict=True):
        variant = name
        for key in (name, *_written_names(destination)):
            if key in mapping:
                used.add(key)
                variant = mapping[key]
                break
        variants.append(variant)
    for key, value in mapping.items():
        if key not in used:
            known = ", ".join(dict.fromkeys([*derived, *_roles(destinations)]))
            raise InputError(f"--map {key}={value}: no destination is called {key}, but {known}")
    return variants


def _roles(destinations: Sequence[Destination]) -> list[str]:
    return [destination.role for destination in destinations if destination.role]


def names_of(destinations: Sequence[Destination]) -> set[str]:
    """Return all names by which a mapping can call one of the destinations."""
    names = set(_derive_names(destinations))
    for destination in destinations:
        names |= set(_written_names(destination))
    return names


def _written_names(destination: Destination) -> tuple[str, ...]:
    host = destination.host
    return destination.subset, host, host.split(".")[0], destination.role


def _derive_names(destinations: Sequence[Destination]) -> list[str]:
    """Return a name for each destination; those with one host and subset have the same."""
    labels: dict[Backend, Mapping[str, str]] = {}
    for destination in destinations:
        labels[_backend(destination)] = destination.labels
    backends = list(labels)
    derived = _by_label(list(labels.values())) or _by_subset(backends) or _by_host(backends)
    names = dict(zip(backends, derived, strict=True))
    return [names[_backend(destination)] for destination in destinations]


def _backend(destination: Destination) -> Backend:
    return destination.host, destination.subset, destination.port


def _by_label(labels: Sequence[Mapping[str, str]]) -> list[str] | None:
    """Return the values of a label that all backends have and all differ by; None without one."""
    if not labels:
        return None
    shared = set.intersection(*map(set, labels))
    common = {key for key in shared if not key.endswith(HASH)}
    for key in sorted(common, key=_label_order):
        values = [of_backend[key] for of_backend in labels]
        if _differ(values):
            return values
    return None


def _label_order(key: str) -> tuple[int, str]:
    if key in RELEASE_LABELS:
        return RELEASE_LABELS.index(key), key
    return len(RELEASE_LABELS), key


def _differ(values: Sequence[str]) -> bool:
    return len(set(values)) == len(values)


def _by_subset(backends: Sequence[Backend]) -> list[str] | None:
    subsets = [subset for _, subset, _ in backends]
    if all(subsets) and _differ(subsets):
        return _without_common_words(subsets)
    return None


def _by_host(backends: Sequence[Backend]) -> list[str]:
    names = [_join(host.split(".")[0], subset) for host, subset, _ in backends]
    if not _differ(names):
        names = [_join(host, subset) for host, subset, _ in backends]
    if not _differ(names):
        names = [f"{_join(host, subset)}:{port}" for host, subset, port in backends]
    return _without_common_words(names)


def _join(host: str, subset: str) -> str:
    return f"{host}-{subset}" if subset else host


def _without_common_words(names: Sequence[str]) -> list[str]:
    """Return names without the words at either end that all of them share, if they differ then."""
    if len(names) < 2:
        return list(names)
    words = [re.split(r"[-_.]", name) for name in names]
    while _have_common_word(words, 0):
        words = [of_name[1:] for of_name in words]
    while _have_common_word(words, -1):
        words = [of_name[:-1] for of_name in words]
    shorter = ["-".join(of_name) for of_name in words]
    return shorter if all(shorter) and _differ(shorter) else list(names)


def _have_common_word(words: Sequence[Sequence[str]], position: int) -> bool:
    """Return whether all names have the same word at a position, and another one beside it."""
    at_position = set()
    for of_name in words:
        if len(of_name) < 2:
            return False
        at_position.add(of_name[position])
    return len(at_position) == 1
