"""What a controller's request means: a verification of one gateway, by weights of the moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from analysis import InputError, Split
from analysis.manifests import Asked
from analysis.options import checked_host, checked_path, text_of_split
from analysis.split import number, split_of_weights
from analysis.text import one_line

# What a request may say beside; the rest is the gate's own affair.
SETTINGS = (
    "tolerance", "alpha", "unit", "settle", "max_p99_ratio", "max_error_ratio", "previous_weight",
)  # fmt: skip
LONGEST = 300  # characters of a value
SplitOf = Callable[[str, str, Asked, str], Split]  # kind, NAMESPACE/NAME, request, names


class NotAllowedError(InputError):
    """A gateway that is not on the list."""


@dataclass(frozen=True)
class Verification:
    """One verification. `identity` tells occasions apart: the same one is measured once.

    `weights` are verify's --weights; `settings` its options, by name.
    """

    host: str
    path: str
    weights: str
    settings: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""

    @property
    def key(self) -> str:
        """What makes it this one: short, and fit for a file's name."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def target(self) -> str:
        """Where it asks."""
        return f"{self.host}{self.path}"


@dataclass(frozen=True)
class Reader:
    """Reads requests. `hosts` may be asked, the first where none is named.

    `variants` are the stable one's and the canary's name; `split_of` asks a live cluster.
    """

    hosts: Sequence[str]
    path: str
    variants: tuple[str, str]
    split_of: SplitOf

    def of_flagger(self, payload: Any) -> Verification:
        """From a webhook of Flagger's. Raises InputError, NotAllowedError for the gateway.

        The weights are `weight` or `weights` in its metadata; else those of the VirtualService that
        `virtualService` names there; else the Canary's own status says what is in force.
        """
        if not isinstance(payload, Mapping):
            raise InputError("the body is no JSON object: Flagger sends name, namespace and phase")
        metadata = payload.get("metadata") or {}
        if not isinstance(metadata, Mapping):
            raise InputError("metadata is no object")
        said = {str(k): text_of(v, f"metadata.{k}") for k, v in metadata.items()}
        name, namespace = (text_of(payload.get(k) or "", k) for k in ("name", "namespace"))
        checksum = text_of(payload.get("checksum") or "", "checksum")
        if not (said.get("weight") or said.get("weights") or said.get("virtualService")):
            if not name or not namespace:
                raise InputError("which weights? Neither metadata.weight nor a Canary is named")
            said["canary"] = f"{namespace}/{name}"
        identity = "/".join((namespace, name, checksum)) if checksum else ""
        return self.of_settings(said, identity)

    def of_settings(self, said: Mapping[str, str], identity: str = "") -> Verification:
        """From names and values. Raises InputError, NotAllowedError for the gateway."""
        said = {name.replace("-", "_"): value for name, value in said.items() if value}
        host = self._host(said.get("host", ""))
        path = checked_path(said.get("path") or self.path)
        weights = text_of_split(self._split(said, host, path))
        settings = {name: said[name] for name in SETTINGS if name in said}
        return Verification(host, path, weights, settings, identity)

    def _host(self, text: str) -> str:
        if not text:
            return self.hosts[0]
        host = checked_host(text)
        if host not in self.hosts:
            raise NotAllowedError(f"{host} is not one of the gateways that this gate may ask")
        return host

    def _split(self, said: Mapping[str, str], host: str, path: str) -> Split:
        stable, canary = self.variants
        if weight := said.get("weight"):
            percent = number(weight.removesuffix("%"), "weight")
            if not 0 <= percent <= 100:
                raise InputError(f"the weight {weight} is not from 0 to 100")
            return Split({stable: 100 - percent, canary: percent})
        if weights := said.get("weights"):
            return split_of_weights(weights)
        asked = Asked(path, host.partition("://")[2], {})
        if name := said.get("virtualService"):
            return self.split_of("virtual_service", name, asked, said.get("map", ""))
        if name := said.get("canary"):
            return self.split_of("canary", name, asked, f"primary={stable},canary={canary}")
        raise InputError("which weights? Give weight, weights or virtualService")


def text_of(value: Any, what: str) -> str:
    """A value as text. Raises InputError for anything else, or too much of it."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{one_line(what)!r} is no text")
    text = str(value)
    if len(text) > LONGEST or not text.isprintable():
        raise InputError(f"{one_line(what)!r} is too long, or not printable")
    return text
