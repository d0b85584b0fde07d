"""Locust's environments, for the tests in tests/locust/inside/, which run beside Locust."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from locust.env import Environment

from tests.support.runs import CANARY
from trafficsplit.analysis.split import Split
from trafficsplit.load.endpoint import gateway_addresses
from trafficsplit.locust.plan import RunPlan
from trafficsplit.locust.session import Session
from trafficsplit.settings.load import LoadSettings
from trafficsplit.settings.question import Limits

HOSTS = ("http://gateway",)


def plan(
    *,
    hosts: tuple[str, ...] = HOSTS,
    split: Split | None = CANARY,
    limits: Limits = Limits(),
    load: LoadSettings = LoadSettings(),
    users: int = 4,
) -> RunPlan:
    """Return a plan, by default of the canary at one gateway."""
    gateways = tuple(gateway_addresses(hosts, load.connection.addresses))
    question = limits.question(split, len(gateways)) if split else None
    return RunPlan(hosts, gateways, question, load, users)


def environment(**options: Any) -> Environment:
    """Return an environment of Locust's, with a runner of its own."""
    every = {"run_dir": "", "shared_by": 1, "progress": -1, "headless": True, "run_time": None}
    own = Environment(parsed_options=Namespace(**{**every, "csv_prefix": None, **options}))
    own.create_local_runner()
    return own


def session(
    of: RunPlan | None = None,
    *,
    client: str = "engine",
    within: Environment | None = None,
    fleet: Any = None,
    on_complete: Callable[[], None] = lambda: None,
) -> Session:
    """Return a run that has not begun."""
    return Session(within or environment(), of or plan(), client, fleet, on_complete)
