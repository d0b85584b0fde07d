"""A release's steps: whatever ends one without a match goes back, or says that it could not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.support.releases import BEFORE, FakeSource, document, plan, release
from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import BrokenError, ClusterError, ExitCode, InputError
from trafficsplit.report.document import VerdictDocument
from trafficsplit.rollout import walk as module
from trafficsplit.rollout.state import (
    FINISHED,
    GOING_BACK,
    PASSED,
    SETTING,
    STATE,
    VERIFYING,
    Release,
    read_release,
)
from trafficsplit.rollout.time_to_effect import Effect, Transition
from trafficsplit.rollout.timeline import TIMELINE
from trafficsplit.rollout.walk import Walk
from trafficsplit.settings.load import LoadSettings
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.verification import Occasion

MATCH = Verdict.MATCH
MISMATCH = Verdict.MISMATCH
STEP_1 = {"blue": 75.0, "green": 25.0}
STEP_2 = {"blue": 0.0, "green": 100.0}
End = Verdict | BaseException
CODES = {
    MISMATCH: ExitCode.MISMATCH,
    Verdict.FAILING: ExitCode.FAILING,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
}


def in_thousandths(match: float, mismatch: float) -> tuple[int, int]:
    """Return what may be spent, in thousandths of an alpha of 1 %."""
    return round(1e5 * match), round(1e5 * mismatch)


@dataclass
class Stage:
    """A release of two steps in front of a fake source, and what each verification comes to.

    `ends` are taken in turn, a match when there are no more; `phases` are those that the state's
    file had when a verification began, and `alphas` what it could spend, in thousandths of alpha.
    """

    source: FakeSource
    release: Release
    ends: list[End] = field(default_factory=list)
    effects: list[Effect | BaseException] = field(default_factory=list)
    verified: list[dict[str, float]] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    alphas: list[tuple[int, int]] = field(default_factory=list)
    previous: list[dict[str, float]] = field(default_factory=list)

    def walk(
        self, *ends: End, yes: bool = False, confirm: Callable[[], bool] | None = None
    ) -> Walk:
        """Return the walk, whose verifications come to these ends."""
        self.ends = list(ends)
        return Walk(self.release, self.source, yes, confirm=confirm)

    def verify(self, settings: VerifySettings, occasion: Occasion) -> VerdictDocument:
        """Stand for a verification."""
        self.verified.append({v: 100 * w for v, w in settings.split.weights.items()})
        assert settings.load.previous is not None
        self.previous.append({v: 100 * w for v, w in settings.load.previous.weights.items()})
        question = settings.question
        self.alphas.append(in_thousandths(question.alpha, question.alpha_of_mismatch))
        if (self.release.directory / STATE).exists():
            self.phases.append(read_release(self.release.directory).phase)
        end = self.ends.pop(0) if self.ends else MATCH
        if isinstance(end, BaseException):
            raise end
        return document(end)

    def observe(
        self, settings: VerifySettings, transition: Transition, *_: object, **options: object
    ) -> Effect:
        """Stand for a run that sees the change: a tenth of a second later."""
        effect = self.effects.pop(0) if self.effects else Effect(0.1, 0.05, 0.15, 3000)
        if isinstance(effect, BaseException):
            raise effect
        transition.make()
        return effect


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    own = Stage(FakeSource(), release(tmp_path / "rollout"))
    monkeypatch.setattr(module, "verify", own.verify)
    monkeypatch.setattr(module, "observe", own.observe)
    return own


def saved(stage: Stage) -> Release:
    return read_release(stage.release.directory)


# --- onward ---


def test_every_step_is_set_and_verified(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage.walk().onward() is ExitCode.MATCH
    assert stage.source.settings == stage.verified == [STEP_1, STEP_2]
    assert stage.phases == [VERIFYING, VERIFYING]
    ended = saved(stage)
    assert (ended.phase, ended.index, ended.weights) == (FINISHED, 2, STEP_2)
    assert [step.verdict for step in ended.log] == ["match", "match"]
    assert not any(step.back for step in ended.log)
    assert (stage.release.directory / TIMELINE).exists()
    out = capsys.readouterr().out
    assert "step: blue 75 %, green 25 %" in out
    assert "in force 100 ms after it was set" in out
    assert "done: blue 100 %, green 0 % → blue 0 %, green 100 %, every step verified" in out


def test_the_weights_of_the_step_before_are_known(stage: Stage) -> None:
    stage.walk(MATCH, MISMATCH, MATCH).onward()
    assert stage.verified == [STEP_1, STEP_2, BEFORE]
    assert stage.previous == [BEFORE, STEP_1, STEP_2]


def test_a_step_that_changes_nothing_is_verified_only(stage: Stage) -> None:
    stage.source.weights = dict(STEP_1)
    assert stage.walk().onward() is ExitCode.MATCH
    assert stage.source.settings == [STEP_2]
    assert stage.verified == [STEP_1, STEP_2]
    assert saved(stage).log[0].effect_text == "nothing changed"


def test_the_pause_is_between_steps(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("trafficsplit.rollout.walk.time.sleep", pauses.append)
    stage.release.plan = plan(pause=5.0, steps=(10.0, 20.0, 30.0))
    assert stage.walk().onward() is ExitCode.MATCH
    assert pauses == [5.0, 5.0]


def test_a_walk_goes_on_with_the_step_that_it_was_at(stage: Stage) -> None:
    stage.release.index = 1
    stage.release.weights = STEP_1
    stage.source.weights = dict(STEP_1)
    assert stage.walk().onward() is ExitCode.MATCH
    assert stage.verified == [STEP_2]


# --- ends of a step that are no match ---


@pytest.mark.parametrize("verdict", [MISMATCH, Verdict.FAILING])
def test_another_verdict_goes_back_and_verifies_that(
    stage: Stage, capsys: pytest.CaptureFixture[str], verdict: Verdict
) -> None:
    assert stage.walk(MATCH, verdict).onward() is CODES[verdict]
    assert stage.source.settings == stage.verified == [STEP_1, STEP_2, BEFORE]
    ended = saved(stage)
    assert (ended.phase, ended.weights) == (FINISHED, BEFORE)
    assert [step.back for step in ended.log] == [False, False, True]
    assert stage.phases[-1] == GOING_BACK
    assert "it is back at blue 100 %, green 0 %, which is verified" in capsys.readouterr().out


FAULTS: list[BaseException] = [
    BrokenError("broken: Locust ended with signal 9 and left no counts"),
    InputError("the cluster refuses"),
    OSError(28, "No space left on device"),
    MemoryError(),
    RuntimeError("two\nlines"),
    KeyError("nothing"),
    RecursionError(),
    AssertionError(),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_step_without_a_verdict_goes_back_whatever_the_reason(
    stage: Stage, capsys: pytest.CaptureFixture[str], fault: BaseException
) -> None:
    assert stage.walk(MATCH, fault).onward() is ExitCode.BROKEN
    assert stage.source.weights == BEFORE
    assert stage.verified[-1] == BEFORE
    ended = saved(stage)
    assert ended.phase == FINISHED
    broken = ended.log[1]
    assert (broken.verdict, broken.exit_code, broken.weights) == ("broken", 5, STEP_2)
    assert len(broken.reason.splitlines()) == 1
    out = capsys.readouterr().out
    assert "  broken: " in out
    assert "it is back at" in out


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_change_that_cannot_be_made_goes_back(stage: Stage, fault: BaseException) -> None:
    stage.effects = [fault]
    assert stage.walk().onward() is ExitCode.BROKEN
    assert stage.source.weights == BEFORE
    assert stage.verified == [BEFORE]


def test_a_setting_that_is_refused_goes_back(stage: Stage) -> None:
    def refuse(weights: Mapping[str, float]) -> None:
        if weights["green"] == 100:
            raise InputError("only once the moon is full")

    stage.source.refuse = refuse
    assert stage.walk().onward() is ExitCode.BROKEN
    assert stage.source.settings == [STEP_1, BEFORE]
    assert "only once the moon is full" in saved(stage).log[1].reason


def test_a_source_that_cannot_be_read_any_more_goes_back(stage: Stage) -> None:
    def unreadable() -> None:
        # When a step is verified, and before the next; it can be read on the way back.
        stage.source.unreadable = len(stage.verified) in (1, 2)
        if stage.source.unreadable:
            stage.verified.append({})

    stage.source.before_reading = unreadable
    assert stage.walk().onward() is ExitCode.BROKEN
    assert stage.source.weights == BEFORE


def test_whoever_interrupts_finds_the_state_as_it_is(stage: Stage) -> None:
    walk = stage.walk(MATCH, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        walk.onward()
    ended = saved(stage)
    assert (ended.phase, ended.index, ended.weights) == (VERIFYING, 1, STEP_2)
    assert "go on with --continue, go back with --undo" in ended.where


# --- inconclusive: a person decides ---


def test_inconclusive_holds_where_nobody_can_be_asked(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stage.walk(Verdict.INCONCLUSIVE).onward() is ExitCode.INCONCLUSIVE
    assert stage.source.settings == [STEP_1]
    assert saved(stage).phase == VERIFYING
    assert "it holds: the gateway has blue 75 %, green 25 %; go on with" in capsys.readouterr().out


@pytest.mark.parametrize("goes", [True, False])
def test_inconclusive_asks_whoever_is_there(stage: Stage, goes: bool) -> None:
    walk = stage.walk(Verdict.INCONCLUSIVE, confirm=lambda: goes)
    assert walk.onward() is ExitCode.INCONCLUSIVE
    assert stage.source.weights == (BEFORE if goes else STEP_1)


def test_inconclusive_goes_back_unasked_where_that_was_said(stage: Stage) -> None:
    def never() -> bool:
        raise AssertionError

    walk = stage.walk(Verdict.INCONCLUSIVE, yes=True, confirm=never)
    assert walk.onward() is ExitCode.INCONCLUSIVE
    assert stage.source.weights == BEFORE


@pytest.mark.parametrize("end", [MISMATCH, Verdict.FAILING, RuntimeError("x")], ids=str)
def test_a_release_that_is_to_hold_is_left_as_it_is(stage: Stage, end: End) -> None:
    stage.release.plan = plan(hold=True)
    code = stage.walk(end).onward()
    assert code is (CODES[end] if isinstance(end, Verdict) else ExitCode.BROKEN)
    assert stage.source.settings == [STEP_1]
    assert saved(stage).phase == FINISHED


# --- the way back ---


def test_the_way_back_alone_is_a_match_where_it_is_verified(stage: Stage) -> None:
    stage.source.weights = dict(STEP_1)
    assert stage.walk().back() is ExitCode.MATCH
    assert stage.source.settings == [BEFORE]
    assert saved(stage).phase == FINISHED


@pytest.mark.parametrize("verdict", [MISMATCH, Verdict.FAILING, Verdict.INCONCLUSIVE])
def test_a_way_back_that_is_not_verified_says_so(
    stage: Stage, capsys: pytest.CaptureFixture[str], verdict: Verdict
) -> None:
    stage.source.weights = dict(STEP_1)
    assert stage.walk(verdict).back() is CODES[verdict]
    assert stage.source.weights == BEFORE
    assert "it was set back to blue 100 %, green 0 %, but that is not verified" in (
        capsys.readouterr().out
    )


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_failure_of_going_back_says_so_with_the_ways_out(
    stage: Stage, capsys: pytest.CaptureFixture[str], fault: BaseException
) -> None:
    assert stage.walk(MISMATCH, fault).onward() is ExitCode.MISMATCH  # why it went back
    out = capsys.readouterr().out
    assert "it is not known to be set back: the gateway may have" in out
    assert "go on with --continue, go back with --undo" in out
    assert "it is back" not in out
    assert saved(stage).phase == GOING_BACK  # so that --undo can go on with it
    assert stage.walk(fault).back() is ExitCode.BROKEN


def test_a_source_that_refuses_to_be_set_back_says_so(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(weights: Mapping[str, float]) -> None:
        if weights == BEFORE:
            raise InputError("conflict with argo")

    stage.source.refuse = refuse
    assert stage.walk(MISMATCH).onward() is ExitCode.MISMATCH
    assert stage.source.weights == STEP_1
    out = capsys.readouterr().out
    assert "broken: conflict with argo" in out
    assert "it is not known to be set back" in out


# --- alpha ---


def test_every_step_has_its_part_of_alpha_and_the_way_back_another(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.walk(MATCH, MISMATCH).onward()
    stop = 100  # of two steps and the way back, each of three kinds
    assert stage.alphas == [(600, stop), (600, stop), (300, stop)]
    log = saved(stage).log
    assert [in_thousandths(step.alpha or 0, step.mismatch_alpha or 0) for step in log] == (
        stage.alphas
    )
    out = capsys.readouterr().out
    bounds = "wrongly passed at most 0.6 %, wrongly stopped 0.3 %"
    back = "wrongly passed at most 0.3 %, wrongly stopped 0.3 %"
    assert f"step: blue 0 %, green 100 % ({bounds})" in out
    assert f"step: blue 100 %, green 0 % ({back})" in out


@pytest.mark.parametrize("end", [Verdict.INCONCLUSIVE, KeyboardInterrupt()], ids=repr)
def test_what_is_spent_is_kept_for_whoever_goes_on(stage: Stage, end: End) -> None:
    walk = stage.walk(MATCH, end)
    with contextlib.suppress(KeyboardInterrupt):
        walk.onward()
    stage.release = saved(stage)
    stage.walk(Verdict.INCONCLUSIVE).onward()
    stage.release = saved(stage)
    stage.walk().onward()
    assert stage.alphas[2:] == [
        (300, 100),
        (75, 17),  # more than was planned
    ]


def test_a_deadline_has_its_part_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.release.plan = plan(in_force_within=2.0)
    stage.walk().onward()
    assert stage.alphas == [(600, 75)] * 2


def test_so_has_a_limit_on_the_canary(stage: Stage) -> None:
    load = LoadSettings(canary=CanaryLimits(max_error_ratio=2.0))
    asked = replace(stage.release.plan.verification, load=load)
    stage.release.plan = plan(verification=asked)
    stage.walk().onward()
    assert stage.alphas == [(600, 75)] * 2


# --- deadlines ---


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        (Effect(0.1, 0.05, 0.15), "match"),
        (Effect(9.0, 8.0, 10.0), "mismatch"),
        (Effect(2.0, 1.0, 3.0), "inconclusive"),  # before or after the deadline?
        (Effect(unseen="too many requests were lost"), "inconclusive"),
        (Effect(old_until=3.0), "mismatch"),
    ],
)
def test_a_match_has_to_be_in_force_in_time(stage: Stage, effect: Effect, verdict: str) -> None:
    stage.release.plan = plan(in_force_within=2.0)
    stage.effects = [effect]
    stage.walk(yes=True).onward()
    assert stage.release.log[0].verdict == verdict
    assert stage.source.weights == (STEP_2 if verdict == "match" else BEFORE)


def test_a_deadline_that_was_kept_is_no_excuse_for_other_weights(stage: Stage) -> None:
    stage.release.plan = plan(in_force_within=2.0)
    assert stage.walk(MISMATCH).onward() is ExitCode.MISMATCH
    assert stage.release.log[0].reason == "because of it"


def test_without_a_deadline_what_was_not_seen_is_no_fault(stage: Stage) -> None:
    stage.effects = [Effect(unseen="too many requests were lost")]
    assert stage.walk().onward() is ExitCode.MATCH


# --- the disk ---


def full_disk(*_: object) -> None:
    raise InputError("the directory cannot be written (No space left on device)")


@pytest.mark.parametrize("phase", [SETTING, VERIFYING, PASSED, FINISHED])
def test_a_disk_that_fills_up_leaves_no_traffic_where_nobody_has_verified_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    write = Release.write
    full: list[bool] = []

    def fills_up(own: Release) -> None:
        if full or own.phase == phase:
            full.append(True)
            full_disk()
        write(own)

    monkeypatch.setattr(Release, "write", fills_up)
    code = stage.walk().onward()
    assert full
    if phase == FINISHED:  # all is verified, and only its note is missing
        assert (code, stage.source.weights) == (ExitCode.MATCH, STEP_2)
    else:
        assert (code, stage.source.weights) == (ExitCode.BROKEN, BEFORE)
        assert stage.verified[-1] == BEFORE


def test_a_page_that_cannot_be_drawn_ends_no_walk(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def undrawable(_: object) -> None:
        raise ValueError("no template")

    monkeypatch.setattr(module, "write_timeline", undrawable)
    assert stage.walk().onward() is ExitCode.MATCH
    assert f"note: {TIMELINE} cannot be written (no template)" in capsys.readouterr().err


# --- before the first step ---


def test_what_no_step_could_be_verified_with_is_refused_before_anything_is_set(
    stage: Stage,
) -> None:
    stage.walk().check(onward=True)
    stage.source.hosts = ()
    with pytest.raises(InputError, match="which gateway does a fake mean"):
        stage.walk().check(onward=True)
    with pytest.raises(InputError, match="which gateway does a fake mean"):
        stage.walk().check(onward=False)
    assert stage.source.settings == []


def test_a_gateway_that_was_given_is_asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    given = VerifySettings(("http://given",), stage.release.plan.verification.split)
    stage.release.plan = plan(verification=given)
    asked: list[tuple[str, ...]] = []

    def verify(settings: VerifySettings, _: Occasion) -> VerdictDocument:
        asked.append(settings.hosts)
        return document(MATCH)

    monkeypatch.setattr(module, "verify", verify)
    stage.walk().onward()
    assert asked == [("http://given",)] * 2


# --- another client in mid-release ---


def test_what_another_client_sets_in_mid_step_is_no_verdict_and_is_not_taken_back(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify_while_another_sets(settings: VerifySettings, occasion: Occasion) -> VerdictDocument:
        stage.source.weights = {"blue": 90.0, "green": 10.0}
        stage.source.changed_by = "kubectl-patch at 20:10:12"
        return stage.verify(settings, occasion)

    monkeypatch.setattr(module, "verify", verify_while_another_sets)
    assert stage.walk(MISMATCH, yes=True).onward() is ExitCode.INCONCLUSIVE
    said = capsys.readouterr().out
    assert "kubectl-patch at 20:10:12 set blue 90 %, green 10 % meanwhile: no verdict" in said
    assert "it does not go back, and holds" in said
    assert stage.source.settings == [STEP_1]


def test_what_another_client_sets_between_steps_is_not_overwritten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_sets(_: float) -> None:
        stage.source.weights = {"blue": 90.0, "green": 10.0}

    monkeypatch.setattr("trafficsplit.rollout.walk.time.sleep", another_sets)
    walk = stage.walk()
    walk.release.plan = replace(walk.release.plan, pause=1.0)
    assert walk.onward() is ExitCode.INCONCLUSIVE
    assert stage.source.settings == [STEP_1]


def test_what_may_not_be_set_is_refused_before_anything_is_sent(stage: Stage) -> None:
    def refuse(_: Mapping[str, float]) -> None:
        raise InputError("the cluster forbids us to change it")

    stage.source.refuse = refuse
    with pytest.raises(InputError, match="forbids us"):
        stage.walk().check(onward=True)
    stage.walk().check(onward=False)


# --- a fault at each call ---


class CallFaults:
    """Lets the n-th call of a source fail, and no other."""

    def __init__(self, source: FakeSource, number: int, fault: BaseException) -> None:
        self.calls = 0
        self._number = number
        self._fault = fault
        source.refuse = self._count
        source.before_reading = self._count

    def _count(self, *_: object) -> None:
        self.calls += 1
        if self.calls == self._number:
            raise self._fault


AT_CALLS: dict[str, BaseException] = {
    **{f"{code}": ClusterError(f"({code})", code) for code in (401, 403, 404, 409, 422, 429)},
    **{f"{code}": ClusterError(f"({code})", code) for code in (500, 502, 503, 504)},
    "no answer": ClusterError("the cluster's API does not answer"),
    "lost": ConnectionResetError("reset"),
    "time-out": TimeoutError("timed out"),
    "ours": RuntimeError("boom"),
    "memory": MemoryError(),
    "broken": BrokenError("broken: no space"),
}
CALLS = 14  # more than a walk of two steps and a way back makes


@pytest.mark.parametrize("end", [MATCH, MISMATCH, Verdict.FAILING, BrokenError("broken: killed")])
@pytest.mark.parametrize("fault", AT_CALLS)
def test_whatever_fails_at_whichever_call_leaves_no_traffic_unverified(
    stage: Stage, capsys: pytest.CaptureFixture[str], fault: str, end: End
) -> None:
    for number in range(1, CALLS + 1):
        stage.source.weights = dict(BEFORE)
        stage.source.settings.clear()
        stage.verified.clear()
        stage.release = release(stage.release.directory)
        CallFaults(stage.source, number, AT_CALLS[fault])
        code = stage.walk(end).onward()
        said = capsys.readouterr().out
        now = stage.source.weights
        if code is ExitCode.MATCH:
            assert now == STEP_2
            continue
        assert code is not ExitCode.WRONG_USAGE
        assert now == BEFORE or "it is not known to be set back" in said, (number, said)
        if now == BEFORE and stage.source.settings and "it is back at" in said:
            assert stage.verified[-1] == BEFORE  # and verified there


def test_a_fault_on_the_way_onward_is_no_match(stage: Stage) -> None:
    codes = []
    for number in range(1, CALLS + 1):
        stage.source.weights = dict(BEFORE)
        stage.release = release(stage.release.directory)
        CallFaults(stage.source, number, RuntimeError("boom"))
        codes.append(stage.walk().onward())
    assert ExitCode.BROKEN in codes
    assert set(codes) <= {ExitCode.BROKEN, ExitCode.MATCH}
