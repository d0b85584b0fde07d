"""`verify --unit user` on real gateways that are sticky on purpose, well and badly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, refused
from tests.support.gateways import haproxy, nginx
from tests.support.sticky_envoys import BY_COOKIE, BY_HEADER, sticky_envoy
from trafficsplit.lab import Lab

# Sure, and soon: 2,700 users as a rule, wrong once in 10,000 runs.
SURE = ("--weight", "25", "--tolerance", "4", "--zero-tolerance", "0.5", "--alpha", "0.0001")
SURE_USERS = (*SURE, "--requests", "60000", "--unit", "user")


def verdict_of(cli: Cli, url: str, *options: str) -> dict[str, Any]:
    result = cli("verify", "--host", url, "--json", *SURE_USERS, *options)
    assert result.stdout, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def ports_of(the_lab: Lab) -> tuple[int, int]:
    ports = {replica.deployment: replica.port for replica in the_lab.replicas}
    return ports["dep-color-blue"], ports["dep-color-green"]


@pytest.fixture
def weights(the_lab: Lab) -> dict[int, int]:
    blue, green = ports_of(the_lab)
    return {blue: 75, green: 25}


# --- Envoy ---


@pytest.mark.lab
def test_an_envoy_that_sets_a_cookie_keeps_its_users(
    cli: Cli, weights: dict[int, int], tmp_path: Path
) -> None:
    with sticky_envoy(tmp_path, BY_COOKIE, weights) as url:
        verdict = verdict_of(cli, url)
    assert verdict["verdict"] == "match", verdict["reason"]
    assert verdict["unit"] == "user"
    assert verdict["reason"].startswith("The share of users is as configured, of ")
    users = verdict["of_users"]
    assert (users["changed"], users["with_losses"], users["requests"]) == (0, 0, 3)
    assert users["number"] * 3 <= verdict["requests"]
    assert verdict["confidence"]["green"][0] < 0.25 < verdict["confidence"]["green"][1]
    assert verdict["independence"]["draws"] == "independent"


@pytest.mark.lab
def test_an_envoy_that_hashes_a_header_keeps_users_that_have_one(
    cli: Cli, weights: dict[int, int], tmp_path: Path
) -> None:
    with sticky_envoy(tmp_path, BY_HEADER, weights) as url:
        assert verdict_of(cli, url, "--user-header", "X-User")["verdict"] == "match"
        without = verdict_of(cli, url)
    # Nothing tells its users apart, so that each request goes where it wants.
    assert without["verdict"] == "mismatch"
    assert without["reason"].startswith("Users do not stay with their version: ")


@pytest.mark.lab
def test_another_share_of_users_is_a_mismatch(
    cli: Cli, weights: dict[int, int], tmp_path: Path
) -> None:
    blue, green = weights
    with sticky_envoy(tmp_path, BY_COOKIE, {blue: 60, green: 40}) as url:
        verdict = verdict_of(cli, url)
    assert verdict["verdict"] == "mismatch"
    assert "more than its 25 %" in verdict["reason"]


@pytest.mark.lab
def test_users_of_several_processes_add_up(
    cli: Cli, weights: dict[int, int], tmp_path: Path
) -> None:
    with sticky_envoy(tmp_path, BY_COOKIE, weights) as url:
        verdict = verdict_of(cli, url, "--processes", "2", "--user-requests", "2")
    assert verdict["verdict"] == "match", verdict["reason"]
    assert verdict["sender"]["processes"] == 2
    assert verdict["of_users"]["number"] > 1800


@pytest.mark.lab
def test_users_on_schedule_are_users_too(cli: Cli, weights: dict[int, int], tmp_path: Path) -> None:
    with sticky_envoy(tmp_path, BY_COOKIE, weights) as url:
        verdict = verdict_of(cli, url, "--rate", "3000", "--settle", "200ms")
    assert verdict["verdict"] == "match", verdict["reason"]
    assert verdict["of_users"]["changed"] == 0


# --- HAProxy ---


@pytest.mark.lab
@pytest.mark.haproxy
def test_haproxy_inserts_a_cookie_and_deals_new_users_in_turn(
    cli: Cli, the_lab: Lab, tmp_path: Path
) -> None:
    balance = """balance roundrobin
  cookie SRV insert indirect nocache dynamic
  dynamic-cookie-key secret"""
    with haproxy(tmp_path, balance, *ports_of(the_lab)) as url:
        verdict = verdict_of(cli, url)
    assert verdict["verdict"] == "match", verdict["reason"]
    assert verdict["independence"]["draws"] == "better than chance"
    assert verdict["of_users"]["changed"] == 0


# --- nginx ---

DRAWN = "split_clients $request_id $drawn { 25% green; * blue; }"
KEPT = "map $cookie_version $kept { green green; blue blue; default $drawn; }"
SERVER = """location /color {
  default_type text/html;
  add_header Set-Cookie "version=$version; Path=/; Max-Age=3600";
  return 200 '<html><body style="background-color:$version"></body></html>';
}"""


@contextmanager
def sticky_nginx(directory: Path, maps: str) -> Iterator[str]:
    with nginx(directory, f"{DRAWN}\n{KEPT}\n{maps}", SERVER) as url:
        yield url


@pytest.mark.nginx
def test_nginx_keeps_users_by_their_cookie(cli: Cli, tmp_path: Path) -> None:
    with sticky_nginx(tmp_path, "map $kept $version { default $kept; }") as url:
        verdict = verdict_of(cli, url)
    assert verdict["verdict"] == "match", verdict["reason"]


@pytest.mark.nginx
def test_a_few_flips_are_a_mismatch(cli: Cli, tmp_path: Path) -> None:
    flips = """split_clients "$request_id-flip" $flip { 2% 1; * 0; }
      map "$flip$kept" $version { 1green blue; 1blue green; default $kept; }"""
    with sticky_nginx(tmp_path, flips) as url:
        verdict = verdict_of(cli, url)
    assert verdict["verdict"] == "mismatch"
    assert verdict["reason"].startswith("Users do not stay with their version: ")
    assert verdict["of_users"]["changed"] > 0


@pytest.mark.nginx
def test_a_canary_that_keeps_its_users_and_draws_the_others_anew_takes_all(
    cli: Cli, tmp_path: Path
) -> None:
    with sticky_nginx(
        tmp_path, "map $cookie_version $version { green green; default $drawn; }"
    ) as url:
        verdict = verdict_of(cli, url)
    assert verdict["verdict"] == "mismatch"
    assert "They go one way: green had " in verdict["reason"]
    users = verdict["of_users"]
    assert users["last_shares"]["green"] > users["first_shares"]["green"]
    assert {(move["first"], move["last"]) for move in users["moves"]} == {("blue", "green")}


@pytest.mark.nginx
def test_users_by_address(cli: Cli, tmp_path: Path) -> None:
    by_address = "split_clients $remote_addr $version { 25% green; * blue; }"
    with nginx(tmp_path, by_address, SERVER) as url:
        verdict = verdict_of(cli, url, "--user-address", "127.64.0.0/10")
        assert verdict["verdict"] == "match", verdict["reason"]
        assert verdict_of(cli, url)["verdict"] == "mismatch"  # all users are one


@pytest.mark.nginx
def test_a_recording_of_users_is_judged_as_they_were(cli: Cli, tmp_path: Path) -> None:
    with sticky_nginx(tmp_path, "map $kept $version { default $kept; }") as url:
        live = verdict_of(cli, url, "--record", "--report", str(tmp_path / "live"))
    again = cli("analyze", str(tmp_path / "live" / "requests.parquet"), "--json")
    told: dict[str, Any] = json.loads(again.stdout)
    assert (live["verdict"], told["verdict"]) == ("match", "match"), again.stderr
    assert told["of_users"]["number"] == live["of_users"]["number"]
    assert told["of_users"]["first_shares"] == live["of_users"]["first_shares"]


# --- what cannot be asked ---


def test_what_makes_no_sense_for_users_is_refused(cli: Cli) -> None:
    host = ("verify", "--host", "http://127.0.0.1:1", "--weight", "25")
    assert "--user-header is about users" in refused(cli, *host, "--user-header", "X-User")
    stock = refused(cli, *host, "--unit", "user", "--client", "stock")
    assert "--client stock cannot be several users in turn: use the engine" in stock
    fixed = refused(cli, *host, "--unit", "user", "--test", "fixed")
    assert "give --unit user or --test fixed" in fixed
