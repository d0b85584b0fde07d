"""The options that say what is expected, and how surely it is to be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import TESTS, Question
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.settings.numbers import count, fraction, number, per_cent, points
from trafficsplit.settings.options import Texts, flag_of


@dataclass(frozen=True)
class Limits:
    """How surely a split is to be known; None, and 0 requests, where the default is to be used.

    `tolerance`, `zero_tolerance`, `alpha`, `power` and `max_failing` are fractions.
    """

    tolerance: float | None = None
    zero_tolerance: float | None = None
    alpha: float | None = None
    power: float | None = None
    max_failing: float | None = None
    requests: int = 0
    test: str = "sequential"

    def question(self, split: Split, gateways: int = 1) -> Question:
        """Return the question whether `gateways` keep this split, with its budget planned.

        Raises InputError for limits that make no sense for the split.
        """
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen = {name: value for name, value in given.items() if value is not None}
        chosen.setdefault("tolerance", split.default_tolerance)
        return planned(Question(split, gateways=gateways, **chosen))


def parse_limits(texts: Texts) -> Limits:
    """Return the limits that options set. Raises InputError."""
    tolerance = texts.text("tolerance")
    zero_tolerance = texts.text("zero_tolerance")
    alpha = texts.text("alpha")
    power = texts.text("power")
    max_failing = texts.text("max_failing")
    requests = texts.text("requests")
    return Limits(
        tolerance=points(tolerance, "--tolerance") / 100 if tolerance else None,
        zero_tolerance=points(zero_tolerance, "--zero-tolerance") / 100 if zero_tolerance else None,
        alpha=fraction(alpha, "--alpha") if alpha else None,
        power=fraction(power, "--power") if power else None,
        max_failing=per_cent(max_failing, "--max-failing") / 100 if max_failing else None,
        requests=count(requests, "--requests") if requests else 0,
        test=texts.choice("test", TESTS) or "sequential",
    )


def parse_split(texts: Texts) -> Split | None:
    """Return the split that --weight or --weights give, None where neither does."""
    given = texts.at_most_one("weight", "weights", "manifest", "virtual_service", "http_route")
    if given == "weight":
        return split_of_weight(texts["weight"], "--weight")
    if given == "weights":
        return Split(parse_weights(texts["weights"]))
    return None


def required_split(split: Split | None) -> Split:
    """Return the split. Raises InputError, with the ways to give one, where there is none."""
    if split is None:
        raise InputError(
            "no split to expect: give --weight 25 (green), --weights blue=75,green=25, or "
            "--manifest FILE"
        )
    return split


def parse_weights(text: str) -> dict[str, float]:
    """Return the numbers in `blue=75,green=25`, by variant, in any unit."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        variant, separator, weight = part.rpartition("=")
        variant = variant.strip()
        if not separator or not variant or not variant.isprintable():
            raise InputError(f"{part.strip()!r} is not of the form variant=weight, e.g. green=25")
        if variant in weights:
            raise InputError(f"the weight of {variant} is given twice")
        weights[variant] = number(weight.strip().removesuffix("%"), f"the weight of {variant}")
    return weights


def weights_text(split: Split) -> str:
    """Return a split as --weights takes it. Raises InputError for names that cannot be written."""
    for variant in split:
        if "," in variant or "=" in variant:
            raise InputError(f"{variant!r} is no variant's name: give --map {variant}=…")
    return ",".join(f"{variant}={weight!r}" for variant, weight in split.weights.items())


def split_of_weight(text: str, what: str) -> Split:
    """Return the tutorial's split, blue and green, from green's weight in per cent."""
    green = per_cent(text, what)
    return Split({"blue": 100 - green, "green": green})


def parse_previous(texts: Texts) -> Split | None:
    """Return the split before the change, None where --previous-weight is not given."""
    text = texts.text("previous_weight")
    return split_of_weight(text, flag_of("previous_weight")) if text else None


def limits_as_plain(limits: Limits) -> dict[str, Any]:
    """Return limits as plain data, for a file."""
    return {field.name: getattr(limits, field.name) for field in fields(limits)}


def limits_from_plain(plain: Mapping[str, Any]) -> Limits:
    """Return the limits that `limits_as_plain` wrote. Raises TypeError."""
    return Limits(**plain)
