"""`trafficsplit plan`: how many requests a question needs, before any is sent."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.errors import InputError
from trafficsplit.options import LINES, cluster_options, cluster_source, expectation, one_of, option

if TYPE_CHECKING:
    from analysis import Question, Split

REPLICAS = (3, 4, 8)  # of two, one stale is half


@click.command()
@option("--host", "The gateway's base URL: of a manifest's rules, those for it.", metavar="URL")
@option("--path", "Likewise.", metavar="PATH", default="/color")
@option("--header", "Likewise; may be repeated.", metavar="NAME: VALUE", **LINES)
@expectation
@cluster_options
@option(
    "--previous-weight",
    "Green's weight before the change.  [0; where that is expected, 50]",
    metavar="PERCENT",
)
@option("--rate", "Requests a second, to tell the time.", metavar="R", default="1000")
@option(
    "--plot",
    "Draw the requests by deviation into this PNG.",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
)
@option("--json", "Print the figures as JSON.", is_flag=True)
@click.pass_context
def plan(context: click.Context, /, **options: Any) -> None:
    """How many requests does a question need? Sends nothing."""
    from analysis import question_of_options
    from analysis.options import EXPECTATIONS, weighed
    from analysis.split import number, split_of_weight

    one_of(context, "weight", "weights", "manifest", "virtual_service", "http_route")
    options = {**options, **context.params}
    cluster_source(options, address=False)
    options = weighed(options, sys.stdin.read)
    question = question_of_options(**{name: options[name] for name in EXPECTATIONS})
    given = options["previous_weight"]
    previous = _previous(question, split_of_weight(given) if given else None)
    rate = number(options["rate"], "--rate")
    if rate <= 0:
        raise InputError(f"--rate is {rate:g}: give requests a second, above 0")
    figures = _figures(question, previous)
    if options["plot"]:
        from analysis.plots import requests_by_share

        try:
            requests_by_share(question).savefig(options["plot"], dpi=120)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{options['plot']} cannot be written: {reason}") from None
    if options["json"]:
        click.echo(json.dumps(figures, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(figures, rate)))


def _previous(question: Question, given: Split | None) -> dict[str, float]:
    """The shares before the change: those given, or all to the largest, or all alike."""
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


def _figures(question: Question, previous: dict[str, float]) -> dict[str, Any]:
    """Everything that is planned; requests are whole numbers, None where never."""
    from analysis import requests_to_match
    from analysis.planning import fixed_size, requests_to_mismatch

    return {
        "expected": dict(question.split.weights),
        "tolerance": question.tolerance,
        "alpha": question.alpha,
        "power": question.power,
        "match": {
            "median": requests_to_match(question, 0.5),
            "p90": requests_to_match(question, 0.9),
        },
        "budget": question.requests,
        "fixed_sample": fixed_size(question),
        "deviations": [
            {
                "name": name,
                "shares": shares,
                "median": requests_to_mismatch(question, shares, 0.5),
                "p90": requests_to_mismatch(question, shares, 0.9),
            }
            for name, shares in _deviations(question, previous)
        ],
    }


def _deviations(
    question: Question, previous: dict[str, float]
) -> Iterator[tuple[str, dict[str, float]]]:
    """What often goes wrong after a change, and the shares that it gives."""
    weights = dict(question.split.weights)
    yield "the rollout never took effect", previous
    yield "it took effect by half", _mixed(weights, previous, 0.5)
    for replicas in REPLICAS:
        name = f"1 of {replicas} gateway replicas is stale"
        yield name, _mixed(weights, previous, 1 / replicas)


def _mixed(new: dict[str, float], old: dict[str, float], part: float) -> dict[str, float]:
    return {variant: part * old[variant] + (1 - part) * new[variant] for variant in new}


def _lines(figures: dict[str, Any], rate: float) -> Iterator[str]:
    expected = ", ".join(f"{v} {100 * w:g} %" for v, w in figures["expected"].items())
    yield (
        f"Expected {expected}, each ± {100 * figures['tolerance']:g} points; "
        f"each kind of wrong verdict at most {100 * figures['alpha']:g} %."
    )
    yield ""
    yield f"{'':46}{'requests':>20}{f'at {rate:,.0f}/s':>16}"
    yield f"{'':46}{'median':>10}{'90 %':>10}{'median':>16}"
    rows = [("as configured → match", figures["match"])]
    rows += [(f"{d['name']} → mismatch", d) for d in figures["deviations"]]
    for name, row in rows:
        if row["median"] is None:
            yield f"{name:46}{'never: tolerated':>20}"
            continue
        took = _time(row["median"] / rate)
        yield f"{name:46}{row['median']:>10,}{row['p90']:>10,}{took:>16}"
    yield ""
    yield (
        f"Budget {figures['budget']:,} requests. A fixed-sample chi-square test would need "
        f"{figures['fixed_sample']:,} (power {100 * figures['power']:g} %), always."
    )


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
