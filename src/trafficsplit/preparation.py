"""From the options of a verification to its settings, before the first side effect."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.identify.identifier import identifier_of
from trafficsplit.report.plots_wanted import check_plots
from trafficsplit.settings.addresses import parse_hosts
from trafficsplit.settings.commands import (
    ProbeSettings,
    SourceSettings,
    check_mapping_has_a_use,
    parse_source,
)
from trafficsplit.settings.load import LoadSettings, parse_load, parse_sending
from trafficsplit.settings.options import Texts
from trafficsplit.settings.question import parse_limits, parse_split
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.verification import expected_split, read_standard_input, with_gateway_at
from trafficsplit.weights.probe import probe_of
from trafficsplit.weights.sources import GatewayLocation, Source, source_of

LIVE_KINDS = ("virtual_service", "http_route")  # of sources, which may change meanwhile


@dataclass(frozen=True)
class Prepared:
    """A verification that may begin: its settings, and what is read again at its end.

    `source` is None if the weights came from the command line or a file: only a live cluster may
    change while it is verified. `location` is where it said that the gateway is, None if the
    gateway was given.
    """

    settings: VerifySettings
    source: Source | None = None
    location: GatewayLocation | None = None


def prepare(texts: Texts) -> Prepared:
    """Return a verification as options ask for it. Raises InputError."""
    check_plots(wanted=texts.has("plots"))
    hosts = parse_hosts(texts["host"])
    load = parse_load(texts)
    limits = parse_limits(texts)
    sending = parse_sending(texts)
    given = parse_split(texts)
    source_settings = parse_source(texts)
    check_mapping_has_a_use(source_settings)
    source = source_for(source_settings, load, hosts)
    split = expected_split(given, source)
    if source is not None:
        load = replace(load, others=source.others())
    check_identifier(load, split)
    settings = VerifySettings(hosts, split, limits, load, sending)
    if source is None or source_settings.kind not in LIVE_KINDS:
        return Prepared(settings)
    if hosts:
        return Prepared(settings, source)
    location = source.gateway()
    return Prepared(with_gateway_at(location, settings), source, location)


def source_for(
    settings: SourceSettings, load: LoadSettings, hosts: tuple[str, ...]
) -> Source | None:
    """Return the source that options name, for the request that a load sends.

    None if they name none. Raises InputError.
    """
    probe = probe_of(hosts, load.request.path, load.request.headers)
    return source_of(settings, probe, functools.cache(read_standard_input))


def source_for_probe(settings: SourceSettings, probe: ProbeSettings) -> Source | None:
    """Return the source that options name, for a request; None if they name none.

    Raises InputError.
    """
    request = probe_of(probe.hosts, probe.path, probe.headers)
    return source_of(settings, request, read_standard_input)


def check_identifier(load: LoadSettings, split: Split) -> None:
    """Raise InputError for a source of the variant's name that cannot be read."""
    try:
        identifier_of(load.request.variant_from, split)
    except RecursionError:
        raise InputError(f"--variant-from {load.request.variant_from!r} is too deep") from None
