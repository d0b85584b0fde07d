"""The translation of a system to Envoy's configuration, as istiod translates it.

The lab does as istiod: weights stay as they are; a destination of weight 0 among several is left
out, a single one gets everything; there is no time-out; circuit breakers are at their maximum
(Envoy's defaults would add 503s); failures to connect are retried twice, at another endpoint; load
balancing is least-request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trafficsplit.lab.system import Backend, Routed, Routing, System
from trafficsplit.weights.istio import PRESENT, Match, Matcher
from trafficsplit.weights.routes import CLUSTER_DOMAIN

Config = dict[str, Any]
ROUTES = "http.80"
LISTENER = "gateway"
NODE_PORT = "nodeport|"  # and a service's name: the name of a listener and of a cluster
_TYPES = "type.googleapis.com/envoy."
_MOST = 2**32 - 1  # of anything that a circuit breaker counts
_PATHS = {"exact": "path", "prefix": "prefix"}  # Envoy's words by Istio's
_BREAKERS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")


def cluster_name(backend: Backend) -> str:
    """Return the name that istiod gives to a backend's cluster."""
    host = f"{backend.service}.default.{CLUSTER_DOMAIN}"
    return f"outbound|{backend.port}|{backend.subset}|{host}"


@dataclass(frozen=True)
class RouteFiles:
    """Where Envoy reads its routes: a file, and the directory that it watches for changes."""

    file: str
    directory: str


def bootstrap(
    system: System,
    ports: Mapping[str, Sequence[int]],
    files: RouteFiles,
    access_log: Sequence[Config] = (),
) -> Config:
    """Return Envoy's static configuration: a listener, and a cluster for each backend.

    `ports` are those of the processes, by deployment. The listeners and the administration take
    free ports. Routes come from a file, which is read again when one is moved into its directory.
    """
    node_ports = _node_ports(system)
    backends = {**_backends(system), **node_ports}
    clusters = []
    for name, backend in backends.items():
        clusters.append(_cluster(name, _ports_of(system, backend, ports)))
    listeners = [_listener(files, access_log), *map(_node_port_listener, node_ports)]
    return {
        "node": {"id": "lab", "cluster": "lab"},
        "admin": {"address": _address(0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _backends(system: System) -> dict[str, Backend]:
    """Return all backends of routes, by the names of their clusters."""
    backends = {}
    for routing in system.routings:
        for rule in routing.rules:
            for backend in rule.backends:
                backends[cluster_name(backend)] = backend
    return backends


def _node_ports(system: System) -> dict[str, Backend]:
    """Return a backend for each service of type NodePort, by the names of their clusters."""
    backends = {}
    for service in system.services.values():
        if service.node_port:
            name = f"{NODE_PORT}{service.name}"
            backends[name] = Backend(service.name, "", service.node_port, weight=0)
    return backends


def _ports_of(system: System, backend: Backend, ports: Mapping[str, Sequence[int]]) -> list[int]:
    """Return the ports of the processes that a backend leads to."""
    result: list[int] = []
    for deployment in system.members(backend):
        result += ports[deployment.name]
    return result


def routes(system: System, version: str) -> Config:
    """Return the text of the file from which Envoy reads its routes, as data.

    It is an answer of Envoy's route discovery service; a change is known by another `version`.
    """
    return {
        "version_info": version,
        "resources": [
            {
                "@type": f"{_TYPES}config.route.v3.RouteConfiguration",
                "name": ROUTES,
                "virtual_hosts": _virtual_hosts(system.routings),
            }
        ],
    }


def _address(port: int) -> Config:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(files: RouteFiles, access_log: Sequence[Config]) -> Config:
    source = {"path": files.file, "watched_directory": {"path": files.directory}}
    manager = {
        "@type": f"{_TYPES}extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "stat_prefix": "gateway",
        "access_log": list(access_log),
        "rds": {
            "route_config_name": ROUTES,
            "config_source": {"path_config_source": source, "resource_api_version": "V3"},
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    connection_manager = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    }
    return {
        "name": LISTENER,
        "address": _address(0),
        "filter_chains": [{"filters": [connection_manager]}],
    }


def _node_port_listener(name: str) -> Config:
    """Return a listener that does as kube-proxy: each connection goes to one pod, by chance."""
    proxy = {
        "@type": f"{_TYPES}extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": name,
    }
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
    return {"name": name, "address": _address(0), "filter_chains": [chain]}


def _cluster(name: str, ports: Sequence[int]) -> Config:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    policy = "RANDOM" if name.startswith(NODE_PORT) else "LEAST_REQUEST"
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": policy,
        "circuit_breakers": {"thresholds": [dict.fromkeys(_BREAKERS, _MOST)]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _virtual_hosts(routings: Sequence[Routing]) -> list[Config]:
    # Envoy refuses a domain that is there twice, so the routes of all services are put together.
    routes_by_host: dict[str, list[Config]] = {}
    for routing in routings:
        own = _reachable(routing)
        for host in routing.hosts:
            routes_by_host.setdefault(host, []).extend(own)
    # Those of several VirtualServices are in their order, but for what catches all: that is last.
    return [
        _virtual_host(host, sorted(of_host, key=_catches_all))
        for host, of_host in routes_by_host.items()
    ]


def _reachable(routing: Routing) -> list[Config]:
    """Return the routes of one VirtualService, up to the first that catches all."""
    reachable = []
    for rule in routing.rules:
        for route in _routes(rule):
            reachable.append(route)
            if _catches_all(route):
                return reachable
    return reachable


def _catches_all(route: Config) -> bool:
    """Return whether a route matches every request."""
    return bool(route["match"] == {"prefix": "/"})


def _virtual_host(host: str, routes_of_host: Sequence[Config]) -> Config:
    domains = ["*"] if host == "*" else [host, f"{host}:*"]
    return {"name": f"{host}:80", "domains": domains, "routes": list(routes_of_host)}


def _routes(rule: Routed) -> list[Config]:
    action = _action(rule.backends)
    if not rule.matches:
        return [{"match": {"prefix": "/"}, "route": action}]
    return [{"match": _match(match), "route": action} for match in rule.matches]


def _action(backends: Sequence[Backend]) -> Config:
    extension = "envoy.retry_host_predicates.previous_hosts"
    predicate = f"{_TYPES}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    common: Config = {
        "timeout": "0s",
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,unavailable,cancelled",
            "num_retries": 2,
            "retry_host_predicate": [{"name": extension, "typed_config": {"@type": predicate}}],
            "host_selection_retry_max_attempts": 5,
        },
    }
    if len(backends) == 1:
        return {**common, "cluster": cluster_name(backends[0])}
    weighted = []
    for backend in backends:
        if backend.weight:
            weighted.append({"name": cluster_name(backend), "weight": backend.weight})
    return {**common, "weighted_clusters": {"clusters": weighted}}


def _match(match: Match) -> Config:
    config: Config = {"prefix": "/"}
    if match.uri is not None:
        config = _path(match.uri)
    if match.ignore_case:
        config["case_sensitive"] = False
    headers = [_header(name, matcher) for name, matcher in match.headers]
    headers += [_without(name, matcher) for name, matcher in match.without]
    if headers:
        config["headers"] = headers
    return config


def _path(matcher: Matcher) -> Config:
    if matcher.way == "regex":
        return {"safe_regex": {"regex": matcher.value}}
    return {_PATHS[matcher.way]: matcher.value}


def _without(name: str, matcher: Matcher) -> Config:
    config = {**_header(name, matcher), "invert_match": True}
    if matcher.way != PRESENT:
        # For Envoy a missing header matches nothing, inverted or not; for Istio it is "without".
        config["treat_missing_header_as_empty"] = True
    return config


def _header(name: str, matcher: Matcher) -> Config:
    if matcher.way == PRESENT:
        return {"name": name, "present_match": True}
    if matcher.way == "regex":
        return {"name": name, "string_match": {"safe_regex": {"regex": matcher.value}}}
    return {"name": name, "string_match": {matcher.way: matcher.value}}
