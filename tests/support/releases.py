"""Releases on their way, with a place for weights that is no gateway's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.runs import CANARY, RUNS
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Judgement, Verdict
from trafficsplit.errors import InputError
from trafficsplit.report.document import VerdictDocument, document_of
from trafficsplit.rollout.state import Plan, Release
from trafficsplit.settings.commands import SourceSettings
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.weights.sources import GatewayLocation

BEFORE = {"blue": 100.0, "green": 0.0}


def _fine(*_: object) -> None:
    """Let nothing go wrong."""


class FakeSource:
    """Keeps weights, in per cent, and every setting of them.

    `refuse` is called before each setting, to raise what is to go wrong, and `before_reading`
    before each reading, which fails while the source is `unreadable`.
    """

    def __init__(self, weights: Mapping[str, float] = BEFORE) -> None:
        self.weights = dict(weights)
        self.settings: list[dict[str, float]] = []
        self.hosts: tuple[str, ...] = ("http://gateway",)
        self.refuse: Callable[[Mapping[str, float]], None] = _fine
        self.before_reading: Callable[[], None] = _fine
        self.unreadable = False
        self.changed_by = ""

    def __str__(self) -> str:
        return "a fake"

    def split(self) -> Split:
        """Return the weights that were set last."""
        self.before_reading()
        if self.unreadable:
            raise InputError("the cluster is away")
        return Split(self.weights)

    def others(self) -> Mapping[str, Split]:
        """Return nothing: there is one route."""
        return {}

    def set(self, weights: Mapping[str, float], *, dry_run: bool = False) -> str:
        """Set weights."""
        self.refuse(weights)
        if dry_run:
            return "would set"
        self.weights = dict(weights)
        self.settings.append(self.weights)
        return "set"

    def set_at(self) -> str:
        """Return nothing."""
        return ""

    def last_change(self) -> str:
        """Return who set them last, if another client did."""
        return self.changed_by

    def gateway(self) -> GatewayLocation:
        """Return where the gateway is."""
        return GatewayLocation(self.hosts)


def plan(**changes: Any) -> Plan:
    """Return the plan of a release of green, by way of 25 % to 100 %."""
    fields: dict[str, Any] = {
        "variant": "green",
        "steps": (25.0, 100.0),
        "before": BEFORE,
        "source": SourceSettings(),
        "verification": VerifySettings((), CANARY),
    }
    return Plan(**{**fields, **changes})


def release(directory: Path, **changes: Any) -> Release:
    """Return a release that has not begun."""
    return Release(directory, plan(**changes), BEFORE)


def document(verdict: Verdict, reason: str = "because of it") -> VerdictDocument:
    """Return the document of a run with a verdict."""
    return document_of(RUNS["ordinary"], Judgement(verdict, reason))
