"""The names of variants, as the responses of destinations show them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trafficsplit.errors import InputError
from trafficsplit.weights.routes import Destination

# Keys of labels by which releases differ, the most usual first.
RELEASE_LABELS = ("color", "colour", "version", "release", "track")
TECHNICAL = {"sub", "subset"}  # words of a subset's name that say nothing of its version
Backend = tuple[str, str, int]  # host, subset and port


def variants_of(
    destinations: Sequence[Destination],
    mapping: Mapping[str, str],
    rules: Sequence[Sequence[Destination]] = (),
) -> list[str]:
    """Return the name that the responses of each destination show. Raises InputError.

    It is what tells the destination from the others of its resource, whose `rules` are given: the
    value of a label of releases by which their pods differ; else their subset, else their host,
    without the words that all have in common (`blue-sub`, `green-sub` are blue and green). So a
    destination has one name, whichever rule is asked for. `mapping` replaces it, and may call the
    destination by any of these, and by its controller's name for it (`stable`, `primary`,
    `canary`).
    """
    derived = _derive_names(destinations, rules)
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


def names_of(
    destinations: Sequence[Destination], rules: Sequence[Sequence[Destination]] = ()
) -> set[str]:
    """Return all names by which a mapping can call one of the destinations."""
    names = set(_derive_names(destinations, rules))
    for destination in destinations:
        names |= set(_written_names(destination))
    return names


def _written_names(destination: Destination) -> tuple[str, ...]:
    host = destination.host
    return destination.subset, host, host.split(".")[0], destination.role


def _derive_names(
    destinations: Sequence[Destination], rules: Sequence[Sequence[Destination]]
) -> list[str]:
    """Return a name for each destination; those with one host and subset have the same."""
    own = _apart(destinations)
    names = _of_resource([own, *map(_apart, rules)])
    if len({names[backend] for backend in own}) < len(own):  # names of several rules clash
        names = _named(own)
    return [names[_backend(destination)] for destination in destinations]


Labels = Mapping[str, str]
Apart = dict[Backend, Labels]  # the labels of each backend


def _apart(destinations: Sequence[Destination]) -> Apart:
    return {_backend(destination): destination.labels for destination in destinations}


def _named(backends: Apart) -> dict[Backend, str]:
    """Return a name for each of several backends, by what tells them apart."""
    keys = list(backends)
    derived = _by_label(list(backends.values())) or _by_subset(keys) or _by_host(keys)
    return dict(zip(keys, derived, strict=True))


def _of_resource(rules: Sequence[Apart]) -> dict[Backend, str]:
    """Return a name for each backend of all rules of a resource.

    A rule that splits names its own; one that is alone in its rule is told from its relatives.
    """
    names: dict[Backend, str] = {}
    every: Apart = {}
    for rule in sorted(rules, key=len, reverse=True):
        every |= rule
        if len(rule) > 1:
            names = {**_named(rule), **names}
    for backend in every:
        if backend not in names:
            relatives = {other: every[other] for other in every if _are_related(backend, other)}
            names[backend] = _named(relatives)[backend]
    return names


def _are_related(one: Backend, other: Backend) -> bool:
    """Return whether two backends are of one host, or their hosts have a word in common."""
    if one[0] == other[0]:
        return True
    words, others = (set(_words(backend[0].split(".")[0])) for backend in (one, other))
    return bool(words & others)


def _backend(destination: Destination) -> Backend:
    return destination.host, destination.subset, destination.port


def _by_label(labels: Sequence[Mapping[str, str]]) -> list[str] | None:
    """Return the values of a label of releases that all have and all differ by; None without."""
    if not labels:
        return None
    for key in RELEASE_LABELS:
        values = [of_backend.get(key, "") for of_backend in labels]
        if all(values) and _differ(values):
            return _without_common_words(values)
    return None


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
    words = list(map(_words, names))
    if len(names) < 2:
        return ["-".join(word for word in words[0] if word not in TECHNICAL)] if names else []
    while _have_common_word(words, 0):
        words = [of_name[1:] for of_name in words]
    while _have_common_word(words, -1):
        words = [of_name[:-1] for of_name in words]
    shorter = ["-".join(of_name) for of_name in words]
    return shorter if all(shorter) and _differ(shorter) else list(names)


def _words(name: str) -> list[str]:
    return re.split(r"[-_.]", name)


def _have_common_word(words: Sequence[Sequence[str]], position: int) -> bool:
    """Return whether all names have the same word at a position, and another one beside it."""
    at_position = set()
    for of_name in words:
        if len(of_name) < 2:
            return False
        at_position.add(of_name[position])
    return len(at_position) == 1
