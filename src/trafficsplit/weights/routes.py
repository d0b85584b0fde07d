"""Where a split is configured: the destinations and weights that a resource gives to a request.

    documents → resources → the route that the request takes → destinations → a split of variants

Fields and kinds that do not bear on weights are passed over. The others are checked as the
controllers' own webhooks check them; the published schemas let through negative weights and a sum
of 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields

CLUSTER_DOMAIN = "svc.cluster.local"


@dataclass(frozen=True)
class Probe:
    """The request of a run, as manifests match it.

    `host` is empty where it is not known, and every host matches then; so are `scheme`, and `port`
    0. `headers` have lower-case names.
    """

    path: str = "/color"
    host: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    scheme: str = ""
    port: int = 0

    @property
    def bare_path(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query, by name."""
        parameters = {}
        for part in filter(None, self.path.partition("?")[2].split("&")):
            name, _, value = part.partition("=")
            parameters[name] = value
        return parameters

    @property
    def host_name(self) -> str:
        """The host without its port, in lower case."""
        return re.sub(r":\d+$", "", self.host).strip("[]").lower()


@dataclass(frozen=True)
class Beside:
    """What else a manifest has that bears on where a request goes, by namespace/name.

    `gateways` are Istio's, `listeners` the Gateways of the Gateway API, `delegates` all
    VirtualServices. `every` has all documents, for kinds that are put together of several.
    `through_gateway` says that a request comes through a gateway, and not from within the mesh:
    some resource of the manifest is for a gateway.
    """

    gateways: Mapping[str, Fields] = field(default_factory=dict)
    listeners: Mapping[str, Fields] = field(default_factory=dict)
    delegates: Mapping[str, Fields] = field(default_factory=dict)
    every: Sequence[Fields] = ()
    through_gateway: bool = True

    def of_kind(self, group: str, kind: str) -> list[Fields]:
        """Return the documents of a kind, in their order."""
        return [document for document in self.every if kind_of(document) == (group, kind)]


ALONE = Beside(through_gateway=False)  # of which nothing else is known


@dataclass(frozen=True)
class Destination:
    """A service, or a subset of one, that gets a part of the traffic.

    `labels` are those of its pods, where they are known; `port` is 0 where none is named. `fields`
    is the mapping whose field `weight` can be set, None where a controller sets it. `role` is what
    its controller calls it (primary, stable, canary), empty where none does.
    """

    host: str
    weight: float
    subset: str = ""
    port: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Fields | None = field(default=None, compare=False, repr=False)
    role: str = ""


@dataclass(frozen=True)
class Route:
    """The destinations that one resource gives; `where` names it for people, with file and line.

    `rules` are the destinations of all of its rules, of which their names are made.
    """

    kind: str
    name: str
    where: str
    destinations: Sequence[Destination]
    rules: Sequence[Sequence[Destination]] = ()


def short(host: str) -> str:
    """Return a service's name without its cluster's domain."""
    return host.removesuffix("." + CLUSTER_DOMAIN).removesuffix(".svc")


def weight_in(fields: Fields, default: int) -> int:
    """Return a destination's weight, `default` where it is missing. Raises InputError below 0."""
    weight = fields.take("weight", int, default)
    if weight < 0:
        raise fields.error(f"the weight is negative: {weight}", "weight")
    return int(weight)


def check_weights(rule: Fields, name: str, destinations: Sequence[Destination]) -> None:
    """Refuse a rule without destinations, or with weights of 0 only. Raises InputError."""
    if not destinations:
        raise rule.error(f"{name} is missing: it gives no weights")
    if not any(destination.weight for destination in destinations):
        raise rule.error("all weights are zero: nothing would answer", name)


def compile_pattern(fields: Fields, name: str, pattern: str) -> re.Pattern[str]:
    """Return a regular expression of a manifest, compiled. Raises InputError."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise fields.error(f"no regular expression: {error}", name) from None


def covers(pattern: str, name: str) -> bool:
    """Return whether a host of a manifest, perhaps with a wildcard in front, stands for a host."""
    pattern = pattern.lower()
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    return pattern == name


def has_prefix(path: str, prefix: str) -> bool:
    """Return whether a path begins with the elements of a prefix: /color, not /colorful."""
    plain = prefix.rstrip("/")
    return path == plain or path.startswith(plain + "/")


def meet(some: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether one of some hosts may be one of others, each perhaps with a wildcard."""
    for one, other in product(some, others):
        if covers(one, other.lower()) or covers(other, one.lower()):
            return True
    return False


def namespace_of(document: Fields) -> str:
    """Return a resource's namespace."""
    return document.fields("metadata").text("namespace") or "default"


def name_of(document: Fields) -> str:
    """Return a resource's name, empty where it has none."""
    return document.fields("metadata").text("name")


def kind_of(document: Fields) -> tuple[str, str]:
    """Return a resource's API group and kind."""
    return document.text("apiVersion").rpartition("/")[0], document.text("kind")


def unknown_route(resources: Sequence[Fields], route: str) -> InputError:
    """Return the exception to raise where no resource has the name that --route gives."""
    known = ", ".join(map(name_of, resources)) or "none"
    return InputError(f"no resource with weights is called {route}: there is {known}")
