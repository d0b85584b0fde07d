"""Kubernetes' Ingress with weights: ingress-nginx's canaries, and the actions of AWS's ALB."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields, documents_of
from trafficsplit.weights.routes import (
    ALONE,
    Beside,
    Destination,
    Probe,
    check_weights,
    covers,
    has_prefix,
    namespace_of,
    weight_in,
)

NGINX = "nginx.ingress.kubernetes.io/"
ALB = "alb.ingress.kubernetes.io/actions."
ANNOTATED = "use-annotation"  # the port's name of a backend that is an action of ALB's
MOST_ALB = 999


@dataclass(frozen=True)
class Place:
    """A host and a path of an Ingress, and its backend; empty ones stand for all."""

    host: str
    path: str
    exact: bool
    backend: Fields

    def rank(self, probe: Probe) -> tuple[int, int, int] | None:
        """Return how closely it means a request, None where it does not."""
        if self.host and probe.host and not covers(self.host, probe.host_name):
            return None
        asked = probe.bare_path
        means = asked == self.path if self.exact else has_prefix(asked, self.path)
        return (int(bool(self.host)), int(self.exact), len(self.path)) if means else None


def destinations_for(
    document: Fields, probe: Probe, beside: Beside = ALONE
) -> list[Destination] | InputError:
    """Return the backends of the path that a request takes, or why none does.

    With ingress-nginx the canary is an Ingress of its own, for the same host and path: the two
    are read together, and by header and by cookie it wins over its weight. Raises InputError.
    """
    annotations = _annotations(document)
    if _is_canary(annotations):
        return document.error(
            "it is the canary of another Ingress, which has to stand beside it: give that as well, "
            "or --weights"
        )
    place = _place_for(document, probe)
    if place is None:
        return document.fields("spec").error(
            f"no rule of it takes {probe.host}{probe.path} (404): give --host, --path", "rules"
        )
    service = place.backend.fields("service")
    if service.fields("port").text("name") == ANNOTATED:
        return _forwarded(document, annotations, str(service.need("name")))
    for canary in beside.of_kind("networking.k8s.io", "Ingress"):
        if _is_canary(_annotations(canary)) and namespace_of(canary) == namespace_of(document):
            beside_it = next((one for one in _places(canary) if _same(one, place)), None)
            if beside_it is not None:
                return _with_canary(place, beside_it, canary, probe)
    return place.backend.error(
        "this path has one backend and no canary beside it: it gives no weights"
    )


def _annotations(document: Fields) -> dict[str, str]:
    return document.fields("metadata").labels("annotations")


def _is_canary(annotations: Mapping[str, str]) -> bool:
    return annotations.get(f"{NGINX}canary") == "true"


def _places(document: Fields) -> Iterator[Place]:
    spec = document.fields("spec")
    for rule in spec.each("rules"):
        for path in rule.fields("http").each("paths"):
            text = path.text("path") or "/"
            exact = path.text("pathType") == "Exact"
            yield Place(rule.text("host"), text, exact, path.fields("backend"))
    if "defaultBackend" in spec:
        yield Place("", "/", exact=False, backend=spec.fields("defaultBackend"))


def _place_for(document: Fields, probe: Probe) -> Place | None:
    ranked = [(place.rank(probe), place) for place in _places(document)]
    meant = [(rank, place) for rank, place in ranked if rank is not None]
    return max(meant, key=lambda one: one[0])[1] if meant else None


def _same(one: Place, other: Place) -> bool:
    return (one.host, one.path.rstrip("/")) == (other.host, other.path.rstrip("/"))


def _destination(backend: Fields, weight: float) -> Destination:
    service = backend.fields("service")
    port = service.fields("port").take("number", int, 0)
    return Destination(str(service.need("name")), weight, port=port)


def _with_canary(main: Place, beside_it: Place, canary: Fields, probe: Probe) -> list[Destination]:
    annotations = canary.fields("metadata").fields("annotations")
    total = _whole(annotations, "canary-weight-total", 100)
    weight = _whole(annotations, "canary-weight", 0)
    if not 0 <= weight <= total:
        raise annotations.error(
            f"the weight is not from 0 to {total}: {weight}", f"{NGINX}canary-weight"
        )
    always = _always(_annotations(canary), probe)
    if always is not None:
        weight = total if always else 0
    return [
        _destination(main.backend, total - weight),
        _destination(beside_it.backend, weight),
    ]


def _whole(annotations: Fields, name: str, default: int) -> int:
    text = annotations.text(f"{NGINX}{name}", str(default))
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise annotations.error(f"no whole number: {text!r}", f"{NGINX}{name}")
    return int(text)


def _always(annotations: Mapping[str, str], probe: Probe) -> bool | None:
    """Return whether a request goes to the canary by its header or cookie, None by neither."""
    name = annotations.get(f"{NGINX}canary-by-header", "").lower()
    value = probe.headers.get(name) if name else None
    if value is not None:
        wanted = annotations.get(f"{NGINX}canary-by-header-value")
        pattern = annotations.get(f"{NGINX}canary-by-header-pattern")
        if wanted is not None:
            if value == wanted:
                return True
        elif pattern is not None:
            if _found(pattern, value):
                return True
        elif value in ("always", "never"):
            return value == "always"
    cookie = annotations.get(f"{NGINX}canary-by-cookie", "")
    for part in probe.headers.get("cookie", "").split(";") if cookie else ():
        key, _, set_to = part.strip().partition("=")
        if key == cookie and set_to in ("always", "never"):
            return set_to == "always"
    return None


def _found(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        raise InputError(
            f"canary-by-header-pattern is no regular expression: {pattern!r}"
        ) from None


def _forwarded(document: Fields, annotations: Mapping[str, str], action: str) -> list[Destination]:
    """Return the target groups of an action of ALB's. Raises InputError."""
    key = f"{ALB}{action}"
    if key not in annotations:
        raise document.error(f"the action {action} has no annotation {key}")
    found = documents_of(annotations[key], f"{document.file} ({key})")
    if len(found) != 1:
        raise document.error(f"{key} is no JSON object")
    (config,) = found
    kind = config.text("type") or config.text("Type")
    if kind.lower() != "forward":
        raise config.error(f"the load balancer answers this request itself ({kind})", "type")
    groups = []
    for group in config.fields("forwardConfig").each("targetGroups"):
        weight = weight_in(group, 1)
        if weight > MOST_ALB:
            raise group.error(f"a weight is {MOST_ALB} at most: {weight}", "weight")
        arn = group.text("targetGroupARN")
        name = group.text("serviceName") or arn.partition("targetgroup/")[2].partition("/")[0]
        if not name:
            raise group.error("which service? Neither serviceName nor targetGroupARN is there")
        groups.append(Destination(name, weight))
    check_weights(config, "forwardConfig", groups)
    return groups
