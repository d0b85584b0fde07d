"""Gateways that hang, answers that never come, and users in step with a real HAProxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.support.haproxies import Proxy, colors, hanging_soon, proxy

pytestmark = pytest.mark.haproxy

IN_TURN = """
listen gateway
  mode http
  balance roundrobin
  bind 127.0.0.1:{gateway}
  server blue 127.0.0.1:{blue} weight 75
  server green 127.0.0.1:{green} weight 25
"""
BALANCER = """
listen balancer
  mode tcp
  balance roundrobin
  bind 127.0.0.1:{balancer}
  server one 127.0.0.1:{one}
  server two 127.0.0.1:{two}
"""
# Long enough for a gateway to hang meanwhile.
LONG = ("--weight", "25", "--tolerance", "1", "--rate", "1500", "--timeout", "2s")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Proxy, Proxy]]:
    with (
        colors(tmp_path / "colors") as (blue, green),
        proxy(tmp_path / "one", IN_TURN, ["gateway"], blue=blue, green=green) as one,
        proxy(tmp_path / "two", IN_TURN, ["gateway"], blue=blue, green=green) as two,
    ):
        yield one, two


def verdict_of(cli: Cli, *arguments: str) -> dict[str, Any]:
    result = cli("verify", *arguments, "--json", "--no-diagnosis")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_one_of_two_gateways_that_hangs_is_failing_with_its_name(
    cli: Cli, two: tuple[Proxy, Proxy]
) -> None:
    one, other = two
    hosts = ("--host", one.url("gateway"), "--host", other.url("gateway"))
    with hanging_soon(other, after=0.5):
        verdict = verdict_of(cli, *LONG, *hosts)
    assert verdict["verdict"] == "failing", verdict["reason"]
    # It has not answered since then, or all connections to it have lost their answer.
    assert other.url("gateway") in verdict["reason"]
    assert one.url("gateway") not in verdict["reason"]


def test_one_of_two_behind_a_balancer_that_hangs_is_failing(
    cli: Cli, two: tuple[Proxy, Proxy], tmp_path: Path
) -> None:
    one, other = (gateway.ports["gateway"] for gateway in two)
    with (
        proxy(tmp_path / "both", BALANCER, ["balancer"], one=one, two=other) as both,
        hanging_soon(two[1], after=0.5),
    ):
        verdict = verdict_of(cli, *LONG, "--host", both.url("balancer"))
    assert verdict["verdict"] == "failing", verdict["reason"]


@pytest.mark.parametrize("load", [("--users", "16"), ("--users", "16", "--rate", "2000")])
def test_users_in_step_with_a_round_robin_are_not_kept_on_one_variant(
    cli: Cli, two: tuple[Proxy, Proxy], load: tuple[str, ...]
) -> None:
    verdict = verdict_of(cli, "--weight", "25", "--host", two[0].url("gateway"), *load)
    assert verdict["verdict"] == "match", verdict["reason"]
    assert "deals requests out in turn" in verdict["reason"]
