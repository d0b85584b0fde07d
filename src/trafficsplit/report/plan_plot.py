"""The picture of a plan: how many requests a verdict takes, by the true share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from trafficsplit.analysis.planning import fixed_size, requests_to_match, requests_to_mismatch
from trafficsplit.analysis.question import Question
from trafficsplit.report.colors import INK, styles
from trafficsplit.report.drawing import TOLERATED, WARNING, label_counts, label_percent, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 201  # of the line, evenly spaced from 0 to 1


def requests_by_share(question: Question) -> Figure:
    """Return the requests to a verdict by the last variant's true share, beside a fixed sample's.

    That is a match within the tolerance (drawn for a share that is exactly the weight), and a
    mismatch beyond it.
    """
    variant = list(question.split)[-1]
    weight = question.split[variant]
    tolerance = question.tolerance_of(variant)
    shares = np.linspace(0, 1, POINTS)
    with picture() as (figure, axes):
        low = 100 * (weight - tolerance)
        high = 100 * (weight + tolerance)
        axes.axvspan(low, high, color=TOLERATED)
        _draw_mismatches(axes, question, shares[shares < weight].tolist())
        _draw_mismatches(axes, question, shares[shares > weight].tolist())
        _draw_match(axes, question)
        _draw_fixed_size(axes, question)
        axes.set_yscale("log")
        axes.set_xlim(0, 100)
        label_percent(axes.xaxis)
        label_counts(axes.yaxis)
        axes.set_xlabel(f"true share of {variant}; grey: within the tolerance")
        axes.set_title("Requests to a verdict, median (logarithmic)")
    return figure


def _draw_mismatches(axes: Axes, question: Question, shares: Iterable[float]) -> None:
    *others, variant = question.split
    rest = max(1 - question.split[variant], 1e-12)
    percents = []
    requests = []
    for share in shares:
        true_shares = {variant: share}
        for other in others:
            true_shares[other] = (1 - share) * (question.split[other] / rest)
        number = requests_to_mismatch(question, true_shares)
        if number:
            percents.append(100 * share)
            requests.append(number)
    axes.plot(percents, requests, color=INK, lw=1.8)


def _draw_match(axes: Axes, question: Question) -> None:
    variants = list(question.split)
    point = (100 * question.split[variants[-1]], requests_to_match(question, 0.5))
    axes.plot(*point, "o", color=styles(variants)[variants[-1]].color, mec=INK)
    axes.annotate(
        f"match: {point[1]:,}",
        point,
        (0, -20),
        textcoords="offset points",
        ha="center",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )


def _draw_fixed_size(axes: Axes, question: Question) -> None:
    size = fixed_size(question)
    axes.axhline(size, color=WARNING, lw=1, ls="--")
    axes.annotate(
        f"fixed-sample test: {size:,}",
        (99, size),
        (0, 5),
        ha="right",
        textcoords="offset points",
        color=WARNING,
    )
