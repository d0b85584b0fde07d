"""From what the manifests describe to Envoy's configuration, as istiod translates it.

What is copied from istiod: weights go over as they are; a destination of weight 0 among several is
left out, a single one gets everything; no time-out; circuit breakers at their maximum (Envoy's own
would add 503s); retries on failures to connect, twice, at another endpoint; least-request load
balancing.
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
NODE_PORT = "nodeport|"  # and the service's name: listeners and clusters
_TYPES = "type.googleapis.com/envoy."
_MOST = 2**32 - 1


def cluster_name(backend: Backend) -> str:
    """Return the name that istiod gives it."""
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

    `ports` are those of the processes, by deployment. Both listener and administration take free
    ports; routes come from a file, read anew whenever something is moved into its directory.
    """
    node_ports = _node_ports(system)
    clusters = [
        _cluster(name, _ports_of(system, backend, ports))
        for name, backend in {**_backends(system), **node_ports}.items()
    ]
    listeners = [_listener(files, access_log), *(_node_port_listener(n) for n in node_ports)]
    return {
        "node": {"id": "lab", "cluster": "lab"},
        "admin": {"address": _address(0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }


def _backends(system: System) -> dict[str, Backend]:
    """Return all backends of routes, by the names of their clusters."""
    found = {}
    for routing in system.routings:
        for rule in routing.rules:
            for backend in rule.backends:
                found[cluster_name(backend)] = backend
    return found


def _node_ports(system: System) -> dict[str, Backend]:
    """Return all of each service of type NodePort, by the names of their clusters."""
    return {
        f"{NODE_PORT}{service.name}": Backend(service.name, "", service.node_port, 0)
        for service in system.services.values()
        if service.node_port
    }


def _ports_of(system: System, backend: Backend, ports: Mapping[str, Sequence[int]]) -> list[int]:
    found: list[int] = []
    for deployment in system.members(backend):
        found += ports[deployment.name]
    return found


def routes(system: System, version: str) -> Config:
    """Return the answer of Envoy's route discovery service, for the file that it reads."""
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
    """What kube-proxy does: each connection to a pod by chance, and there it stays."""
    proxy = {
        "@type": f"{_TYPES}extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": name,
    }
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
    return {"name": name, "address": _address(0), "filter_chains": [chain]}


def _cluster(name: str, ports: Sequence[int]) -> Config:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    most = dict.fromkeys(
        ("max_connections", "max_pending_requests", "max_requests", "max_retries"), _MOST
    )
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "RANDOM" if name.startswith(NODE_PORT) else "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [most]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _virtual_hosts(routings: Sequence[Routing]) -> list[Config]:
    # Envoy wants each domain once: the rules of all services for one host stand together.
    by_host: dict[str, list[Config]] = {}
    for routing in routings:
        found = [route for rule in routing.rules for route in _routes(rule)]
        for host in routing.hosts:
            by_host.setdefault(host, []).extend(found)
    return [_virtual_host(host, found) for host, found in by_host.items()]


def _virtual_host(host: str, found: Sequence[Config]) -> Config:
    domains = ["*"] if host == "*" else [host, f"{host}:*"]
    return {"name": f"{host}:80", "domains": domains, "routes": list(found)}


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
    weighted = [
        {"name": cluster_name(backend), "weight": backend.weight}
        for backend in backends
        if backend.weight
    ]
    return {**common, "weighted_clusters": {"clusters": weighted}}


def _match(match: Match) -> Config:
    config: Config = {"prefix": "/"} if match.uri is None else _path(match.uri)
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
    return {{"exact": "path", "prefix": "prefix"}[matcher.way]: matcher.value}


def _without(name: str, matcher: Matcher) -> Config:
    config = {**_header(name, matcher), "invert_match": True}
    if matcher.way != PRESENT:
        # To Envoy a missing header matches nothing, inverted or not; to Istio it is "without".
        config["treat_missing_header_as_empty"] = True
    return config


def _header(name: str, matcher: Matcher) -> Config:
    if matcher.way == PRESENT:
        return {"name": name, "present_match": True}
    if matcher.way == "regex":
        return {"name": name, "string_match": {"safe_regex": {"regex": matcher.value}}}
    return {"name": name, "string_match": {matcher.way: matcher.value}}
