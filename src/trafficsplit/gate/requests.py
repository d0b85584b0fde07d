"""What a controller's request means: a verification of one gateway, by weights of the moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError, NotAllowedError
from trafficsplit.settings.addresses import parse_host, parse_mapping, parse_path
from trafficsplit.settings.commands import GateSettings, SourceSettings
from trafficsplit.settings.load import LoadSettings, SendingSettings
from trafficsplit.settings.numbers import duration, fraction, number, points, ratio
from trafficsplit.settings.question import Limits, parse_weights, split_of_weight
from trafficsplit.settings.verify import VerifySettings, verify_as_plain, verify_from_plain
from trafficsplit.text import one_line
from trafficsplit.weights.percent import in_words, percent
from trafficsplit.weights.routes import Probe

LONGEST = 300  # characters of a value
SplitOf = Callable[[SourceSettings, Probe], Split]


@dataclass(frozen=True)
class Verification:
    """One verification. `identity` tells occasions apart: the same one is measured once."""

    settings: VerifySettings
    identity: str = ""

    def as_plain(self) -> dict[str, Any]:
        """Return plain data, for a file."""
        return {"settings": verify_as_plain(self.settings), "identity": self.identity}

    @property
    def key(self) -> str:
        """What makes it this one: short, and fit for a file's name.

        How it is sent does not: a gate that is started again with another --rate or --users has the
        verdict already.
        """
        plain = self.as_plain()
        del plain["settings"]["sending"]
        for name in ("rate", "client", "connection", "record"):
            del plain["settings"]["load"][name]
        text = json.dumps(plain, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def target(self) -> str:
        """What is asked."""
        return f"{','.join(self.settings.hosts)}{self.settings.load.request.path}"

    @property
    def weights(self) -> str:
        """What is expected, for people."""
        return in_words(percent(self.settings.split))


def verification_from_plain(plain: Mapping[str, Any]) -> Verification:
    """Return what `as_plain` wrote. Raises TypeError, KeyError or ValueError."""
    return Verification(verify_from_plain(plain["settings"]), str(plain["identity"]))


@dataclass(frozen=True)
class Reader:
    """Reads requests. `settings` are the gate's own; `split_of` asks a live cluster."""

    settings: GateSettings
    split_of: SplitOf

    def of_flagger(self, payload: object) -> Verification:
        """Return what a webhook of Flagger's asks.

        The weights are `weight` or `weights` in its metadata; else those of the VirtualService that
        `virtualService` names there; else the Canary's own status says what is in force. Raises
        InputError, NotAllowedError for the gateway.
        """
        if not isinstance(payload, Mapping):
            raise InputError("the body is no JSON object: Flagger sends name, namespace and phase")
        metadata = payload.get("metadata") or {}
        if not isinstance(metadata, Mapping):
            raise InputError("metadata is no object")
        said = {str(k): text_of(v, f"metadata.{k}") for k, v in metadata.items()}
        name = text_of(payload.get("name") or "", "name")
        namespace = text_of(payload.get("namespace") or "", "namespace")
        checksum = text_of(payload.get("checksum") or "", "checksum")
        if not (said.get("weight") or said.get("weights") or said.get("virtualService")):
            if not name or not namespace:
                raise InputError("which weights? Neither metadata.weight nor a Canary is named")
            said["canary"] = f"{namespace}/{name}"
        identity = "/".join((namespace, name, checksum)) if checksum else ""
        return self.of_values(said, identity)

    def of_values(self, said: Mapping[str, str], identity: str = "") -> Verification:
        """Return what names and values ask. Raises InputError, NotAllowedError for the gateway."""
        said = {name.replace("-", "_"): value for name, value in said.items() if value}
        host = self._host(said.get("host", ""))
        own = self.settings.load
        path = parse_path(said["path"]) if "path" in said else own.request.path
        split = self._split(said, host, path)
        settings = VerifySettings(
            hosts=(host,),
            split=split,
            limits=_limits(self.settings.limits, said),
            load=_load(own, said, path),
            sending=SendingSettings(users=self.settings.users),
        )
        return Verification(settings, identity)

    def _host(self, text: str) -> str:
        hosts = self.settings.hosts
        if not text:
            return hosts[0]
        host = parse_host(text)
        if host not in hosts:
            raise NotAllowedError(f"{host} is not one of the gateways that this gate may ask")
        return host

    def _split(self, said: Mapping[str, str], host: str, path: str) -> Split:
        stable, canary = self.settings.variants
        if "weight" in said:
            return self._split_of_weight(said["weight"])
        if "weights" in said:
            return Split(parse_weights(said["weights"]))
        probe = Probe(path, host.partition("://")[2])
        context = self.settings.context
        if "virtualService" in said:
            names = parse_mapping(said.get("map", ""))
            source = SourceSettings("virtual_service", said["virtualService"], mapping=names)
            return self.split_of(replace(source, context=context), probe)
        if "canary" in said:
            names = {"primary": stable, "canary": canary}
            source = SourceSettings("canary", said["canary"], mapping=names, context=context)
            return self.split_of(source, probe)
        raise InputError("which weights? Give weight, weights or virtualService")

    def _split_of_weight(self, text: str) -> Split:
        """A controller says 0.5 for half a per cent: what it sends are always per cent."""
        stable, canary = self.settings.variants
        per_cent = number(text.removesuffix("%"), "weight")
        if not 0 <= per_cent <= 100:
            raise InputError(f"the weight {text} is not from 0 to 100")
        return Split({stable: 100 - per_cent, canary: per_cent})


def _limits(own: Limits, said: Mapping[str, str]) -> Limits:
    """Return the gate's limits, with what a request says beside. Raises InputError."""
    if "tolerance" in said:
        own = replace(own, tolerance=points(said["tolerance"], "tolerance") / 100)
    if "alpha" in said:
        own = replace(own, alpha=fraction(said["alpha"], "alpha"))
    return own


def _load(own: LoadSettings, said: Mapping[str, str], path: str) -> LoadSettings:
    """Return the gate's load, with what a request says beside. Raises InputError."""
    request = replace(own.request, path=path)
    if "unit" in said:
        if said["unit"] not in ("request", "session"):
            raise InputError(f"there is no unit {said['unit']!r}: say request or session")
        request = replace(request, unit=said["unit"])
    own = replace(own, request=request)
    if "settle" in said:
        own = replace(own, settle=duration(said["settle"], "settle"))
    if "previous_weight" in said:
        own = replace(own, previous=split_of_weight(said["previous_weight"], "previous_weight"))
    return replace(own, canary=_canary_limits(own.canary, said))


def _canary_limits(own: CanaryLimits, said: Mapping[str, str]) -> CanaryLimits:
    if "max_p99_ratio" in said:
        own = replace(own, max_p99_ratio=ratio(said["max_p99_ratio"], "max_p99_ratio"))
    if "max_error_ratio" in said:
        own = replace(own, max_error_ratio=ratio(said["max_error_ratio"], "max_error_ratio"))
    return own


def text_of(value: object, what: str) -> str:
    """Return a value as text. Raises InputError for anything else, or too much of it."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{one_line(what)!r} is no text")
    text = str(value)
    if len(text) > LONGEST or not text.isprintable():
        raise InputError(f"{one_line(what)!r} is too long, or not printable")
    return text
