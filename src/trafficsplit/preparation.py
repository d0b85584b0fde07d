"""From the options of a verification to its settings, before anything is done."""

from __future__ import annotations

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
from trafficsplit.verification import expected_split, reached, standard_input
from trafficsplit.weights.probe import probe_of
from trafficsplit.weights.sources import Source, source_of


def prepared(texts: Texts) -> tuple[VerifySettings, Source | None]:
    """Return the settings of a verification, and where its weights are read again at the end.

    The source is None where the weights came from the command line or a file: only a live cluster
    may change while it is verified. Raises InputError.
    """
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
    check_identifier(load, split)
    settings = VerifySettings(hosts, split, limits, load, sending)
    settings = reached(hosts, source, settings)
    live = source_settings.kind in ("virtual_service", "http_route")
    return settings, source if live else None


def source_for(
    settings: SourceSettings, load: LoadSettings, hosts: tuple[str, ...]
) -> Source | None:
    """Return the source that options name, for the request that a load sends."""
    probe = probe_of(hosts, load.request.path, load.request.headers)
    return source_of(settings, probe, standard_input)


def source_for_probe(settings: SourceSettings, probe: ProbeSettings) -> Source | None:
    """Return the source that options name, for a request."""
    return source_of(settings, probe_of(probe.hosts, probe.path, probe.headers), standard_input)


def check_identifier(load: LoadSettings, split: Split) -> None:
    """Refuse a source of variants' names that cannot be read. Raises InputError."""
    try:
        identifier_of(load.request.variant_from, split)
    except RecursionError:
        raise InputError(f"--variant-from {load.request.variant_from!r} is too deep") from None
