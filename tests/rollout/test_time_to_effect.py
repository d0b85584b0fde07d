"""When new weights came into force: seen, late, or not measured, which is no pass."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.releases import plan
from tests.support.runs import made
from trafficsplit.analysis.plain import stamp
from trafficsplit.analysis.run import Counted, Gateway, Run, Stretch
from trafficsplit.analysis.stationarity import Change
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import BrokenError, InputError
from trafficsplit.rollout import time_to_effect as module
from trafficsplit.rollout.time_to_effect import (
    RATE,
    REQUESTS,
    TIMEOUT,
    Effect,
    Transition,
    is_unchanged,
    observe,
    why_late,
    why_unmeasured,
)
from trafficsplit.settings.load import LoadSettings, SendingSettings
from trafficsplit.settings.verify import VerifySettings

OLD = {"blue": 100.0, "green": 0.0}
NEW = {"blue": 50.0, "green": 50.0}
WIDTH = 0.1  # seconds of a stretch


# --- deadlines ---


@pytest.mark.parametrize(
    ("effect", "is_late", "is_unknown"),
    [
        (Effect(0.1, 0.05, 0.15), False, False),
        (Effect(2.0, 1.9, 2.0), False, False),  # not later than the deadline
        (Effect(2.5, 1.9, 3.0), False, True),
        (Effect(5.0, 2.1, 8.0), True, False),
        (Effect(old_until=2.5), True, False),
        (Effect(old_until=1.5), False, True),
        (Effect(), False, True),
        (Effect(unseen="too many requests were lost"), False, True),
        (Effect(unseen="broken: Locust ended", requests=0), False, True),
    ],
)
def test_what_was_not_measured_has_not_passed(
    effect: Effect, is_late: bool, is_unknown: bool
) -> None:
    assert bool(why_late(effect, 2.0)) is is_late
    assert bool(why_unmeasured(effect, 2.0)) is is_unknown


@pytest.mark.parametrize("within", [0.001, 1e-6])
def test_no_deadline_is_too_short_to_be_missed(within: float) -> None:
    # Version 0.1 passed --in-force-within 0.001s, as nothing had been seen at all.
    assert why_unmeasured(Effect(unseen="not seen", requests=0), within)
    assert why_late(Effect(0.1, 0.05, 0.15), within)


TIMES = st.floats(0, 100)


@given(st.lists(TIMES, min_size=3, max_size=3).map(sorted), TIMES, st.floats(0.001, 100))
def test_a_deadline_is_kept_missed_or_not_known(
    times: Sequence[float], old_until: float, deadline: float
) -> None:
    earliest, seconds, latest = times
    for effect in (Effect(seconds, earliest, latest), Effect(old_until=old_until)):
        is_late = bool(why_late(effect, deadline))
        is_unknown = bool(why_unmeasured(effect, deadline))
        assert not (is_late and is_unknown)
        if not is_late and not is_unknown:
            assert effect.latest is not None
            assert effect.latest <= deadline


def test_the_reason_names_the_figures() -> None:
    assert why_late(Effect(5.0, 2.1, 8.0), 2.0) == (
        "The weights came into force 2.10 s after they were set at the soonest, and "
        "--in-force-within says 2 s."
    )
    assert "still in force 2.50 s after the new ones were set" in why_late(
        Effect(old_until=2.5), 2.0
    )
    assert why_unmeasured(Effect(2.5, 1.9, 3.0), 2.0).endswith("it was between 1.90 s and 3.00 s.")
    assert "is not known: too many" in why_unmeasured(Effect(unseen="too many"), 2.0)


# --- effects ---


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (
            Effect(0.1, 0.05, 1.15, 3000),
            "in force 100 ms after it was set (between 50 ms and 1.15 s); 3,000 requests "
            "meanwhile, none lost",
        ),
        (
            Effect(1.5, 1.25, 1.75, 3000, 12, mixed=0.5),
            "in force 1.50 s after it was set (between 1.25 s and 1.75 s), old and new mixed for "
            "500 ms; 12 of 3,000 requests lost",
        ),
        (
            Effect(unseen="too small", requests=10),
            "when it came into force was not seen (too small); 10 requests meanwhile, none lost",
        ),
        (
            Effect(),
            "when it came into force was not seen; what became of the requests meanwhile is not "
            "known",
        ),
    ],
)
def test_an_effect_in_words(effect: Effect, said: str) -> None:
    assert str(effect) == said


def test_an_effect_is_plain_data() -> None:
    plain = Effect(0.1, 0.05, 0.15, 3000, report="01-effect").as_plain()
    assert Effect(**json.loads(json.dumps(plain))) == Effect(
        0.1, 0.05, 0.15, 3000, report="01-effect"
    )


# --- transitions ---


def transition(before: dict[str, float] = OLD, after: dict[str, float] = NEW) -> Transition:
    return Transition(before, after, lambda: None)


@pytest.mark.parametrize(
    ("before", "after", "small"),
    [
        (OLD, NEW, False),
        (OLD, {"blue": 95.0, "green": 5.0}, False),
        (OLD, {"blue": 96.0, "green": 4.0}, True),
        (OLD, OLD, True),
        ({"blue": 100.0}, NEW, False),
    ],
)
def test_a_change_of_a_few_per_cent_cannot_be_seen(
    before: dict[str, float], after: dict[str, float], small: bool
) -> None:
    assert transition(before, after).too_small is small


def change(before: float, after: float) -> Change:
    """Return a change of green's share."""
    return Change(
        at=1.0,
        earliest=0.9,
        latest=1.1,
        before={"blue": 1 - before, "green": before},
        after={"blue": 1 - after, "green": after},
        steady=True,
        began=1.0,
    )


def test_only_a_change_in_the_right_direction_is_the_one_that_was_made() -> None:
    assert transition().is_gone_through(change(0.0, 0.5))
    assert transition().is_gone_through(change(0.0, 0.1))
    assert not transition().is_gone_through(change(0.5, 0.0))
    assert not transition(NEW, OLD).is_gone_through(change(0.0, 0.5))
    assert transition(NEW, OLD).is_gone_through(change(0.5, 0.0))


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_evidence_is_for_the_weights_that_explain_the_counts(blue: int, green: int) -> None:
    counts = {"blue": blue, "green": green}
    forth = transition().evidence(counts)
    back = transition(NEW, OLD).evidence(counts)
    assert forth == pytest.approx(-back)
    if green:
        assert forth > 0 or blue > 10 * green
    elif blue:
        assert forth < 0


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (OLD, OLD, True),
        (OLD, {"blue": 100.0}, True),
        (OLD, {"blue": 99.9999999, "green": 1e-7}, True),
        (OLD, {"blue": 99.999, "green": 0.001}, False),
        ({"blue": 100.0}, OLD, True),
        ({"blue": 100.0}, NEW, False),
    ],
)
def test_weights_that_are_the_old_ones_are_no_change(
    before: dict[str, float], after: dict[str, float], same: bool
) -> None:
    assert is_unchanged(before, after) is same


# --- observing ---


def run_of(greens: Sequence[float], *, lost: int = 0, requests: int = 100) -> Run:
    """Return a run with these shares of green in its stretches."""
    stretches = []
    for number, green in enumerate(greens):
        count = round(requests * green)
        tally = Tally({"blue": requests - count, "green": count}, errors=lost)
        stretches.append(Stretch(number * WIDTH, (number + 1) * WIDTH, tally))
    run = made({"blue": 1})
    subject = replace(run.subject, elapsed=len(greens) * WIDTH)
    return replace(run, subject=subject, counted=Counted(stretches=stretches))


CHANGED = [0.0] * 15 + [0.5] * 15
UNCHANGED = [0.0] * 30


@dataclass
class Load:
    """Stands for Locust: `runs` are what its processes come to, in turn.

    `hangs` says that a process does not end by itself, `refusal` that none can be started.
    """

    runs: list[Run | Exception]
    hangs: bool = False
    refusal: OSError | None = None
    settings: list[VerifySettings] = field(default_factory=list)
    directories: list[Path] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)

    def __call__(self, settings: VerifySettings, directory: Path) -> Load:
        if self.refusal:
            raise self.refusal
        self.settings.append(settings)
        self.directories.append(directory)
        (directory / "settings.json").write_text("{}")
        return self

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.happened.append("closed")

    def await_begin(self, _: float) -> bool:
        self.happened.append("begun")
        return True

    def wait(self, _: float) -> bool:
        return not self.hangs

    def stop(self) -> None:
        self.happened.append("stopped")

    def run(self) -> Run:
        run = self.runs.pop(0)
        if isinstance(run, Exception):
            raise run
        # Begun when the change was made, however busy the machine is.
        now = stamp(datetime.datetime.now(datetime.UTC))
        return replace(run, subject=replace(run.subject, started_at=now))


def observed(
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    after: dict[str, float] = NEW,
    patience: float = 60.0,
    settings: VerifySettings | None = None,
) -> Effect:
    """Return what is observed of a change while a load comes to its runs."""
    monkeypatch.setattr(module, "LocustProcess", load)
    monkeypatch.setattr(module, "LEAD", 0.0)
    change = Transition(OLD, after, lambda: load.happened.append("set"))
    given = settings or plan().verification
    return observe(given, change, tmp_path / "01-effect", patience)


def test_a_change_is_seen_in_the_run_that_spans_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load([run_of(CHANGED)])
    effect = observed(load, tmp_path, monkeypatch)
    assert load.happened == ["begun", "set", "closed"]  # requests go on while it is set
    assert effect.seconds is not None
    assert effect.earliest is not None
    assert effect.latest is not None
    assert 1.0 < effect.earliest <= effect.seconds <= effect.latest
    assert effect.latest - effect.earliest < 1.0
    assert (effect.requests, effect.errors, effect.unseen) == (3000, 0, "")
    assert effect.report == "01-effect"
    report = json.loads((tmp_path / "01-effect" / "verdict.json").read_text())
    assert report["change"]["at"] == pytest.approx(1.5, abs=0.2)
    assert (tmp_path / "01-effect" / "report.html").exists()


def test_half_of_the_gateways_are_no_weights_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Version 0.1 looked for the direction of the change alone.
    halfway = [0.0] * 15 + [0.25] * 15
    load = Load([run_of(halfway), run_of([0.25] * 30)])
    effect = observed(load, tmp_path, monkeypatch, patience=-1.0)
    assert effect.seconds is None
    assert "green moved to 25.0 %, as if 1 of 2 gateways had the new weights" in effect.unseen
    assert why_unmeasured(effect, 2.0)


def test_each_gateway_has_to_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = run_of([0.0] * 15 + [0.25] * 15)
    fine, late = run_of(CHANGED), run_of(UNCHANGED)
    each = [
        Gateway("http://a", fine.counted.stretches),
        Gateway("http://b", late.counted.stretches),
    ]
    run = replace(both, counted=replace(both.counted, gateways=each))
    effect = observed(Load([run]), tmp_path, monkeypatch, patience=-1.0)
    assert "green moved to 0.0 % at http://b" in effect.unseen


def test_shares_that_changed_before_are_not_the_change_that_was_made() -> None:
    seen = change(0.0, 0.5)
    run = run_of(CHANGED)
    late = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    effect = module._seen(Effect(), seen, run, late, "x")
    assert effect.seconds is None
    assert "before the weights were set" in effect.unseen


def test_the_load_is_on_schedule_and_may_not_end_by_what_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load([run_of(CHANGED)])
    own = LoadSettings(settle=5.0, rate=10.0, record=True, client="engine")
    settings = replace(plan().verification, load=own, sending=SendingSettings(2, 3.0, 2))
    observed(load, tmp_path, monkeypatch, settings=settings)
    (watched,) = load.settings
    assert (watched.load.rate, watched.load.settle, watched.load.record) == (RATE, 0.0, False)
    assert watched.load.request.timeout == TIMEOUT
    assert watched.load.client == "engine"
    assert (watched.limits.test, watched.limits.requests) == ("fixed", REQUESTS)
    assert dict(watched.split.weights) == {"blue": 0.5, "green": 0.5}
    assert watched.sending.processes == 1


def test_a_load_that_does_not_end_is_stopped_and_its_counts_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Version 0.1 killed it with its pictures, and said "0 requests meanwhile".
    load = Load([run_of(CHANGED)], hangs=True)
    effect = observed(load, tmp_path, monkeypatch)
    assert load.happened == ["begun", "set", "stopped", "closed"]
    assert effect.requests == 3000
    assert effect.seconds is not None


def test_runs_go_on_until_the_change_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load([run_of(UNCHANGED), run_of(UNCHANGED), run_of(CHANGED)])
    effect = observed(load, tmp_path, monkeypatch)
    assert load.happened.count("set") == 1
    assert [one.name for one in load.directories] == ["01-effect", "01-effect-2", "01-effect-3"]
    assert [one.name for one in tmp_path.iterdir()] == ["01-effect-3"]  # no others are of use
    assert (effect.requests, effect.report) == (9000, "01-effect-3")
    assert effect.old_until > 0


@pytest.mark.parametrize(
    ("run", "after", "why"),
    [
        (run_of([0.5] * 30), NEW, "in force before requests could tell when"),
        (run_of(UNCHANGED, lost=20), NEW, "too many requests were lost"),
        (run_of([]), NEW, "too many requests were lost"),
        (run_of([0.02] * 30), {"blue": 98.0, "green": 2.0}, "in force before requests|less than"),
        (run_of(UNCHANGED), {"blue": 98.0, "green": 2.0}, "a change of less than 5 %"),
        (BrokenError("broken: Locust ended with signal 9"), NEW, "broken: Locust ended"),
        (InputError("no such file"), NEW, "no such file"),
    ],
)
def test_what_cannot_be_seen_says_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run | Exception,
    after: dict[str, float],
    why: str,
) -> None:
    load = Load([run])
    effect = observed(load, tmp_path, monkeypatch, after=after)
    assert effect.seconds is effect.earliest is effect.latest is None
    assert re.search(why, effect.unseen), effect.unseen
    assert load.happened == ["begun", "set", "closed"]
    assert why_unmeasured(effect, 2.0)


def test_the_old_weights_are_awaited_with_patience_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    effect = observed(Load([run_of(UNCHANGED)]), tmp_path, monkeypatch, patience=-1.0)
    assert "the old weights, or others, were still there" in effect.unseen
    assert effect.seconds is None


def test_a_change_the_other_way_is_not_the_one_that_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backwards = [0.1] * 15 + [0.0] * 15
    effect = observed(Load([run_of(backwards)]), tmp_path, monkeypatch, patience=-1.0)
    assert effect.seconds is None
    assert effect.unseen


def test_where_no_load_can_be_started_the_change_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load([], refusal=OSError(28, "No space left on device"))
    effect = observed(load, tmp_path, monkeypatch)
    assert load.happened == ["set"]
    assert "cannot be written: No space left on device" in effect.unseen


def test_a_change_that_is_refused_ends_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise InputError("conflict")

    load = Load([run_of(CHANGED)])
    monkeypatch.setattr(module, "LocustProcess", load)
    monkeypatch.setattr(module, "LEAD", 0.0)
    with pytest.raises(InputError, match="conflict"):
        observe(plan().verification, Transition(OLD, NEW, refused), tmp_path / "01-effect", 60.0)
    assert load.happened == ["begun", "closed"]
