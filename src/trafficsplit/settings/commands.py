"""The options of each command as a frozen type, parsed before the command does anything."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.settings.addresses import (
    parse_headers,
    parse_hosts,
    parse_mapping,
    parse_path,
    required_hosts,
)
from trafficsplit.settings.load import (
    LoadSettings,
    SendingSettings,
    parse_load,
    parse_sending,
    parse_users,
)
from trafficsplit.settings.numbers import duration, per_cent, positive_duration, rate
from trafficsplit.settings.options import Texts, flag_of
from trafficsplit.settings.question import (
    Limits,
    parse_limits,
    parse_previous,
    parse_split,
    parse_variants,
)

KINDS = ("manifest", "virtual_service", "http_route")
MOST_PORT = 65535
# Options of TLS that need another one.
TLS_NEEDS = (("tls_cert", "tls_key"), ("tls_key", "tls_cert"), ("client_ca", "tls_cert"))


@dataclass(frozen=True)
class SourceSettings:
    """Where weights are configured: `kind` is one of `KINDS`, or empty for nowhere.

    `reference` is NAMESPACE/NAME, or files with a line for each. `mapping` has the variants of
    destinations, by name.
    """

    kind: str = ""
    reference: str = ""
    route: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    context: str = ""
    gateway_service: str = ""
    force_conflicts: bool = False


def source_as_plain(source: SourceSettings) -> dict[str, Any]:
    """Return plain data, for a file; `SourceSettings(**plain)` is the same again."""
    return {**vars(source), "mapping": dict(source.mapping)}


@dataclass(frozen=True)
class ProbeSettings:
    """The request that chooses a rule of a manifest."""

    hosts: tuple[str, ...] = ()
    path: str = "/color"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputSettings:
    """Where a report goes (None: reports/TIME-VERDICT), and what is printed and drawn."""

    report: Path | None = None
    json: bool = False
    plots: bool = False


@dataclass(frozen=True)
class PlanSettings:
    """What `plan` works out. `rate` is in requests a second; `plot` is a PNG, or None."""

    limits: Limits
    split: Split | None
    source: SourceSettings
    probe: ProbeSettings
    previous: Split | None
    rate: float
    plot: Path | None
    json: bool


@dataclass(frozen=True)
class AnalyzeSettings:
    """What `analyze` judges: files, bare counts or Prometheus."""

    files: tuple[str, ...]
    counts: str
    prometheus: str
    query: str
    window: str
    label: str
    series: str
    code: str
    without_code: bool
    path: str
    limits: Limits
    split: Split | None
    source: SourceSettings
    output: OutputSettings

    @property
    def asks(self) -> bool:
        """Whether a split is given, which is asked for instead of a recording's own."""
        return self.split is not None or bool(self.source.kind)


@dataclass(frozen=True)
class RolloutSettings:
    """How `rollout` walks. `steps` are weights of `variant` in per cent, times are in seconds.

    `in_force_within` is None where there is no deadline.
    """

    steps: tuple[float, ...]
    variant: str
    pause: float
    in_force_within: float | None
    hold: bool
    yes: bool
    resume: bool
    undo: bool
    report: Path
    source: SourceSettings
    hosts: tuple[str, ...]
    limits: Limits
    load: LoadSettings
    sending: SendingSettings
    plots: bool


@dataclass(frozen=True)
class SetWeightsSettings:
    """Where `set-weights` sets weights, and whether it only shows the change."""

    source: SourceSettings
    probe: ProbeSettings
    dry_run: bool


@dataclass(frozen=True)
class Listening:
    """Where the gate listens, and which clients it trusts. Texts that are not given are empty."""

    address: str
    port: int
    token: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    client_ca: str = ""


@dataclass(frozen=True)
class GateSettings:
    """How the gate verifies. `variants` are the stable one and the canary, times are in seconds.

    The variants are `fixed_variants` where a person gave them: a release does not change them then.
    """

    listening: Listening
    hosts: tuple[str, ...]
    variants: tuple[str, str]
    fixed_variants: bool
    results: Path
    wait: float
    longest: float
    keep: float
    in_force_within: float
    context: str
    limits: Limits
    load: LoadSettings
    users: int


def parse_source(texts: Texts) -> SourceSettings:
    """Return where weights are configured. Raises InputError."""
    kind = texts.at_most_one(*KINDS)
    in_cluster = kind in KINDS[1:]
    for name in ("context", "gateway_service", "force_conflicts"):
        if texts.has(name) and not in_cluster:
            raise InputError(
                f"{flag_of(name)} is for a --virtual-service or an --http-route, and there is none"
            )
    if texts.has("route") and kind != "manifest":
        raise InputError("--route is for a --manifest, and there is none")
    return SourceSettings(
        kind=kind,
        reference=texts.text(kind),
        route=texts.text("route"),
        mapping=parse_mapping(texts.text("map")),
        context=texts.text("context"),
        gateway_service=texts.text("gateway_service"),
        force_conflicts=texts.has("force_conflicts"),
    )


def check_mapping_has_a_use(source: SourceSettings) -> None:
    """Refuse a mapping of destinations without a source that has some. Raises InputError."""
    if source.mapping and not source.kind:
        raise InputError("--map is for a --manifest or a cluster's resource, and there is none")


def parse_probe(texts: Texts) -> ProbeSettings:
    """Return the request that chooses a rule. Raises InputError."""
    return ProbeSettings(
        hosts=parse_hosts(texts["host"]),
        path=parse_path(texts["path"]),
        headers=parse_headers(texts["header"]),
    )


def parse_output(texts: Texts) -> OutputSettings:
    """Return where a report goes, and what is printed and drawn."""
    return OutputSettings(
        report=texts.value("report", _parse_file),
        json=texts.has("json"),
        plots=texts.has("plots"),
    )


def _parse_file(text: str, _: str) -> Path:
    return Path(text)


def parse_plan(texts: Texts) -> PlanSettings:
    """Return what `plan` works out. Raises InputError."""
    source = parse_source(texts)
    check_mapping_has_a_use(source)
    return PlanSettings(
        limits=parse_limits(texts),
        split=parse_split(texts),
        source=source,
        probe=parse_probe(texts),
        previous=parse_previous(texts),
        rate=rate(texts["rate"], "--rate"),
        plot=texts.value("plot", _parse_file),
        json=texts.has("json"),
    )


def parse_analyze(texts: Texts, files: tuple[str, ...]) -> AnalyzeSettings:
    """Return what `analyze` judges. Raises InputError."""
    given = [bool(files), texts.has("counts"), texts.has("prometheus")]
    if sum(given) != 1:
        raise InputError("what is to be judged? Give files, --counts, or --prometheus: one of them")
    return AnalyzeSettings(
        files=files,
        counts=texts["counts"],
        prometheus=texts["prometheus"],
        query=texts["query"],
        window=texts["window"],
        label=texts["by"],
        series=texts["series"],
        code=texts["code"],
        without_code=texts.has("no_code"),
        path=texts["path"],
        limits=parse_limits(texts),
        split=parse_split(texts),
        source=parse_source(texts),
        output=parse_output(texts),
    )


def parse_rollout(texts: Texts) -> RolloutSettings:
    """Return how `rollout` walks. Raises InputError."""
    if texts.has("continue") and texts.has("undo"):
        raise InputError("--continue and --undo: give one of them")
    source = parse_source(texts)
    check_mapping_has_a_use(source)
    steps: tuple[float, ...] = ()
    if not texts.has("continue", "undo"):
        steps = parse_steps(texts["steps"])
    return RolloutSettings(
        steps=steps,
        variant=texts["variant"],
        pause=duration(texts["pause"], "--pause"),
        in_force_within=texts.value("in_force_within", positive_duration),
        hold=texts.has("hold"),
        yes=texts.has("yes"),
        resume=texts.has("continue"),
        undo=texts.has("undo"),
        report=Path(texts["report"]),
        source=source,
        hosts=parse_hosts(texts["host"]),
        limits=parse_limits(texts),
        load=parse_load(texts),
        sending=parse_sending(texts),
        plots=texts.has("plots"),
    )


def parse_steps(text: str) -> tuple[float, ...]:
    """Return weights in per cent from `5,25,50,100`. Raises InputError."""
    steps = []
    for part in filter(None, map(str.strip, text.split(","))):
        steps.append(per_cent(part, f"the step {part}"))
    if not steps:
        raise InputError("no steps: give --steps 5,25,50,100")
    return tuple(steps)


def parse_set_weights(texts: Texts) -> SetWeightsSettings:
    """Return where `set-weights` sets weights. Raises InputError."""
    source = parse_source(texts)
    check_mapping_has_a_use(source)
    return SetWeightsSettings(source, parse_probe(texts), texts.has("dry_run"))


def parse_gate(texts: Texts) -> GateSettings:
    """Return how the gate verifies. Raises InputError."""
    settings = GateSettings(
        listening=parse_listening(texts),
        hosts=required_hosts(texts["host"]),
        variants=parse_variants(texts),
        fixed_variants=texts.has("variants"),
        results=Path(texts["results"]),
        wait=duration(texts["wait"], "--wait"),
        longest=positive_duration(texts["longest"], "--longest"),
        keep=duration(texts["keep"], "--keep"),
        in_force_within=duration(texts["in_force_within"], "--in-force-within"),
        context=texts["context"],
        limits=parse_limits(texts),
        load=parse_load(texts),
        users=parse_users(texts),
    )
    # Limits that make no sense are refused now, and not at the first release.
    settings.limits.question(Split(dict.fromkeys(settings.variants, 1.0)))
    return settings


def parse_listening(texts: Texts) -> Listening:
    """Return where to listen. Raises InputError.

    An address that other machines can reach needs a token or certificates, because a gate that is
    open to all could be used for attacks.
    """
    text = texts["listen"]
    address, _, port = text.rpartition(":")
    address = address.strip("[]")
    if not _is_address(address) or not port.isdecimal() or int(port) > MOST_PORT:
        raise InputError(f"--listen {text!r} is no ADDRESS:PORT, e.g. 127.0.0.1:8080")
    for option, needed in TLS_NEEDS:
        if texts.has(option) and not texts.has(needed):
            raise InputError(f"{flag_of(option)} needs {flag_of(needed)}")
    guarded = texts.has("token", "client_ca", "open")
    if not guarded and not ipaddress.ip_address(address).is_loopback:
        raise InputError(
            f"{address} is not this machine alone: give --token or --client-ca, or say --open"
        )
    return Listening(
        address=address,
        port=int(port),
        token=texts["token"],
        tls_cert=texts["tls_cert"],
        tls_key=texts["tls_key"],
        client_ca=texts["client_ca"],
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
