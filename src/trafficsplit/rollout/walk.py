"""A release's steps, each set, awaited until it is in force, and verified; and the way back.

Whatever ends a step without a match, a fault of our own too, goes back to where it began: traffic
is not left where nobody has verified it.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    SETTING,
    VERIFYING,
    Release,
    StepLog,
)
from trafficsplit.rollout.time_to_effect import (
    Effect,
    Transition,
    late,
    no_change,
    observe,
    unmeasured,
)
from trafficsplit.rollout.timeline import TIMELINE, write_timeline
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.text import one_line
from trafficsplit.verification import Occasion, verify, with_gateway_of
from trafficsplit.weights.percent import in_words, percent
from trafficsplit.weights.sources import Source

PATIENCE = 30.0  # seconds until new weights are given up
LAST_LOOK = 3.0  # seconds beyond a deadline


@dataclass(frozen=True)
class Walk:
    """A release, the place where its weights are set, and what is to be done on inconclusive.

    `confirm` asks a person whether to go back, None where nobody is there; `yes` goes back without
    asking. `plots` draws pictures into every report.
    """

    release: Release
    source: Source
    yes: bool = False
    plots: bool = False
    confirm: Callable[[], bool] | None = None

    def onward(self) -> ExitCode:
        """Walk all steps that are left. Returns the exit code, of the last verified step."""
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
        self._write_timeline()
        before = in_words(release.plan.before)
        say(f"done: {before} → {in_words(release.weights)}, every step verified")
        say(f"report: {release.directory / TIMELINE}")
        return ExitCode.MATCH

    def _stop(self, code: ExitCode) -> ExitCode:
        """A step has not matched: hold, ask, or go back."""
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
        """Take note that a step is verified; without a disk nobody could go on from there."""
        try:
            self.release.pass_step()
        except InputError as error:
            return complain(str(error), ExitCode.BROKEN)
        return ExitCode.MATCH

    def back(self, code: ExitCode = ExitCode.MATCH) -> ExitCode:
        """Go to where the release began, and verify that; the code says why it went back."""
        release = self.release
        before = in_words(release.plan.before)
        say(f"going back to {before}")
        release.phase = GOING_BACK
        self._enter(GOING_BACK)
        verified = self._step_or_broken(release.plan.before)
        if verified is ExitCode.BROKEN:
            say(f"it could not be set back, or nobody knows: {release.where}")
            return verified if code is ExitCode.MATCH else code
        self._enter(FINISHED)
        self._write_timeline()
        if verified is ExitCode.MATCH:
            say(f"it is back at {before}, which is verified")
        else:
            say(f"it was set back to {before}, but that is not verified")
            code = verified if code is ExitCode.MATCH else code
        say(f"report: {release.directory / TIMELINE}")
        return code

    def _enter(self, phase: str) -> None:
        """Put a phase into the state's file. At the end, and on the way back, no disk may stop us.

        Raises InputError on the way onward.
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
        """Do a step; what ends it without a verdict is `broken`, by name."""
        try:
            return self._step(weights)
        except TrafficsplitError as error:
            line = str(error)
        except Exception as error:
            line = broken_line(error)
        self._log(
            StepLog(
                at=_now(),
                weights=dict(weights),
                verdict="broken",
                reason=one_line(line),
                exit_code=ExitCode.BROKEN,
                effect_text="what was set meanwhile is not known",
                back=self.release.phase == GOING_BACK,
            )
        )
        say(f"  broken: {one_line(line).removeprefix('broken: ')}")
        return ExitCode.BROKEN

    def _step(self, weights: Mapping[str, float]) -> ExitCode:
        """Set weights, wait until they are in force, and verify them."""
        say(f"step: {in_words(weights)}")
        effect = self._set(weights)
        if effect is not None:
            say(f"  {effect}")
        step = self._verified(weights, effect)
        self._log(step)
        say(f"  {step.at[11:19]} {step.verdict}: {step.reason}")
        return ExitCode(step.exit_code)

    def _set(self, weights: Mapping[str, float]) -> Effect | None:
        """Put weights in force, and see when they are; None where nothing changes."""
        release = self.release
        plan = release.plan
        before = percent(self.source.split())
        # Written first: from here on the gateway may have them.
        release.weights = dict(weights)
        self._enter(SETTING)
        if no_change(before, weights):
            return None
        patience = PATIENCE
        if plan.in_force_within is not None:
            patience = plan.in_force_within + LAST_LOOK
        return observe(
            self._settings(weights),
            Transition(before, weights, lambda: self.source.set(weights)),
            release.directory / f"{self._number}-effect",
            patience,
            plots=self.plots,
        )

    @property
    def _number(self) -> str:
        return f"{len(self.release.log) + 1:02d}"

    def _settings(self, weights: Mapping[str, float]) -> VerifySettings:
        """Return how these weights are verified. Raises InputError where no gateway is known."""
        template = self.release.plan.verification
        settings = with_gateway_of(self.source, template.of(Split(weights)))
        if not settings.hosts:
            raise InputError(f"which gateway does {self.source} mean? Give --host http://ADDRESS")
        return settings

    def check(self, *, onward: bool) -> None:
        """Refuse what some step could not be verified with. Raises InputError.

        The way back, where it is not to go `onward`, needs no more than a gateway.
        """
        self._settings(self.release.plan.before)
        steps = range(self.release.index, len(self.release.plan.steps)) if onward else ()
        for index in steps:
            weights = self.release.plan.weights_at(index)
            assert weights is not None
            check_settings(self._settings(weights))

    def _verified(self, weights: Mapping[str, float], effect: Effect | None) -> StepLog:
        """Verify weights, and return how it went."""
        release = self.release
        self._enter(VERIFYING)
        report = release.directory / self._number
        saying = Saying(quiet=True, plots=self.plots)
        occasion = Occasion(Clock(time.monotonic()), report, saying, progress=False)
        document = verify(self._settings(weights), occasion)
        verdict, reason = self._decided(document, effect)
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
        )

    def _decided(self, document: VerdictDocument, effect: Effect | None) -> tuple[Verdict, str]:
        """Return the verdict on a step: a match has to be in force in time, too."""
        deadline = self.release.plan.in_force_within
        if document.verdict is not Verdict.MATCH or deadline is None or effect is None:
            return document.verdict, document.reason
        too_late = late(effect, deadline)
        if too_late:
            return Verdict.MISMATCH, too_late
        unknown = unmeasured(effect, deadline)
        if unknown:
            return Verdict.INCONCLUSIVE, unknown
        return document.verdict, document.reason

    def _log(self, step: StepLog) -> None:
        self.release.log.append(step)
        try:
            self.release.write()
        except InputError as error:  # the step has been done, whatever the disk says
            complain(str(error), ExitCode.BROKEN)
        self._write_timeline()

    def _write_timeline(self) -> None:
        try:
            write_timeline(self.release)
        except Exception as error:  # decoration, which must not end a walk in mid-step
            say(f"note: {TIMELINE} cannot be written ({one_line(str(error))})", to_error=True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
