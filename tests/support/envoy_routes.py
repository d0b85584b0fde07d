"""Which clusters an Envoy's route configuration gives to a request, by its documented rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Config = dict[str, Any]
NO_ROUTE = "no route (404)"
REDIRECTS = {"MOVED_PERMANENTLY": 301, "FOUND": 302, "SEE_OTHER": 303, "TEMPORARY_REDIRECT": 307}


@dataclass(frozen=True)
class Request:
    """A request as it comes to a gateway. Names of headers are in lower case."""

    host: str
    path: str = "/"
    method: str = "GET"
    scheme: str = "http"
    headers: Mapping[str, str] = field(default_factory=dict)


def clusters_of(routes: Config, request: Request) -> dict[str, float] | str:
    """Return the shares of clusters, or why there are none: a status."""
    host = _virtual_host(routes["virtual_hosts"], request.host)
    if host is None:
        return NO_ROUTE
    if host.get("require_tls") == "ALL" and request.scheme == "http":
        return "redirect 301"
    for route in host.get("routes", ()):
        if _matches(route["match"], request):
            return _action(route)
    return NO_ROUTE


def _virtual_host(hosts: list[Config], name: str) -> Config | None:
    """Return the host by exact name, then the longest suffix, then the longest prefix, then `*`.

    The port in a name does not matter, as Istio configures it.
    """
    name = name.partition(":")[0]
    best: tuple[int, int, Config] | None = None
    for host in hosts:
        for domain in host["domains"]:
            rank = _rank(domain.lower(), name.lower())
            if rank and (best is None or rank > best[:2]):
                best = (*rank, host)
    return best[2] if best else None


def _rank(domain: str, name: str) -> tuple[int, int] | None:
    if domain == name:
        return 3, 0
    if domain == "*":
        return 0, 0
    if domain.startswith("*") and name.endswith(domain[1:]) and len(name) >= len(domain):
        return 2, len(domain)
    if domain.endswith("*") and name.startswith(domain[:-1]) and len(name) >= len(domain):
        return 1, len(domain)
    return None


def _matches(match: Config, request: Request) -> bool:
    path, _, query = request.path.partition("?")
    if not _path(match, path):
        return False
    pseudo = {":method": request.method, ":scheme": request.scheme, ":authority": request.host}
    headers = {**pseudo, ":path": request.path, **request.headers}
    if not all(_header(one, headers) for one in match.get("headers", ())):
        return False
    given = dict(part.partition("=")[::2] for part in query.split("&") if part)
    return all(_parameter(one, given) for one in match.get("query_parameters", ()))


def _path(match: Config, path: str) -> bool:
    lower = match.get("case_sensitive", True) is False
    text = path.lower() if lower else path
    for kind in ("path", "prefix", "path_separated_prefix"):
        if kind in match:
            wanted = match[kind].lower() if lower else match[kind]
            if kind == "path":
                return bool(text == wanted)
            if kind == "path_separated_prefix":
                return text == wanted or text.startswith(wanted + "/")
            return bool(text.startswith(wanted))
    return bool(re.fullmatch(match["safe_regex"]["regex"], path))


def _header(one: Config, headers: Mapping[str, str]) -> bool:
    value = headers.get(one["name"].lower())
    if value is None and one.get("treat_missing_header_as_empty"):
        value = ""
    if "present_match" in one:
        found = (value is not None) == one["present_match"]
    elif value is None:
        return False
    else:
        found = _text(one["string_match"], value)
    return bool(found != one.get("invert_match", False))


def _parameter(one: Config, given: Mapping[str, str]) -> bool:
    if "present_match" in one:
        return bool((one["name"] in given) == one["present_match"])
    return one["name"] in given and _text(one["string_match"], given[one["name"]])


def _text(match: Config, value: str) -> bool:
    if match.get("ignore_case"):
        value = value.lower()
    if "exact" in match:
        return bool(value == match["exact"])
    if "prefix" in match:
        return bool(value.startswith(match["prefix"]))
    if "suffix" in match:
        return bool(value.endswith(match["suffix"]))
    if "contains" in match:
        return match["contains"] in value
    return bool(re.fullmatch(match["safe_regex"]["regex"], value))


def _action(route: Config) -> dict[str, float] | str:
    if "redirect" in route:
        code = route["redirect"].get("response_code", "MOVED_PERMANENTLY")
        return f"redirect {REDIRECTS[code]}"
    if "direct_response" in route:
        return f"direct response {route['direct_response']['status']}"
    return shares_of(route["route"])


def shares_of(action: Config) -> dict[str, float]:
    """Return the shares of clusters that a route's action or a TCP proxy gives."""
    if "cluster" in action:
        return {action["cluster"]: 1.0}
    clusters = action["weighted_clusters"]["clusters"]
    total = sum(one["weight"] for one in clusters)
    shares: dict[str, float] = {}
    for one in clusters:
        shares[one["name"]] = shares.get(one["name"], 0.0) + one["weight"] / total
    return shares
