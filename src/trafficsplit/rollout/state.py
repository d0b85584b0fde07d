"""The state of a release on its way: what was, what is set, what comes, and how each step went.

It is in a file before each thing that is done, so that whatever ends us, the next can go on or go
back from there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.files import replace_text
from trafficsplit.settings.commands import SourceSettings
from trafficsplit.settings.verify import VerifySettings, verify_as_plain, verify_from_plain
from trafficsplit.text import one_line
from trafficsplit.weights.percent import complete_weights, in_words

STATE = "rollout.json"
SETTING = "setting"
VERIFYING = "verifying"
PASSED = "passed"
GOING_BACK = "going back"
FINISHED = "finished"
PHASES = (SETTING, VERIFYING, PASSED, GOING_BACK, FINISHED)


@dataclass(frozen=True)
class Plan:
    """What a release does; it stays as it is. Weights are in per cent, times in seconds.

    `before` are the weights at its start, `verification` how each step is verified, with the hosts
    that were given; `source` names where weights are set, the lab where that is empty.
    """

    variant: str
    steps: tuple[float, ...]
    before: Mapping[str, float]
    source: SourceSettings
    verification: VerifySettings
    pause: float = 0.0
    hold: bool = False
    in_force_within: float | None = None

    def weights_at(self, index: int) -> dict[str, float] | None:
        """Return the weights of a step, None behind the last."""
        if index >= len(self.steps):
            return None
        return complete_weights({self.variant: self.steps[index]}, self.before)


@dataclass(frozen=True)
class StepLog:
    """How one step went: what was set, what was seen, and what was decided."""

    at: str
    weights: Mapping[str, float]
    verdict: str
    reason: str
    exit_code: int
    shares: Mapping[str, float | None] = field(default_factory=dict)
    confidence: Mapping[str, Sequence[float]] = field(default_factory=dict)
    requests: int = 0
    errors: int = 0
    report: str = ""
    effect: Mapping[str, Any] | None = None
    effect_text: str = "nothing changed"
    back: bool = False


@dataclass
class Release:
    """A release on its way. `phase` is one of those above; `weights` are what was set last."""

    directory: Path
    plan: Plan
    weights: Mapping[str, float]
    index: int = 0
    phase: str = SETTING
    log: list[StepLog] = field(default_factory=list)

    @property
    def next_weights(self) -> dict[str, float] | None:
        """The weights of the present step, None behind the last."""
        return self.plan.weights_at(self.index)

    @property
    def where(self) -> str:
        """What state the gateway is in, and the ways out."""
        return (
            f"the gateway has {in_words(self.weights)}; go on with --continue, go back with --undo"
        )

    def enter(self, phase: str) -> None:
        """Put a phase into the file. Raises InputError."""
        if self.phase != GOING_BACK or phase == FINISHED:
            self.phase = phase
        self.write()

    def pass_step(self) -> None:
        """The present step is verified. Raises InputError."""
        self.index += 1
        self.enter(PASSED)

    def write(self) -> None:
        """Put the state into its file, whole or not at all. Raises InputError."""
        text = json.dumps(_as_plain(self), indent=2, ensure_ascii=False)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            replace_text(self.directory / STATE, text + "\n")
        except OSError as error:
            raise InputError(
                f"{self.directory} cannot be written ({error.strerror or error}): give another "
                "--report DIR"
            ) from None


def _as_plain(release: Release) -> dict[str, Any]:
    plan = release.plan
    source = {**vars(plan.source), "mapping": dict(plan.source.mapping)}
    return {
        "plan": {
            **vars(plan),
            "before": dict(plan.before),
            "source": source,
            "verification": verify_as_plain(plan.verification),
        },
        "weights": dict(release.weights),
        "index": release.index,
        "phase": release.phase,
        "log": [asdict(step) for step in release.log],
    }


def read_release(directory: Path) -> Release:
    """Return the release whose state is in a directory. Raises InputError."""
    try:
        facts = json.loads((directory / STATE).read_text("utf-8"))
        plan = facts.pop("plan")
        source = SourceSettings(**plan.pop("source"))
        verification = verify_from_plain(plan.pop("verification"))
        steps = tuple(plan.pop("steps"))
        log = [StepLog(**step) for step in facts.pop("log")]
        release = Release(
            directory=directory,
            plan=Plan(steps=steps, source=source, verification=verification, **plan),
            log=log,
            **facts,
        )
        _check(release)
        return release
    except OSError as error:
        raise InputError(f"no rollout in {directory}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = one_line(str(error))
        raise InputError(f"the rollout in {directory} is damaged: {reason}") from None


def _check(release: Release) -> None:
    """Refuse what would be found out in mid-walk only. Raises ValueError, TypeError and others."""
    plan = release.plan
    if release.phase not in PHASES or not 0 <= release.index <= len(plan.steps):
        raise ValueError(f"there is no step {release.index}, or no phase {release.phase!r}")
    for index in range(len(plan.steps)):
        plan.weights_at(index)
    for seconds in (plan.pause, plan.in_force_within or 0.0):
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{seconds} is no time")
    _ = Split(release.weights), Split(plan.before), release.where


def unfinished(directory: Path) -> Release | None:
    """Return the release of a directory that has not ended, None where there is none."""
    if not (directory / STATE).exists():
        return None
    release = read_release(directory)
    return None if release.phase == FINISHED else release
