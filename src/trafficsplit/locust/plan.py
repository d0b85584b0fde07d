"""The plan of a run of Locust's: gateways, question and load, parsed before anything is sent."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.load.endpoint import GatewayAddress, gateway_addresses, tls_context
from trafficsplit.load.parquet import parquet_of_arrow
from trafficsplit.locust.parent import parent
from trafficsplit.settings.addresses import parse_hosts, required_hosts
from trafficsplit.settings.commands import check_mapping_has_a_use, parse_source
from trafficsplit.settings.load import LoadSettings, parse_load
from trafficsplit.settings.options import LOCUSTFILE, Texts
from trafficsplit.settings.question import Limits, parse_limits, parse_split, weights_text
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.weights.probe import probe_of
from trafficsplit.weights.sources import source_of


@dataclass(frozen=True)
class RunPlan:
    """A run: its gateways, its question (None: no split is expected), and its load.

    `users` is the number of users in all processes together.
    """

    hosts: tuple[str, ...]
    gateways: tuple[GatewayAddress, ...]
    question: Question | None
    load: LoadSettings
    users: int
    run_id: str = ""

    @property
    def split(self) -> Split | None:
        """The split that is expected, None where none is."""
        if self.question is None:
            return None
        return self.question.split

    @property
    def known_addresses(self) -> dict[str, str]:
        """An address for each name that options give any."""
        addresses = self.load.connection.addresses
        return {name: of_name[0] for name, of_name in addresses.items() if of_name}

    @property
    def host(self) -> str:
        """The base URLs of all gateways, for people."""
        return ", ".join(self.hosts)


def plan_of(options: Namespace, host: str | None) -> RunPlan:
    """Return the plan of a run. Raises InputError.

    Its settings are our parent's, where there is one, and otherwise Locust's own options.
    """
    above = parent()
    users = int(options.num_users or 1)
    if above is not None:
        settings = above.settings
        limits = settings.limits
        plan = _plan(settings.hosts, settings.split, limits, settings.load, users)
        return replace(plan, run_id=settings.run_id)
    texts = _texts(options)
    hosts = parse_hosts(host or "")
    load = parse_load(texts)
    limits = parse_limits(texts)
    split = _expected_split(options, texts, hosts, load)
    return _plan(hosts, split, limits, load, users)


def _texts(options: Namespace) -> Texts:
    """Return Locust's options as text; an empty field of its web form is the default."""
    given = {}
    for option in LOCUSTFILE:
        value = getattr(options, option.name, "")
        if option.flag and value:
            value = "yes"
        given[option.name] = str(value or "")
    return Texts(LOCUSTFILE, given)


def _expected_split(
    options: Namespace, texts: Texts, hosts: Sequence[str], load: LoadSettings
) -> Split | None:
    """Return the split that options give, None where they give none. Raises InputError.

    A manifest is read once, and its weights take its place: workers have no such file.
    """
    source_settings = parse_source(texts)
    check_mapping_has_a_use(source_settings)
    probe = probe_of(hosts, load.request.path, load.request.headers)
    source = source_of(source_settings, probe, sys.stdin.read)
    if source is None:
        return parse_split(texts)
    split = source.split()
    vars(options).update(weights=weights_text(split), manifest="", route="", map="")
    return split


def _plan(
    hosts: Sequence[str],
    split: Split | None,
    limits: Limits,
    load: LoadSettings,
    users: int,
) -> RunPlan:
    gateways = tuple(gateway_addresses(hosts, load.connection.addresses)) or (GatewayAddress(""),)
    question = None
    if split is not None:
        question = limits.question(split, len(gateways), load.canary)
    identifier_of(load.request.variant_from, split or ())
    if load.connection.ca_file:
        tls_context(load.connection)
    if load.record:
        parquet_of_arrow()
    return RunPlan(tuple(hosts), gateways, question, load, users)


def check_settings(settings: VerifySettings) -> None:
    """Refuse what could not be sent as it is asked, before a process of its own finds out.

    Raises InputError.
    """
    load = settings.load
    plan = _plan(settings.hosts, settings.split, settings.limits, load, settings.sending.users)
    check_gateways(plan, load.client or "engine", alone=True)


def check_gateways(plan: RunPlan, client: str, *, alone: bool) -> None:
    """Refuse a plan that a client cannot carry out, or with too few users. Raises InputError.

    `client` is the kind of client that sends; `alone` says that this is no worker, which knows only
    of its own users.
    """
    if client != "engine" and any(gateway.address for gateway in plan.gateways):
        raise InputError(
            f"--client {client} cannot ask several addresses of one name: use the engine, or give "
            "each a --host"
        )
    if client != "engine" and plan.load.request.user_requests:
        raise InputError(f"--client {client} cannot be several users in turn: use the engine")
    if alone and plan.users < len(plan.gateways):
        raise InputError(
            f"{plan.users} users cannot ask {len(plan.gateways)} gateways: give more --users"
        )


def check_hosts(plan: RunPlan) -> None:
    """Refuse a plan without a gateway. Raises InputError."""
    required_hosts(",".join(plan.hosts))
