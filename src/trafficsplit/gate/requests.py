"""The requests of delivery controllers: each means one verification of one gateway."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trafficsplit.analysis.plain import question_as_plain
from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError, NotAllowedError
from trafficsplit.settings.addresses import parse_host, parse_mapping, parse_path
from trafficsplit.settings.commands import GateSettings, SourceSettings
from trafficsplit.settings.load import UNITS, LoadSettings, SendingSettings
from trafficsplit.settings.numbers import duration, fraction, number, points, ratio
from trafficsplit.settings.question import Limits, parse_weights, split_of_weight
from trafficsplit.settings.users import user_requests_of
from trafficsplit.settings.verify import VerifySettings, verify_as_plain, verify_from_plain
from trafficsplit.text import one_line
from trafficsplit.weights.percent import in_words, percent
from trafficsplit.weights.routes import Probe

LONGEST = 300  # characters of a value
Values = Mapping[str, str]  # the values of a request, by name
WEIGHTS = ("weight", "weights", "virtualService")  # the values that give weights
CANARY_FIELDS = ("name", "namespace", "checksum")  # of a webhook: the Canary, and its revision
SplitOf = Callable[[SourceSettings, Probe], Split]


@dataclass(frozen=True)
class Verification:
    """One verification. `identity` names the occasion, so that the same one is measured once."""

    settings: VerifySettings
    identity: str = ""

    def as_plain(self) -> dict[str, Any]:
        """Return plain data, for a file."""
        return {"settings": verify_as_plain(self.settings), "identity": self.identity}

    @property
    def key(self) -> str:
        """A short text that is the same for the same verification, fit for a file's name.

        It does not depend on how requests are sent: a gate that is started again with another
        --rate or --users has the verdict already. Nor does it on whether a default is written out:
        hooks of one step, of which some say `tolerance: "2"`, ask the same.
        """
        plain = self.as_plain()
        plain["settings"]["limits"] = question_as_plain(self.settings.question)
        del plain["settings"]["sending"]
        for name in ("rate", "client", "connection", "record"):
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
    """Return what `as_plain` wrote. Raises TypeError, KeyError or ValueError."""
    return Verification(verify_from_plain(plain["settings"]), str(plain["identity"]))


@dataclass(frozen=True)
class Reader:
    """Reads requests. `settings` are the gate's own; `split_of` reads a live cluster."""

    settings: GateSettings
    split_of: SplitOf

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
        if not any(values.get(key) for key in WEIGHTS):
            if not name or not namespace:
                raise InputError("which weights? Neither metadata.weight nor a Canary is named")
            values["canary"] = f"{namespace}/{name}"
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
        split = self._split(values, host, path)
        settings = VerifySettings(
            hosts=(host,),
            split=split,
            limits=_limits(self.settings.limits, values),
            load=_load(own, values, path, self.settings.variants),
            sending=SendingSettings(users=self.settings.users),
        )
        settings.limits.question(split)  # refuses what makes no sense, before anything is sent
        return Verification(settings, identity)

    def _host(self, text: str) -> str:
        """Return the gateway that is asked for, the first one where none is."""
        hosts = self.settings.hosts
        if not text:
            return hosts[0]
        host = parse_host(text)
        if host not in hosts:
            raise NotAllowedError(f"{host} is not one of the gateways that this gate may ask")
        return host

    def _split(self, values: Values, host: str, path: str) -> Split:
        """Return the split that is asked for: given, or that of a cluster's resource."""
        stable, canary = self.settings.variants
        if "weight" in values:
            return self._split_of_weight(values["weight"])
        if "weights" in values:
            return Split(parse_weights(values["weights"]))
        probe = Probe(path, host.partition("://")[2])
        context = self.settings.context
        if "virtualService" in values:
            names = parse_mapping(values.get("map", ""))
            source = SourceSettings("virtual_service", values["virtualService"], mapping=names)
            return self.split_of(replace(source, context=context), probe)
        if "canary" in values:
            names = {"primary": stable, "canary": canary}
            source = SourceSettings("canary", values["canary"], mapping=names, context=context)
            return self.split_of(source, probe)
        raise InputError("which weights? Give weight, weights or virtualService")

    def _split_of_weight(self, text: str) -> Split:
        """Return the split with this weight of the canary; controllers always send per cent."""
        stable, canary = self.settings.variants
        per_cent = number(text.removesuffix("%"), "weight")
        if not 0 <= per_cent <= 100:
            raise InputError(f"the weight {text} is not from 0 to 100")
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
