"""Gateways whose responses are not independent draws: real ones, from Debian's packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.support.gateways import haproxy, nginx
from tests.support.questions import SURE_25
from trafficsplit.lab import Lab


def upstreams(the_lab: Lab) -> tuple[int, int]:
    ports = {replica.deployment: replica.port for replica in the_lab.replicas}
    return ports["dep-color-blue"], ports["dep-color-green"]


def verdict_of(cli: Cli, url: str, *options: str) -> dict[str, Any]:
    result = cli("verify", "--host", url, "--json", *options)
    assert result.stdout, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def draws(verdict: dict[str, Any]) -> object:
    return verdict["independence"]["draws"]


@pytest.mark.lab
def test_envoys_draws_are_independent(cli: Cli, the_lab: Lab) -> None:
    verdict = verdict_of(cli, the_lab.host, *SURE_25)
    assert (verdict["verdict"], draws(verdict)) == ("match", "independent")


@pytest.mark.lab
@pytest.mark.nginx
def test_nginx_round_robin_is_better_than_chance(cli: Cli, the_lab: Lab, tmp_path: Path) -> None:
    blue, green = upstreams(the_lab)
    http = f"""upstream color {{ zone color 64k;
      server 127.0.0.1:{blue} weight=75; server 127.0.0.1:{green} weight=25; }}"""
    with nginx(tmp_path, http, "location /color { proxy_pass http://color; }") as url:
        verdict = verdict_of(cli, url, "--weight", "25")
        assert (verdict["verdict"], draws(verdict)) == ("match", "better than chance")
        assert "Note: the gateway deals requests out in turn" in str(verdict["reason"])
        assert verdict_of(cli, url, "--weight", "40")["verdict"] == "mismatch"


@pytest.mark.lab
@pytest.mark.haproxy
def test_haproxys_round_robin_is_better_than_chance(cli: Cli, the_lab: Lab, tmp_path: Path) -> None:
    with haproxy(tmp_path, "balance roundrobin", *upstreams(the_lab)) as url:
        verdict = verdict_of(cli, url, "--weight", "25")
        assert (verdict["verdict"], draws(verdict)) == ("match", "better than chance")


@pytest.mark.lab
@pytest.mark.nginx
def test_nginx_by_cookie_deals_out_whoever_has_none(cli: Cli, the_lab: Lab, tmp_path: Path) -> None:
    blue, green = upstreams(the_lab)
    http = f"""upstream color {{ zone color 64k; hash $cookie_user;
      server 127.0.0.1:{blue} weight=75; server 127.0.0.1:{green} weight=25; }}"""
    with nginx(tmp_path, http, "location /color { proxy_pass http://color; }") as url:
        assert verdict_of(cli, url, "--weight", "25")["verdict"] == "match"


# So many that hardly ever all of them are kept on one variant, which nothing could tell from a
# gateway that sends everything there.
MANY_CONNECTIONS = ("--users", "40")

# The gateway keeps a connection on one variant: requests on it are no draws, new ones are.
STICKY_NGINX = """split_clients "$remote_addr:$remote_port" $port {{ 25% {green}; * {blue}; }}"""
STICKY_HAPROXY = """balance roundrobin
  stick-table type integer size 100k expire 30m
  stick on src_port"""


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.nginx
def test_nginx_by_connection_is_clustered_and_right_by_session(
    cli: Cli, the_lab: Lab, tmp_path: Path
) -> None:
    blue, green = upstreams(the_lab)
    http = STICKY_NGINX.format(blue=blue, green=green)
    with nginx(tmp_path, http, "location /color { proxy_pass http://127.0.0.1:$port; }") as url:
        for weight in ("25", "60"):
            verdict = verdict_of(cli, url, "--weight", weight, *MANY_CONNECTIONS)
            assert verdict["verdict"] == "inconclusive", verdict["reason"]
            assert "--unit session" in str(verdict["reason"])
        right = verdict_of(cli, url, *SURE_25, "--unit", "session")
        assert right["verdict"] == "match", right["reason"]
        wrong = verdict_of(cli, url, "--weight", "50", "--unit", "session")
        assert wrong["verdict"] == "mismatch", wrong["reason"]


@pytest.mark.lab
def test_a_few_sessions_say_nothing_and_break_nothing(cli: Cli, the_lab: Lab) -> None:
    # More than agreement needs, and less than a block.
    few = ("--weight", "25", "--test", "fixed", "--requests", "30", "--unit", "session")
    verdict = verdict_of(cli, the_lab.host, *few)
    assert (verdict["verdict"], draws(verdict)) == ("inconclusive", "too few to tell")


@pytest.mark.lab
@pytest.mark.haproxy
def test_haproxys_stick_table_is_clustered_and_right_by_session(
    cli: Cli, the_lab: Lab, tmp_path: Path
) -> None:
    with haproxy(tmp_path, STICKY_HAPROXY, *upstreams(the_lab)) as url:
        verdict = verdict_of(cli, url, "--weight", "60", *MANY_CONNECTIONS)
        assert verdict["verdict"] == "inconclusive", verdict["reason"]
        assert "--unit session" in str(verdict["reason"])
        right = verdict_of(cli, url, *SURE_25, "--unit", "session")
        assert right["verdict"] == "match", right["reason"]


@pytest.mark.lab
@pytest.mark.haproxy
def test_a_cookie_of_the_gateway_binds_nobody_who_refuses_it(
    cli: Cli, the_lab: Lab, tmp_path: Path
) -> None:
    # HAProxy's usual stickiness, and one by a stick table on the application's cookie: requests
    # without a cookie are draws, and ours keep none.
    for balance in (
        "balance roundrobin\n  cookie SERVERID insert nocache",
        "balance roundrobin\n  stick-table type string size 100k\n  stick on req.cook(color)\n"
        "  stick store-response res.cook(color)",
    ):
        with haproxy(tmp_path, balance, *upstreams(the_lab)) as url:
            verdict = verdict_of(cli, url, *SURE_25)
            assert verdict["verdict"] == "match", verdict["reason"]


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.nginx
def test_nginx_by_address_keeps_us_all_on_one_variant_and_we_say_so(
    cli: Cli, the_lab: Lab, tmp_path: Path
) -> None:
    # One address: all requests are one cluster, which nothing in them shows.
    blue, green = upstreams(the_lab)
    http = f"""upstream color {{ ip_hash;
      server 127.0.0.1:{blue} weight=75; server 127.0.0.1:{green} weight=25; }}"""
    with nginx(tmp_path, http, "location /color { proxy_pass http://color; }") as url:
        verdict = verdict_of(cli, url, "--weight", "25")
        assert verdict["verdict"] == "mismatch"
        diagnosis = str(verdict["diagnosis"])
        assert "keeps this machine's address, or requests without its cookie" in diagnosis
