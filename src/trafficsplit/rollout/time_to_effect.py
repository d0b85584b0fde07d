"""The time to effect: how long it takes until new weights are in force.

A run on schedule goes on while the weights are set, and the change-point in its answers is when
they came into force.
"""

from __future__ import annotations

import datetime
import itertools
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trafficsplit.analysis.causes.weighing import fits
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.stationarity import Change, change_in
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import BrokenError, InputError
from trafficsplit.locust.process import LocustProcess
from trafficsplit.report.directory import report_directory
from trafficsplit.report.publish import Clock, Saying, command_line, publish
from trafficsplit.settings.load import SendingSettings
from trafficsplit.settings.question import Limits
from trafficsplit.settings.verify import VerifySettings

RATE = 1000.0  # requests a second
REQUESTS = 3000  # of one run
USERS = 64
TIMEOUT = 2.0  # seconds
LEAD = 1.0  # seconds of requests before the change
PATIENCE = 15.0  # seconds until the first requests
LONGEST = 8.0  # seconds from the change until a run is ended, if the gateway hangs
SURE = 7.0  # log likelihood ratio at which weights are certain
TINY = 1e-4  # per cent, instead of a weight of 0, which has no logarithm
SMALLEST = 5.0  # percentage points, the smallest change that can be seen
SAME = 1e-6  # percentage points by which equal weights may differ
MOST_GATEWAYS = 8  # of which some may have heard of a change
NEAR = 1.5  # percentage points from a share within which it is taken for that one
FAILING = 0.1  # of all requests: if more are lost, no change is seen

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Effect:
    """The seconds from the setting of weights until they were in force, with an interval.

    The three are None where that was not seen, and `unseen` says why. `old_until` is how many
    seconds after the change the old weights were certainly still in force, `mixed` for how many
    seconds old and new ones were. `errors` of `requests` were lost meanwhile.
    """

    seconds: float | None = None
    earliest: float | None = None
    latest: float | None = None
    requests: int = 0
    errors: int = 0
    mixed: float | None = None
    old_until: float = 0.0
    unseen: str = ""
    report: str = ""

    def as_plain(self) -> dict[str, Any]:
        """Return plain data, for a file."""
        return asdict(self)

    def __str__(self) -> str:
        lost = f"{self.requests:,} requests meanwhile, none lost"
        if not self.requests:
            lost = "what became of the requests meanwhile is not known"
        if self.errors:
            lost = f"{self.errors:,} of {self.requests:,} requests lost"
        if self.seconds is None or self.earliest is None or self.latest is None:
            why = f" ({self.unseen})" if self.unseen else ""
            return f"when it came into force was not seen{why}; {lost}"
        mixed = f", old and new mixed for {_shown(self.mixed)}" if self.mixed else ""
        return (
            f"in force {_shown(self.seconds)} after it was set (between {_shown(self.earliest)} "
            f"and {_shown(self.latest)}){mixed}; {lost}"
        )


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if abs(seconds) >= 1 else f"{1000 * seconds:.0f} ms"


@dataclass(frozen=True)
class Transition:
    """A change of weights, in per cent, and the function that makes it."""

    before: Weights
    after: Weights
    make: Callable[[], object]

    @property
    def too_small(self) -> bool:
        """Whether a run cannot tell the weights apart."""
        return max(abs(w - self.before.get(v, 0.0)) for v, w in self.after.items()) < SMALLEST

    def is_gone_through(self, change: Change) -> bool:
        """Return whether shares have changed towards the new weights."""
        total = 0.0
        for variant, weight in self.after.items():
            moved = change.after.get(variant, 0.0) - change.before.get(variant, 0.0)
            total += moved * (weight - self.before.get(variant, 0.0))
        return total > 0

    def evidence(self, counts: Mapping[str, int]) -> float:
        """Return the log likelihood ratio of the new weights to the old."""
        ratio = 0.0
        for variant, count in counts.items():
            new = max(self.after.get(variant, 0.0), TINY)
            old = max(self.before.get(variant, 0.0), TINY)
            ratio += count * math.log(new / old)
        return ratio


def observe(
    settings: VerifySettings,
    transition: Transition,
    report: Path,
    patience: float,
    *,
    alpha: float = 0.01,
    plots: bool = False,
) -> Effect:
    """Make a change while requests go on, and return when it came into force.

    `settings` are those of the verification. Requests go on until the new weights are seen, at most
    `patience` seconds from the change; `plots` draws pictures into the report. `alpha` bounds a
    wrong "too late". Raises what the change raises, and sends no more then. After any other fault
    the effect is unseen, and says why.
    """
    observation = _Observation(_scheduled(settings, transition.before, alpha), transition)
    effect = Effect()
    for directory in _directories(report):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            run = observation.run(directory)
        except _UnseenError as error:
            return replace(effect, unseen=str(error))
        effect = _added(effect, run)
        change = change_in(run)
        halfway = ""
        if change is not None and transition.is_gone_through(change):
            halfway = why_halfway(run, transition, change)
            if not halfway:
                _publish(run, directory, plots=plots)
                return _seen(effect, change, run, observation.set_at, directory.name)
        shutil.rmtree(directory, ignore_errors=True)
        why = _why_no_more(run, transition, observation.elapsed, patience)
        if why is not None:
            return replace(effect, unseen=halfway or why)
        old_until = _old_until(effect, run, transition, observation.set_at, alpha)
        effect = replace(effect, old_until=old_until)
    raise AssertionError("there is always another directory")


class _UnseenError(Exception):
    """A run that could not be made, or has no counts. The text says why."""


class _Observation:
    """Runs around a change, which is made once, during the first of them."""

    def __init__(self, settings: VerifySettings, transition: Transition) -> None:
        self._settings = settings
        self._transition = transition
        self._set_at: datetime.datetime | None = None
        self._began = time.monotonic()  # of the change

    @property
    def set_at(self) -> datetime.datetime:
        """The time of the change."""
        assert self._set_at is not None
        return self._set_at

    @property
    def elapsed(self) -> float:
        """The seconds since the change."""
        return time.monotonic() - self._began

    def run(self, directory: Path) -> Run:
        """Send requests, make the change if it is not made yet, and return the run.

        Raises _UnseenError without counts; the change is made then, too.
        """
        try:
            process = LocustProcess(self._settings, directory)
        except OSError as error:
            self._change()
            raise _UnseenError(f"{directory} cannot be written: {error.strerror}") from None
        with process:
            process.await_begin(PATIENCE)
            if self._set_at is None:
                time.sleep(LEAD)
                self._change()
            if not process.wait(LONGEST):
                process.stop()
            try:
                return process.run()
            except (BrokenError, InputError) as error:
                raise _UnseenError(str(error)) from None

    def _change(self) -> None:
        """Make the change, if it is not made yet. Raises what it raises."""
        if self._set_at is None:
            self._set_at = datetime.datetime.now(datetime.UTC)
            self._began = time.monotonic()
            self._transition.make()


def _directories(report: Path) -> Iterator[Path]:
    """Yield the directory of a report, and then others beside it for ever."""
    yield report
    for number in itertools.count(2):
        yield report.with_name(f"{report.name}-{number}")


def _scheduled(settings: VerifySettings, before: Weights, alpha: float) -> VerifySettings:
    """Return the settings of a run on schedule that no verdict ends early.

    All variants have the same weight, because a variant of weight 0 would end it with one answer.
    The interval of the change misses it with a probability of `alpha`.
    """
    return replace(
        settings,
        split=Split(dict.fromkeys(before, 1.0)),
        limits=Limits(alpha=alpha, test="fixed", requests=REQUESTS, max_failing=0.99),
        load=replace(
            settings.load,
            rate=RATE,
            settle=0.0,
            record=False,
            previous=None,
            request=replace(settings.load.request, timeout=TIMEOUT),
        ),
        sending=SendingSettings(users=max(USERS, len(settings.hosts))),
    )


def _added(effect: Effect, run: Run) -> Effect:
    tally = run.tally
    return replace(
        effect, requests=effect.requests + tally.requests, errors=effect.errors + tally.errors
    )


def _publish(run: Run, directory: Path, *, plots: bool) -> None:
    """Write the report of the run that saw the change, beside its counts."""
    run = replace(run, subject=replace(run.subject, command=command_line()))
    with report_directory(directory) as report:
        saying = Saying(quiet=True, github=False, plots=plots)
        publish(run, report, Clock(time.monotonic()), saying)


def _seen(
    effect: Effect, change: Change, run: Run, set_at: datetime.datetime, report: str
) -> Effect:
    began = datetime.datetime.fromisoformat(run.subject.started_at)

    def after(seconds: float) -> float:
        moment = began + datetime.timedelta(seconds=seconds)
        # An estimate may be before the change, but the effect cannot.
        return max(round((moment - set_at).total_seconds(), 3), 0.0)

    if not after(change.latest):
        why = "the shares changed before the weights were set: were they set by somebody else, too?"
        return replace(effect, unseen=why)
    return replace(
        effect,
        seconds=after(change.at),
        earliest=after(change.earliest),
        latest=after(change.latest),
        mixed=change.mixed,
        report=report,
    )


def why_halfway(run: Run, transition: Transition, change: Change) -> str:
    """Return where the shares have gone to instead of the new weights, empty if they are there.

    They are in force where they are at every gateway.
    """
    wanted = Split(transition.after).weights
    for gateway in run.gateways:
        after = sum((one.tally for one in gateway.stretches if one.start >= change.at), Tally())
        if not after.identified or fits(after.counts, wanted):
            continue
        offs = []
        for name, weight in wanted.items():
            off = round(abs((after.share(name) or 0.0) - weight), 9)
            # Of two that are off by as much, the one that was to get more.
            more = transition.after[name] - transition.before.get(name, 0.0)
            offs.append((off, more, name))
        variant = max(offs)[2]
        share = 100 * (after.share(variant) or 0.0)
        at = f" at {gateway.name}" if len(run.gateways) > 1 else ""
        return f"{variant} moved to {share:.1f} %{at}{_as_if(transition, variant, share)}"
    return ""


def _as_if(transition: Transition, variant: str, share: float) -> str:
    """Return of how many gateways some may have the new weights, where that gives a share."""
    old = transition.before.get(variant, 0.0)
    new = transition.after[variant]
    for number in range(2, MOST_GATEWAYS + 1):
        for have in range(1, number):
            if abs(old + (new - old) * have / number - share) <= NEAR:
                return f", as if {have} of {number} gateways had the new weights"
    return ""


def _why_no_more(run: Run, transition: Transition, elapsed: float, patience: float) -> str | None:
    """Return why no further run would see the change, None where one might."""
    tally = run.tally
    if transition.evidence(tally.counts) > SURE:
        return "the new weights were in force before requests could tell when"
    if tally.lost > FAILING * tally.requests or not tally.requests:
        return "too many requests were lost"
    if transition.too_small:
        return f"a change of less than {SMALLEST:g} % shows in no number of requests that is due"
    if elapsed > patience:
        return f"the old weights, or others, were still there {elapsed:.0f} s after it was set"
    return None


def _old_until(
    effect: Effect, run: Run, transition: Transition, set_at: datetime.datetime, alpha: float
) -> float:
    """Return how many seconds after the change the old weights were certainly in force."""
    if transition.evidence(run.tally.counts) > -max(SURE, math.log(1 / alpha)):
        return effect.old_until
    began = datetime.datetime.fromisoformat(run.subject.started_at)
    ended = began + datetime.timedelta(seconds=run.subject.elapsed)
    return max((ended - set_at).total_seconds(), effect.old_until)


def why_late(effect: Effect, deadline: float) -> str:
    """Return why weights came into force too late; empty where that is not certain.

    `deadline` is in seconds from the change.
    """
    if effect.earliest is not None:
        if effect.earliest <= deadline:
            return ""
        return (
            f"The weights came into force {effect.earliest:.2f} s after they were set at the "
            f"soonest, and --in-force-within says {deadline:g} s."
        )
    if effect.old_until > deadline:
        return (
            f"The old weights were still in force {effect.old_until:.2f} s after the new ones were "
            f"set, and --in-force-within says {deadline:g} s."
        )
    return ""


def why_unmeasured(effect: Effect, deadline: float) -> str:
    """Return why it is not known whether a deadline was kept; empty where it is known."""
    if effect.latest is not None and effect.latest <= deadline:
        return ""
    if why_late(effect, deadline):
        return ""
    why = effect.unseen or "it was not seen"
    if effect.earliest is not None and effect.latest is not None:
        why = f"it was between {_shown(effect.earliest)} and {_shown(effect.latest)}"
    return f"Whether the weights came into force within {deadline:g} s is not known: {why}."


def is_unchanged(before: Weights, after: Weights) -> bool:
    """Return whether new weights are the old ones."""
    return all(abs(before.get(v, 0.0) - weight) < SAME for v, weight in after.items())
