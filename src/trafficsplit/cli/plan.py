"""`trafficsplit plan`: the number of requests that a question needs, before any is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trafficsplit.cli.options import options, texts_of
from trafficsplit.errors import InputError
from trafficsplit.settings.options import PLAN

if TYPE_CHECKING:
    from trafficsplit.analysis.question import Question
    from trafficsplit.analysis.split import Split

REPLICAS = (3, 4, 8)  # of a gateway; one stale replica of two is half of the traffic
MINUTES_FROM = 120  # seconds
WAITS = " *"  # marks a mismatch that takes longer than its requests


@dataclass(frozen=True)
class Needed:
    """The requests until a verdict, None where there is never one."""

    median: int | None
    p90: int | None
    mean: int | None


@dataclass(frozen=True)
class Deviation:
    """A frequent fault, the shares that it causes, and the requests until it is seen.

    It takes `least_seconds`, however fast they are sent.
    """

    name: str
    shares: Mapping[str, float]
    median: int | None
    p90: int | None
    mean: int | None
    least_seconds: float


@dataclass(frozen=True)
class Figures:
    """All figures of a plan, as `--json` prints them.

    `user_requests` are those of each user, 0 where draws are no users; then there is no
    fixed-sample test.
    """

    expected: Mapping[str, float]
    tolerance: float
    alpha: float
    power: float
    match: Needed
    budget: int
    fixed_sample: int | None
    user_requests: int
    deviations: list[Deviation]


@click.command()
@options(PLAN)
@click.pass_context
def plan(context: click.Context, /, **_: object) -> None:
    """Print how many requests a question needs. Sends nothing."""
    texts = texts_of(context, PLAN)
    from trafficsplit.preparation import source_for_probe
    from trafficsplit.report.plots_wanted import check_plots
    from trafficsplit.settings.commands import parse_plan
    from trafficsplit.verification import expected_split

    settings = parse_plan(texts)
    check_plots(wanted=settings.plot is not None)
    source = source_for_probe(settings.source, settings.probe)
    question = settings.limits.question(expected_split(settings.split, source))
    previous = _previous(question, settings.previous)
    # The judge looks for old weights that it knows.
    question = replace(question, previous=settings.previous)
    figures = figures_of(question, previous)
    if settings.plot:
        _draw(question, settings.plot)
    if settings.json:
        click.echo(json.dumps(asdict(figures), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(figures, settings.rate)))


def _draw(question: Question, file: Path) -> None:
    from trafficsplit.report.plan_plot import requests_by_share

    try:
        requests_by_share(question).savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file} cannot be written: {reason}") from None


def _previous(question: Question, given: Split | None) -> dict[str, float]:
    """Return the shares before the change: those given, or all to the largest, or all alike."""
    weights = question.split.weights
    if given is not None:
        if set(given) != set(weights):
            raise InputError(
                f"--previous-weight speaks of {' and '.join(given)}, and the expected split of "
                f"{', '.join(weights)}"
            )
        return {variant: given[variant] for variant in weights}
    largest = max(weights, key=lambda variant: weights[variant])
    if weights[largest] < 1:
        return {variant: float(variant == largest) for variant in weights}
    return dict.fromkeys(weights, 1 / len(weights))


def figures_of(question: Question, previous: Mapping[str, float]) -> Figures:
    """Return all figures of a plan; `previous` are the shares before the change."""
    from trafficsplit.analysis.planning import fixed_size

    deviations = []
    for name, shares in _deviations(question, previous):
        deviations.append(_deviation(question, name, shares))
    return Figures(
        expected=dict(question.split.weights),
        tolerance=question.tolerance,
        alpha=question.alpha,
        power=question.power,
        match=_match(question),
        budget=question.requests,
        fixed_sample=None if question.user_requests else fixed_size(question),
        user_requests=question.user_requests,
        deviations=deviations,
    )


def _match(question: Question) -> Needed:
    from trafficsplit.analysis.planning import mean_requests_to_match, requests_to_match

    return Needed(
        median=requests_to_match(question, 0.5),
        p90=requests_to_match(question, 0.9),
        mean=round(mean_requests_to_match(question)),
    )


def _deviation(question: Question, name: str, shares: Mapping[str, float]) -> Deviation:
    from trafficsplit.analysis.planning import (
        least_seconds_to_mismatch,
        mean_requests_to_mismatch,
        requests_to_mismatch,
    )

    mean = mean_requests_to_mismatch(question, shares)
    return Deviation(
        name=name,
        shares=shares,
        median=requests_to_mismatch(question, shares, 0.5),
        p90=requests_to_mismatch(question, shares, 0.9),
        mean=None if mean is None else round(mean),
        least_seconds=least_seconds_to_mismatch(question, shares),
    )


def _deviations(
    question: Question, previous: Mapping[str, float]
) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield frequent faults after a change, and the shares that each causes."""
    weights = dict(question.split.weights)
    yield "the rollout never took effect", previous
    yield "it took effect by half", _mixed(weights, previous, 0.5)
    for replicas in REPLICAS:
        name = f"1 of {replicas} gateway replicas is stale"
        yield name, _mixed(weights, previous, 1 / replicas)


def _mixed(new: Mapping[str, float], old: Mapping[str, float], part: float) -> dict[str, float]:
    return {variant: part * old[variant] + (1 - part) * new[variant] for variant in new}


def _lines(figures: Figures, rate: float) -> Iterator[str]:
    from trafficsplit.analysis.moment import PACE

    expected = ", ".join(f"{v} {100 * w:g} %" for v, w in figures.expected.items())
    yield (
        f"Expected {expected}, each ± {100 * figures.tolerance:g} points; each kind of wrong "
        f"verdict at most {100 * figures.alpha:g} %."
    )
    yield ""
    yield f"{'':46}{'requests':>30}{f'at {rate:,.0f}/s':>16}"
    yield f"{'':46}{'median':>10}{'90 %':>10}{'mean':>10}{'median':>16}"
    yield _line("as configured → match", figures.match, rate)
    lines = []
    for deviation in figures.deviations:
        name = f"{deviation.name} → mismatch"
        lines.append(_line(name, deviation, rate, deviation.least_seconds))
    yield from lines
    yield ""
    if any(line.endswith(WAITS) for line in lines):
        yield (
            f"* One variant alone may be a cache's for so long; it is waited for at {PACE:g} "
            "requests a second."
        )
    if figures.fixed_sample is None:
        each = figures.user_requests
        yield f"Budget {figures.budget:,} requests; each user is a draw, and sends {each}."
        return
    yield (
        f"Budget {figures.budget:,} requests. A fixed-sample chi-square test would need "
        f"{figures.fixed_sample:,} (power {100 * figures.power:g} %), always."
    )


def _line(name: str, needed: Needed | Deviation, rate: float, least_seconds: float = 0) -> str:
    if needed.median is None or needed.p90 is None or needed.mean is None:
        return f"{name:46}{'never: tolerated':>30}"
    took = _time(max(needed.median / rate, least_seconds))
    mark = WAITS if least_seconds > needed.median / rate else ""
    return f"{name:46}{needed.median:>10,}{needed.p90:>10,}{needed.mean:>10,}{took:>16}{mark}"


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < MINUTES_FROM:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"
