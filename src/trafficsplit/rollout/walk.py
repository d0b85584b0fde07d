"""The steps of a release, each set, awaited until it is in force, and verified; and the way back.

A step that ends without a match, by a fault of ours too, leads back to where the release began:
traffic is not left at weights that are not verified.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from trafficsplit.analysis.split import Split
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import ExitCode, InputError, TrafficsplitError
from trafficsplit.frame import broken_line, complain, say
from trafficsplit.locust.plan import check_settings
from trafficsplit.report.document import VerdictDocument
from trafficsplit.report.publish import Clock, Saying
from trafficsplit.rollout.state import (
    FINISHED,
    GOING_BACK,
    PASSED,
    SETTING,
    VERIFYING,
    Release,
    StepLog,
)
from trafficsplit.rollout.time_to_effect import (
    Effect,
    Transition,
    is_unchanged,
    observe,
    why_late,
    why_unmeasured,
)
from trafficsplit.rollout.timeline import TIMELINE, write_timeline
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.text import one_line
from trafficsplit.verification import Occasion, verify, with_gateway_of
from trafficsplit.weights.percent import in_words, percent
from trafficsplit.weights.sources import Source

PATIENCE = 30.0  # seconds after which new weights are no longer awaited
BEYOND = 3.0  # seconds that they are awaited beyond a deadline


class _ChangedMeanwhileError(Exception):
    """Another client has set other weights in the middle of a step."""


@dataclass(frozen=True)
class Walk:
    """A release on its way through its steps, and the source in which its weights are set.

    After an inconclusive step, `confirm` asks a person whether to go back, and is None where there
    is no one to ask; `yes` goes back without asking. `plots` draws pictures into every report.
    """

    release: Release
    source: Source
    yes: bool = False
    plots: bool = False
    confirm: Callable[[], bool] | None = None

    def onward(self) -> ExitCode:
        """Walk all steps that are left; return the exit code, that of the last verified step."""
        release = self.release
        while (weights := release.next_weights) is not None:
            code = self._step_or_broken(weights)
            if code is ExitCode.MATCH:
                code = self._pass_step()
            if code is not ExitCode.MATCH:
                return self._stop(code)
            if release.next_weights is not None and release.plan.pause:
                say(f"pause: {release.plan.pause:g} s")
                time.sleep(release.plan.pause)
        self._enter(FINISHED)
        _write_timeline(release)
        before = in_words(release.plan.before)
        say(f"done: {before} → {in_words(release.weights)}, every step verified")
        say(f"report: {release.directory / TIMELINE}")
        return ExitCode.MATCH

    def _stop(self, code: ExitCode) -> ExitCode:
        """End the walk after a step without a match: hold, or go back; return the exit code."""
        release = self.release
        if code is ExitCode.INCONCLUSIVE and not self.yes:
            if not release.plan.hold and self.confirm and self.confirm():
                return self.back(code)
            say(f"it holds: {release.where}")
            return code
        if release.plan.hold:
            self._enter(FINISHED)
            return code
        return self.back(code)

    def _pass_step(self) -> ExitCode:
        """Note that a step is verified; return MATCH, or BROKEN where the disk does not take it.

        Without the note the release could not go on from there.
        """
        try:
            self.release.pass_step()
        except InputError as error:
            return complain(str(error), ExitCode.BROKEN)
        return ExitCode.MATCH

    def back(self, code: ExitCode = ExitCode.MATCH) -> ExitCode:
        """Go back to the weights before the release, and verify them; return the exit code.

        `code` is that of the step because of which it goes back.
        """
        release = self.release
        before = in_words(release.plan.before)
        if code is not ExitCode.MATCH:  # else a person has asked for it
            others = self._others(release.weights, release.plan.before, *self._earlier)
            if others:
                say(f"it does not go back, and holds: {others}")
                return ExitCode.INCONCLUSIVE
        say(f"going back to {before}")
        release.phase = GOING_BACK
        self._enter(GOING_BACK)
        verified = self._step_or_broken(release.plan.before)
        if verified is ExitCode.BROKEN:
            say(f"it is not known to be set back: {release.where}")
        else:
            self._enter(FINISHED)
            _write_timeline(release)
            if verified is ExitCode.MATCH:
                say(f"it is back at {before}, which is verified")
            else:
                say(f"it was set back to {before}, but that is not verified")
            say(f"report: {release.directory / TIMELINE}")
        if code is ExitCode.MATCH:
            return verified
        return code

    def _enter(self, phase: str) -> None:
        """Write a phase into the state's file.

        Raises InputError where the disk does not take it, but not at the end or on the way back.
        """
        release = self.release
        onward = phase != FINISHED and release.phase != GOING_BACK
        try:
            release.enter(phase)
        except InputError as error:
            if onward:
                raise
            complain(str(error), ExitCode.BROKEN)

    def _step_or_broken(self, weights: Mapping[str, float]) -> ExitCode:
        """Do a step; return its exit code, BROKEN where it ends without a verdict."""
        try:
            return self._step(weights)
        except _ChangedMeanwhileError as error:
            self._log(_step_without(weights, Verdict.INCONCLUSIVE, str(error)))
            say(f"  inconclusive: {error}")
            return ExitCode.INCONCLUSIVE
        except TrafficsplitError as error:
            line = str(error)
        except Exception as error:
            line = broken_line(error)
        reason = one_line(line)
        going_back = self.release.phase == GOING_BACK
        self._log(_step_without(weights, "broken", reason, back=going_back))
        say(f"  broken: {reason.removeprefix('broken: ')}")
        return ExitCode.BROKEN

    def _step(self, weights: Mapping[str, float]) -> ExitCode:
        """Set weights, wait until they are in force, and verify them; return the exit code.

        Raises _ChangedMeanwhileError where another client has set others before the verdict.
        """
        say(f"step: {in_words(weights)} ({self.release.next_bounds})")
        effect = self._set(weights)
        if effect is not None:
            say(f"  {effect}")
        step = self._verify(weights, effect)
        others = self._others(weights)
        if others:
            raise _ChangedMeanwhileError(others)
        self._log(step)
        say(f"  {step.at[11:19]} {step.verdict}: {step.reason}")
        return ExitCode(step.exit_code)

    def _others(self, *ours: Mapping[str, float], now: Mapping[str, float] | None = None) -> str:
        """Return who has set weights that are none of ours; empty where they are, or not known.

        `now` are the weights of this moment, None where they have to be read.
        """
        try:
            now = now or percent(self.source.split())
            if any(is_unchanged(weights, now) for weights in ours):
                return ""
            who = self.source.last_change() or "somebody else"
        except Exception as error:  # what comes next reads them as well, and says it
            say(f"note: who has set the weights cannot be read ({one_line(str(error))})")
            return ""
        return f"{who} set {in_words(now)} meanwhile: no verdict"

    @property
    def _earlier(self) -> list[Mapping[str, float]]:
        """The weights of the steps that are done, which stay where the next could not be set."""
        return [step.weights for step in self.release.log]

    def _set(self, weights: Mapping[str, float]) -> Effect | None:
        """Set weights, and return when they came into force; None where nothing changes."""
        release = self.release
        plan = release.plan
        before = percent(self.source.split())
        if release.log and release.phase == PASSED:
            others = self._others(release.weights, now=before)
            if others:
                raise _ChangedMeanwhileError(others)
        # Written before they are set: from then on the gateway may have them.
        release.weights = dict(weights)
        self._enter(SETTING)
        if is_unchanged(before, weights):
            return None
        settings = self._settings(weights)
        patience = PATIENCE
        alpha = settings.question.alpha
        if plan.in_force_within is not None:
            patience = plan.in_force_within + BEYOND
            alpha = settings.question.alpha_of_mismatch
        return observe(
            settings,
            Transition(before, weights, lambda: self.source.set(weights)),
            release.directory / f"{self._number}-effect",
            patience,
            alpha=alpha,
            plots=self.plots,
        )

    @property
    def _number(self) -> str:
        return f"{len(self.release.log) + 1:02d}"

    def _settings(self, weights: Mapping[str, float]) -> VerifySettings:
        """Return the settings to verify weights with next. Raises InputError without a gateway."""
        settings = self.release.next_verification.of(Split(weights))
        settings = with_gateway_of(self.source, settings)
        if not settings.hosts:
            raise InputError(f"which gateway does {self.source} mean? Give --host http://ADDRESS")
        return settings

    def _knowing_what_was_before(self, settings: VerifySettings) -> VerifySettings:
        """Return settings with the weights of the step before, which may still be in force."""
        log = self.release.log
        before = log[-1].weights if log else self.release.plan.before
        load = settings.load
        if load.previous is not None:
            return settings
        return replace(settings, load=replace(load, previous=Split(dict(before))))

    def check(self, *, onward: bool) -> None:
        """Refuse settings with which a step could not be verified. Raises InputError.

        The way back, which is all there is where it does not go `onward`, needs only a gateway.
        """
        self._settings(self.release.plan.before)
        if not onward:
            return
        for index in range(self.release.index, len(self.release.plan.steps)):
            weights = self.release.plan.weights_at(index)
            assert weights is not None
            check_settings(self._settings(weights))
        first = self.release.next_weights
        if first is not None and not is_unchanged(percent(self.source.split()), first):
            self.source.set(first, dry_run=True)  # what may not be set is refused now

    def _verify(self, weights: Mapping[str, float], effect: Effect | None) -> StepLog:
        """Verify weights, and return the log of the step."""
        release = self.release
        settings = self._knowing_what_was_before(self._settings(weights))
        self._enter(VERIFYING)
        report = release.directory / self._number
        saying = Saying(quiet=True, plots=self.plots)
        occasion = Occasion(Clock(time.monotonic()), report, saying, progress=False)
        document = verify(settings, occasion)
        verdict, reason = _decide(document, effect, release.plan.in_force_within)
        return StepLog(
            at=_now(),
            weights=dict(weights),
            verdict=str(verdict),
            reason=reason,
            exit_code=verdict.exit_code,
            shares=document.shares,
            confidence=document.confidence,
            requests=document.requests,
            errors=document.errors,
            report=report.name,
            effect=effect.as_plain() if effect else None,
            effect_text=str(effect) if effect else "nothing changed",
            back=release.phase == GOING_BACK,
            alpha=settings.question.alpha,
            mismatch_alpha=settings.question.alpha_of_mismatch,
        )

    def _log(self, step: StepLog) -> None:
        self.release.note(step)
        try:
            self.release.write()
        except InputError as error:  # the step has been done, even if the disk does not take it
            complain(str(error), ExitCode.BROKEN)
        _write_timeline(self.release)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _decide(
    document: VerdictDocument, effect: Effect | None, deadline: float | None
) -> tuple[Verdict, str]:
    """Return the verdict on a step, and its reason.

    For a match the weights must have come into force within the deadline, in seconds, too.
    """
    if document.verdict is not Verdict.MATCH or deadline is None or effect is None:
        return document.verdict, document.reason
    too_late = why_late(effect, deadline)
    if too_late:
        return Verdict.MISMATCH, too_late
    unknown = why_unmeasured(effect, deadline)
    if unknown:
        return Verdict.INCONCLUSIVE, unknown
    return document.verdict, document.reason


def _step_without(
    weights: Mapping[str, float], verdict: str, reason: str, *, back: bool = False
) -> StepLog:
    """Return the log of a step that has ended without a verdict of its own."""
    return StepLog(
        at=_now(),
        weights=dict(weights),
        verdict=verdict,
        reason=reason,
        exit_code=ExitCode[verdict.upper()],
        effect_text="what was set meanwhile is not known",
        back=back,
    )


def _write_timeline(release: Release) -> None:
    try:
        write_timeline(release)
    except Exception as error:  # a page for people must not end a walk in the middle
        say(f"note: {TIMELINE} cannot be written ({one_line(str(error))})", to_error=True)
