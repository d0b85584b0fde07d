"""A system in Envoy's words, as istiod translates it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.systems import CANARY, read, tutorial
from trafficsplit.lab import System
from trafficsplit.lab.access_log import access_log
from trafficsplit.lab.translation import Config, RouteFiles, bootstrap, cluster_name, routes

FILES = RouteFiles("routes.json", "routes")
PORTS = {"dep-color-blue": [1001, 1002], "dep-color-green": [2001]}


def hosts(system: System) -> list[Config]:
    found: list[Config] = routes(system, "1")["resources"][0]["virtual_hosts"]
    return found


def only_route(system: System) -> Config:
    route: Config = hosts(system)[0]["routes"][0]
    return route


def test_weights_are_translated_as_istiod_does() -> None:
    route = only_route(tutorial())
    clusters = route["route"]["weighted_clusters"]["clusters"]
    assert [c["weight"] for c in clusters] == [75, 25]
    assert route["match"] == {"prefix": "/color"}
    assert route["route"]["timeout"] == "0s"


def test_weight_zero_is_left_out_and_one_destination_is_a_plain_cluster(tmp_path: Path) -> None:
    rollback = CANARY.replace("weight: 75", "weight: 100").replace("weight: 25", "weight: 0")
    (only,) = only_route(read(tmp_path, rollback))["route"]["weighted_clusters"]["clusters"]
    assert "blue-sub" in only["name"]
    alone = CANARY[: CANARY.rindex("        - destination:")]
    assert "blue-sub" in only_route(read(tmp_path, alone))["route"]["cluster"]


def test_failures_to_connect_are_retried_and_answers_are_not() -> None:
    policy = only_route(tutorial())["route"]["retry_policy"]
    assert policy["retry_on"] == "connect-failure,refused-stream,unavailable,cancelled"
    assert policy["num_retries"] == 2


def config() -> Config:
    return bootstrap(tutorial(), PORTS, FILES, access_log("json", Path("access.log")))


def clusters() -> dict[str, Config]:
    return {one["name"]: one for one in config()["static_resources"]["clusters"]}


def endpoints(cluster: Config) -> list[int]:
    (group,) = cluster["load_assignment"]["endpoints"]
    addresses = [one["endpoint"]["address"]["socket_address"] for one in group["lb_endpoints"]]
    return [address["port_value"] for address in addresses]


def test_circuit_breakers_are_at_their_maximum() -> None:
    for cluster in clusters().values():
        assert set(cluster["circuit_breakers"]["thresholds"][0].values()) == {2**32 - 1}


def test_a_cluster_has_the_processes_of_its_subset_and_istios_name() -> None:
    found = clusters()
    _, green = tutorial().routings[0].rules[0].backends
    name = "outbound|8000|green-sub|color-service.default.svc.cluster.local"
    assert cluster_name(green) == name
    assert endpoints(found[name]) == [2001]
    assert endpoints(found[name.replace("green", "blue")]) == [1001, 1002]
    assert found[name]["lb_policy"] == "LEAST_REQUEST"


def test_a_node_port_leads_to_all_pods_by_chance() -> None:
    (name,) = [name for name in clusters() if name.startswith("nodeport|")]
    assert endpoints(clusters()[name]) == [1001, 1002, 2001]
    assert clusters()[name]["lb_policy"] == "RANDOM"
    listeners = [one["name"] for one in config()["static_resources"]["listeners"]]
    assert listeners == ["gateway", name]


def test_routes_are_read_from_a_file_whose_directory_is_watched() -> None:
    gateway = config()["static_resources"]["listeners"][0]
    manager = gateway["filter_chains"][0]["filters"][0]["typed_config"]
    source = manager["rds"]["config_source"]["path_config_source"]
    assert source == {"path": "routes.json", "watched_directory": {"path": "routes"}}
    assert manager["access_log"] == access_log("json", Path("access.log"))
    assert routes(tutorial(), "7")["version_info"] == "7"


def test_every_port_is_free_and_on_this_machine_only() -> None:
    addresses = [one["address"] for one in config()["static_resources"]["listeners"]]
    addresses.append(config()["admin"]["address"])
    for address in addresses:
        assert address["socket_address"] == {"address": "127.0.0.1", "port_value": 0}


URI = "        - uri:\n            prefix: /color # a prefix of the string: /colorful matches too"


@pytest.mark.parametrize(
    ("match", "translated"),
    [
        ("uri: {exact: /a}", {"path": "/a"}),
        ("uri: {regex: '/a+'}", {"safe_regex": {"regex": "/a+"}}),
        ("{uri: {prefix: /A}, ignoreUriCase: true}", {"prefix": "/A", "case_sensitive": False}),
        (
            "headers: {X-A: {exact: b}}",
            {
                "prefix": "/",
                "headers": [{"name": "x-a", "string_match": {"exact": "b"}}],
            },
        ),
        (
            "headers: {x-a: {}}",
            {"prefix": "/", "headers": [{"name": "x-a", "present_match": True}]},
        ),
        (
            "headers: {x-a: {regex: b.*}}",
            {
                "prefix": "/",
                "headers": [{"name": "x-a", "string_match": {"safe_regex": {"regex": "b.*"}}}],
            },
        ),
        (
            "withoutHeaders: {x-a: {prefix: b}}",
            {
                "prefix": "/",
                "headers": [
                    {
                        "name": "x-a",
                        "string_match": {"prefix": "b"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    }
                ],
            },
        ),
        (
            "withoutHeaders: {x-a: {}}",
            {
                "prefix": "/",
                "headers": [{"name": "x-a", "present_match": True, "invert_match": True}],
            },
        ),
    ],
)
def test_matches_are_translated(tmp_path: Path, match: str, translated: dict[str, Any]) -> None:
    assert URI in CANARY
    route = only_route(read(tmp_path, CANARY.replace(URI, f"        - {match}")))
    assert route["match"] == translated


def test_a_rule_without_a_match_takes_all(tmp_path: Path) -> None:
    text = CANARY.replace(f"    - match:\n{URI}\n      route:", "    - route:")
    assert only_route(read(tmp_path, text))["match"] == {"prefix": "/"}


def test_each_match_of_a_rule_is_a_route_and_rules_keep_their_order() -> None:
    found = hosts(tutorial())
    assert [host["domains"] for host in found] == [["*"]]
    prefixes = [route["match"].get("prefix") for route in found[0]["routes"]]
    assert prefixes[0] == "/color"
    assert len(prefixes) > 1  # those of the other two VirtualServices come behind


def test_a_host_is_meant_with_any_port(tmp_path: Path) -> None:
    text = CANARY.replace('  hosts:\n    - "*"\n', "  hosts: [color.example]\n")
    assert hosts(read(tmp_path, text))[0]["domains"] == ["color.example", "color.example:*"]
