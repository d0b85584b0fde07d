"""From what the manifests describe to Envoy's configuration, as istiod translates it.

What is copied from istiod: weights go over as they are; a destination of weight 0 among several is
left out, a single one gets everything; no time-out; circuit breakers at their maximum (Envoy's own
would add 503s); retries on failures to connect, twice, at another endpoint; least-request load
balancing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.system import CLUSTER_DOMAIN, Destination, Match, Matcher, Rule, System, VirtualService

Config = dict[str, Any]
ROUTES = "http.80"
LISTENER = "gateway"
NODE_PORT = "nodeport|"  # and the service's name: listeners and clusters
_TYPES = "type.googleapis.com/envoy."
_MOST = 2**32 - 1


def cluster_name(destination: Destination) -> str:
    """The name that istiod gives it."""
    host = f"{destination.service}.default.{CLUSTER_DOMAIN}"
    return f"outbound|{destination.port}|{destination.subset}|{host}"


def bootstrap(
    system: System,
    ports: Mapping[str, Sequence[int]],
    routes_file: str,
    routes_dir: str,
    access_log: Sequence[Config] = (),
) -> Config:
    """Envoy's static configuration: a listener, and a cluster for each destination.

    `ports` are those of the processes, by deployment. Both listener and administration take free
    ports; routes come from `routes_file`, read anew whenever something is moved into `routes_dir`.
    """
    destinations = {
        cluster_name(destination): destination
        for service in system.virtual_services
        for rule in service.rules
        for destination in rule.destinations
    }
    node_ports = {
        f"{NODE_PORT}{service.name}": Destination(service.name, "", service.node_port, 0)
        for service in system.services.values()
        if service.node_port
    }
    return {
        "node": {"id": "lab", "cluster": "lab"},
        "admin": {"address": _address(0)},
        "static_resources": {
            "listeners": [
                _listener(routes_file, routes_dir, access_log),
                *(_node_port_listener(name) for name in node_ports),
            ],
            "clusters": [
                _cluster(name, [p for d in system.members(destination) for p in ports[d.name]])
                for name, destination in {**destinations, **node_ports}.items()
            ],
        },
    }


def routes(system: System, version: str) -> Config:
    """The answer of Envoy's route discovery service, for the file that it reads."""
    return {
        "version_info": version,
        "resources": [
            {
                "@type": f"{_TYPES}config.route.v3.RouteConfiguration",
                "name": ROUTES,
                "virtual_hosts": _virtual_hosts(system.virtual_services),
            }
        ],
    }


def _address(port: int) -> Config:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(routes_file: str, routes_dir: str, access_log: Sequence[Config]) -> Config:
    source = {"path": routes_file, "watched_directory": {"path": routes_dir}}
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


def _virtual_hosts(services: Sequence[VirtualService]) -> list[Config]:
    # Envoy wants each domain once: the rules of all services for one host stand together.
    by_host: dict[str, list[Rule]] = {}
    for service in services:
        for host in service.hosts:
            by_host.setdefault(host, []).extend(service.rules)
    return [
        {
            "name": f"{host}:80",
            "domains": ["*"] if host == "*" else [host, f"{host}:*"],
            "routes": [route for rule in rules for route in _routes(rule)],
        }
        for host, rules in by_host.items()
    ]


def _routes(rule: Rule) -> list[Config]:
    action = _action(rule.destinations)
    return [{"match": _match(match), "route": action} for match in rule.matches or (Match(),)]


def _action(destinations: Sequence[Destination]) -> Config:
    common: Config = {
        "timeout": "0s",
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,unavailable,cancelled",
            "num_retries": 2,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": f"{_TYPES}extensions.retry.host.previous_hosts.v3."
                        "PreviousHostsPredicate"
                    },
                }
            ],
            "host_selection_retry_max_attempts": 5,
        },
    }
    if len(destinations) == 1:
        return {**common, "cluster": cluster_name(destinations[0])}
    weighted = [
        {"name": cluster_name(destination), "weight": destination.weight}
        for destination in destinations
        if destination.weight
    ]
    return {**common, "weighted_clusters": {"clusters": weighted}}


def _match(match: Match) -> Config:
    config: Config = {"prefix": "/"} if match.path is None else _path(match.path)
    if match.ignore_case:
        config["case_sensitive"] = False
    headers = [_header(name, matcher) for name, matcher in match.headers]
    headers += [_without(name, matcher) for name, matcher in match.without]
    if headers:
        config["headers"] = headers
    return config


def _path(matcher: Matcher) -> Config:
    if matcher.kind == "regex":
        return {"safe_regex": {"regex": matcher.value}}
    return {{"exact": "path", "prefix": "prefix"}[matcher.kind]: matcher.value}


def _without(name: str, matcher: Matcher) -> Config:
    config = {**_header(name, matcher), "invert_match": True}
    if matcher.kind != "present":
        # To Envoy a missing header matches nothing, inverted or not; to Istio it is "without".
        config["treat_missing_header_as_empty"] = True
    return config


def _header(name: str, matcher: Matcher) -> Config:
    if matcher.kind == "present":
        return {"name": name, "present_match": True}
    if matcher.kind == "regex":
        return {"name": name, "string_match": {"safe_regex": {"regex": matcher.value}}}
    return {"name": name, "string_match": {matcher.kind: matcher.value}}
