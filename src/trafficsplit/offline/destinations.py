"""From where a request went to a variant: by `--map`, or by the variants' names in what it says."""

from __future__ import annotations

import re
from collections import Counter as Multiset
from collections.abc import Mapping, Sequence

from trafficsplit.analysis.split import Split

NOWHERE = ("", "-", "None", "null")  # what logs have for a request that went nowhere


class Destinations:
    """The variants of destinations: clusters' names, and upstreams' addresses.

    `mapping` gives variants by a cluster's name, its subset, its host, or an address. `unmatched`
    counts the destinations that no variant was found for.
    """

    def __init__(self, split: Split, mapping: Mapping[str, str]) -> None:
        self._split = split
        self._mapping = mapping
        self._known: dict[tuple[str, str], str] = {}
        self.unmatched: Multiset[str] = Multiset()

    def variant(self, cluster: str, address: str = "") -> str:
        """Return the variant of a destination.

        That is the destination's own name if no variant is found for it, and empty for nowhere.
        """
        known = self._known.get((cluster, address))
        if known is None:
            known = self._variant(cluster, address)
            self._known[cluster, address] = known
        return known

    def _variant(self, cluster: str, address: str) -> str:
        if cluster in NOWHERE and address in NOWHERE:
            return ""
        names = [*_names_in(cluster), address]
        for name in names:
            if name in self._mapping:
                return self._mapping[name]
        for name in names:
            variants = self._variants_within(name)
            if len(variants) == 1:
                return variants[0]
        return self._own_name(names)

    def _variants_within(self, name: str) -> list[str]:
        words = re.split(r"[^A-Za-z0-9#]+", name)
        return [variant for variant in self._split if variant == name or variant in words]

    def _own_name(self, names: Sequence[str]) -> str:
        own = next((name for name in names if name not in NOWHERE), "")
        self.unmatched[own] += 1
        return own


def _names_in(cluster: str) -> list[str]:
    """Return what a cluster is called by: all of it, its subset, its host, its host's first label.

    Istio's names are `outbound|PORT|SUBSET|HOST`; any other stands for itself.
    """
    if cluster in NOWHERE:
        return []
    _, _, rest = cluster.partition("|")
    parts = rest.split("|")
    if len(parts) != 3:
        return [cluster]
    _, subset, host = parts
    return [name for name in (cluster, subset, host, host.split(".")[0]) if name]
