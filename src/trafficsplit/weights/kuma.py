"""Kuma's MeshHTTPRoute: the backends of the rule that a request takes."""

from __future__ import annotations

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import (
    ALONE,
    Beside,
    Destination,
    Probe,
    check_weights,
    compile_pattern,
    has_prefix,
    weight_in,
)


def destinations_for(
    document: Fields, probe: Probe, _: Beside = ALONE
) -> list[Destination] | InputError:
    """Return the backends of the first rule that a request takes, or why none does.

    Of several services in `to` the one is meant whose name the request's host has. Raises
    InputError.
    """
    spec = document.fields("spec")
    targets = list(spec.each("to"))
    named = [to for to in targets if _is_named(to, probe)]
    if len(named or targets) > 1:
        names = ", ".join(to.fields("targetRef").text("name") for to in targets)
        raise spec.error(f"it is for several services ({names}): give --host", "to")
    for to in named or targets:
        for rule in to.each("rules"):
            matches = list(rule.each("matches"))
            if not matches or any(_means(match, probe) for match in matches):
                return _backends(rule)
    return spec.error(f"no rule of it takes {probe.path} (404): give --path", "to")


def _is_named(to: Fields, probe: Probe) -> bool:
    name = to.fields("targetRef").text("name")
    return bool(probe.host) and name.split("_")[0] == probe.host_name.split(".")[0]


def _backends(rule: Fields) -> list[Destination]:
    default = rule.fields("default")
    backends = []
    for backend in default.each("backendRefs"):
        tags = backend.labels("tags") or backend.labels("labels")
        weight = weight_in(backend, 1)
        name = backend.text("name") or tags.get("kuma.io/service", "")
        subset = "-".join(value for key, value in tags.items() if not key.startswith("kuma.io/"))
        backends.append(Destination(name, weight, subset, labels=tags, fields=backend))
    check_weights(default, "backendRefs", backends)
    return backends


def _means(match: Fields, probe: Probe) -> bool:
    """Return whether a match means a request. Raises InputError for one that is not understood."""
    method = match.text("method")
    if method and method != probe.method:
        return False
    if not _path_means(match.fields("path"), probe.bare_path):
        return False
    for header in match.each("headers"):
        value = probe.headers.get(header.text("name").lower())
        if not _value_means(header, value):
            return False
    if "queryParams" in match:
        raise match.error("matches of the query are not understood: give --weights", "queryParams")
    return True


def _path_means(path: Fields, asked: str) -> bool:
    if not path.names():
        return True
    value = path.text("value")
    kind = path.text("type", "Exact")
    if kind == "Exact":
        return asked == value
    if kind == "PathPrefix":
        return has_prefix(asked, value)
    if kind == "RegularExpression":
        return bool(compile_pattern(path, "value", value).fullmatch(asked))
    raise path.error(f"there is no type {kind}", "type")


def _value_means(header: Fields, value: str | None) -> bool:
    wanted = header.text("value")
    kind = header.text("type", "Exact")
    if kind in ("Present", "Absent"):
        return (value is not None) == (kind == "Present")
    if value is None:
        return False
    if kind == "Exact":
        return value == wanted
    if kind == "Prefix":
        return value.startswith(wanted)
    if kind == "RegularExpression":
        return bool(compile_pattern(header, "value", wanted).fullmatch(value))
    raise header.error(f"there is no type {kind}", "type")
