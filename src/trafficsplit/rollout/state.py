"""The state of a release on its way: its plan, the weights that are set, and a log of its steps.

It is written into a file before each act, so that another process can go on or go back from there
however this one ends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError
from trafficsplit.files import replace_text
from trafficsplit.rollout.spending import Spent, bounds_of_next, limits_of_next
from trafficsplit.settings.commands import SourceSettings, source_as_plain
from trafficsplit.settings.secrets import mask_settings
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
    """The steps of a release, and how each is done. Weights are in per cent, times in seconds.

    `steps` are the weights of `variant`, one after the other, `before` all weights at the start;
    `verification` are the settings of each verification, with the hosts that were given; `source`
    says where weights are set, in the lab where it is empty.
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
        """Return the weights of all variants at a step, None after the last one."""
        if index >= len(self.steps):
            return None
        return complete_weights({self.variant: self.steps[index]}, self.before)

    def verification_after(self, spent: Spent) -> VerifySettings:
        """Return the settings of the next verification, with its parts of the release's alpha."""
        has_deadline = self.in_force_within is not None
        has_limits = not self.verification.load.canary.are_unset
        limits = limits_of_next(
            self.verification.limits,
            spent,
            len(self.steps),
            more_kinds=int(has_deadline) + int(has_limits),
        )
        return replace(self.verification, limits=limits)


@dataclass(frozen=True)
class StepLog:
    """How one step went: the weights, the effect and the verdict.

    `back` says that it was the way back; `alpha` and `mismatch_alpha` are the step's parts of the
    release's alpha, None where it was not verified. The rest is as in a verdict document.
    """

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
    alpha: float | None = None
    mismatch_alpha: float | None = None

    @property
    def bounds(self) -> str:
        """The step's parts of alpha, for people; empty where it was not verified."""
        if self.alpha is None or self.mismatch_alpha is None:
            return ""
        return (
            f"wrong with a probability of at most {100 * self.alpha:.2g} % if it is a match, of "
            f"{100 * self.mismatch_alpha:.2g} % if it is a mismatch"
        )


@dataclass
class Release:
    """A release on its way. `phase` is one of `PHASES`; `weights` are those that were set last.

    `index` is the number of the present step, from 0; `spent` is what is gone of alpha.
    """

    directory: Path
    plan: Plan
    weights: Mapping[str, float]
    index: int = 0
    phase: str = SETTING
    log: list[StepLog] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)

    @property
    def next_weights(self) -> dict[str, float] | None:
        """The weights of the present step, None after the last one."""
        return self.plan.weights_at(self.index)

    @property
    def next_bounds(self) -> str:
        """The bounds on both errors of the next verification, for people."""
        return bounds_of_next(self.plan.verification.limits, self.spent, len(self.plan.steps))

    @property
    def where(self) -> str:
        """The weights of the gateway, and the two commands that go on from there, for people.

        While weights are being set, it is not known whether they are.
        """
        has = "may have" if self.phase in (SETTING, GOING_BACK) else "has"
        weights = in_words(self.weights)
        return f"the gateway {has} {weights}; go on with --continue, go back with --undo"

    def enter(self, phase: str) -> None:
        """Begin a phase, and write it into the file; the way back stays one until its end.

        A verification is spent from its beginning. Raises InputError.
        """
        if phase == VERIFYING:
            self.spent = self.spent.after_beginning()
        if self.phase != GOING_BACK or phase == FINISHED:
            self.phase = phase
        self.write()

    @property
    def next_verification(self) -> VerifySettings:
        """The settings of the next verification but for its weights, with its parts of alpha."""
        return self.plan.verification_after(self.spent)

    def note(self, step: StepLog) -> None:
        """Add a step to the log; a match gives back what its verification held as missed."""
        self.log.append(step)
        if step.verdict == Verdict.MATCH:
            self.spent = self.spent.after_match()

    def pass_step(self) -> None:
        """Note that the present step is verified, and go to the next. Raises InputError."""
        self.index += 1
        self.enter(PASSED)

    def write(self) -> None:
        """Write the state into its file, which is whole at any time. Raises InputError."""
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
    return {
        "plan": {
            **vars(plan),
            "before": dict(plan.before),
            "source": source_as_plain(plan.source),
            "verification": mask_settings(verify_as_plain(plan.verification)),
        },
        "weights": dict(release.weights),
        "index": release.index,
        "phase": release.phase,
        "log": [asdict(step) for step in release.log],
        "spent": asdict(release.spent),
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
        spent = Spent(**facts.pop("spent", _spent_by(log)))
        release = Release(
            directory=directory,
            plan=Plan(steps=steps, source=source, verification=verification, **plan),
            log=log,
            spent=spent,
            **facts,
        )
        _check(release)
        return release
    except OSError as error:
        raise InputError(f"no rollout in {directory}: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = one_line(str(error))
        raise InputError(f"the rollout in {directory} is damaged: {reason}") from None


def _spent_by(log: Sequence[StepLog]) -> dict[str, int]:
    """Return what steps have spent, for a state of version 0.1, which does not say."""
    return {"begun": len(log), "missed": sum(step.verdict != "match" for step in log)}


def _check(release: Release) -> None:
    """Refuse a state with which a walk would break. Raises ValueError, TypeError and others."""
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
    """Return the release of a directory if it has not ended, None if there is no such release.

    Raises InputError.
    """
    if not (directory / STATE).exists():
        return None
    release = read_release(directory)
    if release.phase == FINISHED:
        return None
    return release
