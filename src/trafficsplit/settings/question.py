"""The options about the expected split, and how certain the answer has to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from trafficsplit.analysis.comparison import least_requests
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import TESTS, Question
from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.settings.numbers import count, fraction, number, per_cent, points
from trafficsplit.settings.options import VARIANTS, Texts
from trafficsplit.settings.users import parse_user_requests


@dataclass(frozen=True)
class Limits:
    """How certain the answer has to be; None, and 0 requests, stand for the defaults.

    `tolerance`, `zero_tolerance`, `alpha`, `power`, `max_failing` and `mismatch_alpha` are
    fractions. `mismatch_alpha` has no option: a release sets it. `user_requests` are those of each
    user, 0 where draws are no users.
    """

    tolerance: float | None = None
    zero_tolerance: float | None = None
    alpha: float | None = None
    power: float | None = None
    max_failing: float | None = None
    requests: int = 0
    test: str | None = None
    mismatch_alpha: float | None = None
    user_requests: int = 0

    def question(
        self, split: Split, gateways: int = 1, canary: CanaryLimits = CanaryLimits()
    ) -> Question:
        """Return the question whether a number of gateways keep this split, with its budget.

        If something is asked of the canary, a run goes on until there are enough answers of it.
        Raises InputError for limits that make no sense for the split.
        """
        chosen = self._given
        chosen.setdefault("tolerance", split.default_tolerance)
        question = Question(split, gateways=gateways, **chosen)
        return planned(replace(question, least_requests=least_requests(question, canary)))

    @property
    def _given(self) -> dict[str, Any]:
        """What is given, by name."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not None}

    def applied_to(self, question: Question) -> Question:
        """Return a question with what is given in place of its own; the same if nothing is.

        Raises InputError for limits that make no sense for its split.
        """
        chosen = self._given
        for name in ("requests", "user_requests"):
            if not chosen[name]:
                del chosen[name]
        return replace(question, **chosen)


def parse_limits(texts: Texts) -> Limits:
    """Return the limits that options set. Raises InputError."""
    return Limits(
        tolerance=texts.value("tolerance", _points_as_fraction),
        zero_tolerance=texts.value("zero_tolerance", _points_as_fraction),
        alpha=texts.value("alpha", fraction),
        power=texts.value("power", fraction),
        max_failing=texts.value("max_failing", _per_cent_as_fraction),
        requests=texts.value("requests", count) or 0,
        test=texts.choice("test", TESTS) or None,
        user_requests=parse_user_requests(texts),
    )


def _points_as_fraction(text: str, what: str) -> float:
    return points(text, what) / 100


def _per_cent_as_fraction(text: str, what: str) -> float:
    return per_cent(text, what) / 100


def parse_split(texts: Texts) -> Split | None:
    """Return the split that --weight or --weights give, None where neither does.

    Raises InputError.
    """
    given = texts.at_most_one("weight", "weights", "manifest", "virtual_service", "http_route")
    if given == "weight":
        return split_of_weight(texts["weight"], "--weight", parse_variants(texts))
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
    """Return the weights in `blue=75,green=25`, by variant, in any unit. Raises InputError."""
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


def parse_variants(texts: Texts) -> tuple[str, str]:
    """Return the names of the stable variant and of the canary. Raises InputError."""
    return parse_pair(texts.text("variants") or VARIANTS.shown_default, "--variants")


def parse_pair(text: str, what: str) -> tuple[str, str]:
    """Return the names of the stable variant and of the canary. Raises InputError."""
    stable, _, canary = (part.strip() for part in text.partition(","))
    if not stable or not canary or "," in canary or stable == canary:
        raise InputError(f"{what} is not STABLE,CANARY, e.g. blue,green")
    return stable, canary


def split_of_weight(text: str, what: str, variants: tuple[str, str]) -> Split:
    """Return the split of a stable variant and a canary, from the canary's. Raises InputError."""
    stable, canary = variants
    weight = per_cent(text, what)
    return Split({stable: 100 - weight, canary: weight})


def parse_previous(texts: Texts) -> Split | None:
    """Return the split before the change, None where --previous-weight is not given.

    Raises InputError.
    """
    variants = parse_variants(texts)
    return texts.value("previous_weight", partial(split_of_weight, variants=variants))


def limits_as_plain(limits: Limits) -> dict[str, Any]:
    """Return limits as plain data, for a file."""
    return {field.name: getattr(limits, field.name) for field in fields(limits)}


def limits_from_plain(plain: Mapping[str, Any]) -> Limits:
    """Return the limits that `limits_as_plain` wrote. Raises TypeError."""
    return Limits(**plain)
