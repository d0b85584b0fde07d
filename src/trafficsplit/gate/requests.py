"""The requests of delivery controllers: each means one verification of one gateway."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from trafficsplit.analysis.plain import question_as_plain
from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError, NoClusterError, NotAllowedError
from trafficsplit.identify.color import color_name
from trafficsplit.settings.addresses import parse_host, parse_mapping, parse_path
from trafficsplit.settings.commands import GateSettings, SourceSettings, source_as_plain
from trafficsplit.settings.load import UNITS, LoadSettings, SendingSettings
from trafficsplit.settings.numbers import duration, fraction, number, points, ratio
from trafficsplit.settings.question import Limits, parse_pair, parse_weights, split_of_weight
from trafficsplit.settings.secrets import mask_settings
from trafficsplit.settings.users import user_requests_of
from trafficsplit.settings.verify import VerifySettings, verify_as_plain, verify_from_plain
from trafficsplit.text import one_line
from trafficsplit.weights.cluster import Release
from trafficsplit.weights.percent import in_words, percent
from trafficsplit.weights.routes import Probe

LONGEST = 300  # characters of a value
Values = Mapping[str, str]  # the values of a request, by name
NOWHERE = SourceSettings()
WEIGHTS = ("weight", "weights", "virtualService")  # the values that give weights
# What the controller of each kind calls the stable version and the canary.
ROLES = {"canary": ("primary", "canary"), "rollout": ("stable", "canary")}
CANARY_FIELDS = ("name", "namespace", "checksum")  # of a webhook: the Canary, and its revision
SplitOf = Callable[[SourceSettings, Probe], Split]
ReleaseOf = Callable[[str, str, str], Release]  # of a kind's name, a reference and a context


@dataclass(frozen=True)
class Verification:
    """One verification. `identity` names the occasion, so that the same one is measured once.

    `source` is where the weights came from, which is read again when it has been measured.
    """

    settings: VerifySettings
    identity: str = ""
    source: SourceSettings = NOWHERE
    known_key: str = ""  # of one that was read from a file, which has no secrets

    def as_plain(self) -> dict[str, Any]:
        """Return plain data, with the values of headers: for another process, and for no file."""
        return {
            "settings": verify_as_plain(self.settings),
            "identity": self.identity,
            "source": source_as_plain(self.source),
        }

    def as_kept(self) -> dict[str, Any]:
        """Return plain data, without the values of headers: for a file."""
        plain = self.as_plain()
        return {**plain, "settings": mask_settings(plain["settings"]), "known_key": self.key}

    @property
    def probe(self) -> Probe:
        """The request, as a resource with weights matches it."""
        host = self.settings.hosts[0]
        return Probe(self.settings.load.request.path, host.partition("://")[2])

    @property
    def key(self) -> str:
        """A short text that is the same for the same verification, fit for a file's name.

        It does not depend on how requests are sent: a gate that is started again with another
        --rate or --users has the verdict already. Nor does it on whether a default is written out:
        hooks of one step, of which some say `tolerance: "2"`, ask the same.
        """
        if self.known_key:
            return self.known_key
        plain = self.as_plain()
        del plain["source"]
        plain["settings"]["limits"] = question_as_plain(self.settings.question)
        del plain["settings"]["sending"]
        for name in ("rate", "client", "connection", "record", "previous", "ready_within"):
            del plain["settings"]["load"][name]
        text = json.dumps(plain, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def target(self) -> str:
        """The base URLs and the path that requests go to."""
        return f"{','.join(self.settings.hosts)}{self.settings.load.request.path}"

    @property
    def weights(self) -> str:
        """The expected weights, for people."""
        return in_words(percent(self.settings.split))


def verification_from_plain(plain: Mapping[str, Any]) -> Verification:
    """Return what `as_plain` or `as_kept` returned. Raises TypeError, KeyError or ValueError."""
    return Verification(
        verify_from_plain(plain["settings"]),
        str(plain["identity"]),
        SourceSettings(**plain["source"]),
        str(plain.get("known_key", "")),
    )


@dataclass(frozen=True)
class _Asked:
    """What a request says of a release: its names of the stable version and of the canary.

    `source` has the weights, unless the request has; `identity` is of the occasion.
    """

    variants: tuple[str, str]
    source: SourceSettings = NOWHERE
    identity: str = ""


@dataclass(frozen=True)
class Reader:
    """Reads requests. `settings` are the gate's own; `split_of` and `release_of` read a cluster."""

    settings: GateSettings
    split_of: SplitOf
    release_of: ReleaseOf
    _latest: dict[str, list[Split]] = field(default_factory=dict)  # two splits, by resource

    def of_flagger(self, payload: object) -> Verification:
        """Return the verification that a webhook of Flagger's asks for.

        The weights are `weight` or `weights` in its metadata, or those of the VirtualService that
        `virtualService` names there, or else those that the Canary's status says are in force.
        Raises InputError, and NotAllowedError for a gateway that this gate may not ask.
        """
        if not isinstance(payload, Mapping):
            raise InputError("the body is no JSON object: Flagger sends name, namespace and phase")
        values = _metadata(payload)
        name, namespace, checksum = (_field(payload, key) for key in CANARY_FIELDS)
        if name and namespace:
            values["canary"] = f"{namespace}/{name}"
        elif not any(values.get(key) for key in WEIGHTS):
            raise InputError("which weights? Neither metadata.weight nor a Canary is named")
        identity = "/".join((namespace, name, checksum)) if checksum else ""
        return self.of_values(values, identity)

    def of_values(self, values: Values, identity: str = "") -> Verification:
        """Return the verification that values ask for.

        Raises InputError, and NotAllowedError for a gateway that this gate may not ask.
        """
        values = {name.replace("-", "_"): value for name, value in values.items() if value}
        host = self._host(values.get("host", ""))
        own = self.settings.load
        path = parse_path(values["path"]) if "path" in values else own.request.path
        asked = self._asked(values)
        probe = Probe(path, host.partition("://")[2])
        split = self._split(values, asked, probe)
        load = _load(own, values, path, asked.variants)
        if asked.source.kind and load.previous is None:
            load = replace(load, previous=self._before(asked.source.reference, split))
        settings = VerifySettings(
            hosts=(host,),
            split=split,
            limits=_limits(self.settings.limits, values),
            load=load,
            sending=SendingSettings(users=self.settings.users),
        )
        settings.limits.question(split)  # refuses what makes no sense, before anything is sent
        occasion = "/".join(filter(None, (identity, asked.identity)))
        source = NOWHERE if _gives_weights(values) else asked.source
        return Verification(settings, occasion, source)

    def _host(self, text: str) -> str:
        """Return the gateway that is asked for, the first one where none is."""
        hosts = self.settings.hosts
        if not text:
            return hosts[0]
        host = parse_host(text)
        if host not in hosts:
            raise NotAllowedError(f"{host} is not one of the gateways that this gate may ask")
        return host

    def _asked(self, values: Values) -> _Asked:
        """Return what is asked of which release. Raises InputError.

        What responses call the two versions is looked up in the release, unless it is given: after
        a promotion the stable version is the one that was the canary.
        """
        given = values.get("variants", "")
        variants = parse_pair(given, "variants") if given else self.settings.variants
        context = self.settings.context
        if "virtualService" in values:
            names = parse_mapping(values.get("map", ""))
            source = SourceSettings("virtual_service", values["virtualService"], mapping=names)
            return _Asked(variants, replace(source, context=context))
        kind = "canary" if "canary" in values else "rollout" if "rollout" in values else ""
        if not kind:
            return _Asked(variants)
        try:
            release = self.release_of(kind, values[kind], context)
        except NoClusterError:
            if not _gives_weights(values):
                raise
            return _Asked(variants)  # all that is needed is given
        if not given and not self.settings.fixed_variants:
            variants = release.names(self._name_of)
        mapping = dict(zip(ROLES[kind], variants, strict=True))
        source = SourceSettings(kind, values[kind], mapping=mapping, context=context)
        identity = "/".join((kind, values[kind], release.occasion))
        return _Asked(variants, source, identity)

    def _name_of(self, value: str) -> str | None:
        """Return a value as responses name it, None for what they never show."""
        if self.settings.load.request.variant_from == "page":
            return color_name(value)
        return value or None

    def _split(self, values: Values, asked: _Asked, probe: Probe) -> Split:
        """Return the split that is asked for: given, or that of a cluster's resource."""
        if "weight" in values:
            return _split_of_weight(values["weight"], asked.variants)
        if "weights" in values:
            return Split(parse_weights(values["weights"]))
        if asked.source.kind:
            return self.split_of(asked.source, probe)
        raise InputError("which weights? Give weight, weights, virtualService, or a rollout")

    def _before(self, reference: str, split: Split) -> Split | None:
        """Return the split that a resource had before this one, None where it is not known."""
        latest = self._latest.setdefault(reference, [])
        if not latest or dict(latest[-1].weights) != dict(split.weights):
            latest[:] = [*latest[-1:], split]
        return latest[0] if len(latest) > 1 else None


def _gives_weights(values: Values) -> bool:
    return "weight" in values or "weights" in values


def _split_of_weight(text: str, variants: tuple[str, str]) -> Split:
    """Return the split with this weight of the canary; controllers always send per cent."""
    stable, canary = variants
    per_cent = number(text.removesuffix("%"), "weight")
    if not 0 <= per_cent <= 100:
        raise InputError(f"the weight {text} is not from 0 to 100")
    if stable == canary:
        return Split({stable: 1.0})
    return Split({stable: 100 - per_cent, canary: per_cent})


def _metadata(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a webhook as text. Raises InputError."""
    metadata = payload.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise InputError("metadata is no object")
    return {str(key): text_of(value, f"metadata.{key}") for key, value in metadata.items()}


def _field(payload: Mapping[str, Any], name: str) -> str:
    """Return a field of a webhook as text, empty where it is missing. Raises InputError."""
    return text_of(payload.get(name) or "", name)


def _limits(own: Limits, values: Values) -> Limits:
    """Return the gate's limits, with those of a request instead. Raises InputError."""
    if "tolerance" in values:
        own = replace(own, tolerance=points(values["tolerance"], "tolerance") / 100)
    if "alpha" in values:
        own = replace(own, alpha=fraction(values["alpha"], "alpha"))
    if "unit" in values:
        own = replace(own, user_requests=user_requests_of(values["unit"], own.user_requests))
    return own


def _load(own: LoadSettings, values: Values, path: str, variants: tuple[str, str]) -> LoadSettings:
    """Return the gate's load, with the settings of a request instead. Raises InputError."""
    request = replace(own.request, path=path)
    if "unit" in values:
        if values["unit"] not in UNITS:
            raise InputError(f"there is no unit {values['unit']!r}: say one of {', '.join(UNITS)}")
        each = user_requests_of(values["unit"], own.request.user_requests)
        request = replace(request, unit=values["unit"], user_requests=each)
    own = replace(own, request=request)
    if "settle" in values:
        own = replace(own, settle=duration(values["settle"], "settle"))
    if "previous_weight" in values:
        before = split_of_weight(values["previous_weight"], "previous_weight", variants)
        own = replace(own, previous=before)
    return replace(own, canary=_canary_limits(own.canary, values))


def _canary_limits(own: CanaryLimits, values: Values) -> CanaryLimits:
    if "max_p99_ratio" in values:
        own = replace(own, max_p99_ratio=ratio(values["max_p99_ratio"], "max_p99_ratio"))
    if "max_error_ratio" in values:
        own = replace(own, max_error_ratio=ratio(values["max_error_ratio"], "max_error_ratio"))
    return own


def text_of(value: object, what: str) -> str:
    """Return a value as text. Raises InputError for anything else, or too much of it."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{one_line(what)!r} is no text")
    text = str(value)
    if len(text) > LONGEST or not text.isprintable():
        raise InputError(f"{one_line(what)!r} is too long, or not printable")
    return text
