"""What a destination's responses show: the name of its variant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trafficsplit.errors import InputError
from trafficsplit.weights.routes import Destination

# Label keys that tell releases apart, the most telling first.
TELLING = ("color", "colour", "version", "release", "track", "pod-template-hash")
Backend = tuple[str, str]  # host and subset


def variants_of(destinations: Sequence[Destination], mapping: Mapping[str, str]) -> list[str]:
    """Return what the destinations' responses show: one name each. Raises InputError.

    By a label that tells their pods apart; else by subset, else by host, without what all have in
    common (`blue-sub`, `green-sub` are blue and green). `mapping` overrules it, by any of these.
    """
    derived = _derived(destinations)
    result = []
    used = set()
    for destination, name in zip(destinations, derived, strict=True):
        keys = [name, destination.subset, destination.host, destination.host.split(".")[0]]
        key = next((k for k in keys if k in mapping), None)
        used.add(key)
        result.append(mapping[key] if key is not None else name)
    for key, value in mapping.items():
        if key not in used:
            known = ", ".join(dict.fromkeys(derived))
            raise InputError(f"--map {key}={value}: no destination is called {key}, but {known}")
    return result


def names_of(destinations: Sequence[Destination]) -> set[str]:
    """Return all names by which a mapping can mean one of the destinations."""
    names = set(_derived(destinations))
    for destination in destinations:
        names |= {destination.subset, destination.host, destination.host.split(".")[0]}
    return names


def _derived(destinations: Sequence[Destination]) -> list[str]:
    by_backend = {(d.host, d.subset): d for d in destinations}
    backends = list(by_backend)
    names = _by_label(backends, by_backend) or _by_subset(backends) or _by_host(backends)
    named = dict(zip(backends, names, strict=True))
    return [named[d.host, d.subset] for d in destinations]


def _by_label(
    backends: Sequence[Backend], by_backend: Mapping[Backend, Destination]
) -> list[str] | None:
    """Return the values of a label that tells the backends' pods apart, None where none does."""
    if not backends:
        return None
    common = set.intersection(*(set(by_backend[one].labels) for one in backends))
    for key in sorted(common, key=_telling):
        values = [by_backend[one].labels[key] for one in backends]
        if len(set(values)) == len(values):
            return values
    return None


def _telling(key: str) -> tuple[int, str]:
    return (TELLING.index(key) if key in TELLING else len(TELLING), key)


def _by_subset(backends: Sequence[Backend]) -> list[str] | None:
    subsets = [subset for _, subset in backends]
    if all(subsets) and len(set(subsets)) == len(subsets):
        return _without_common(subsets)
    return None


def _by_host(backends: Sequence[Backend]) -> list[str]:
    names = [_joined(host.split(".")[0], subset) for host, subset in backends]
    if len(set(names)) < len(names):
        names = [_joined(host, subset) for host, subset in backends]
    return _without_common(names)


def _joined(host: str, subset: str) -> str:
    return f"{host}-{subset}" if subset else host


def _without_common(names: Sequence[str]) -> list[str]:
    """Return names without the words at either end that all of them share."""
    if len(names) < 2:
        return list(names)
    words = [re.split(r"[-_.]", name) for name in names]
    while all(len(w) > 1 for w in words) and len({w[0] for w in words}) == 1:
        words = [w[1:] for w in words]
    while all(len(w) > 1 for w in words) and len({w[-1] for w in words}) == 1:
        words = [w[:-1] for w in words]
    result = ["-".join(w) for w in words]
    if all(result) and len(set(result)) == len(result):
        return result
    return list(names)
