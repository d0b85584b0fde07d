"""The pictures of a run: one message each, with variants named, and known by their marks.

Each function takes a Run and returns a matplotlib Figure. Colors are the variants' own if their
names are colors; marks, line styles and hatches differ too, so that all can be told apart without
seeing colors.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trafficsplit.analysis.evidence import Floats
from trafficsplit.analysis.latency import middle_of, quantile
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import LatencyKey, Run, Stretch
from trafficsplit.analysis.series import answerer, merge_stretches
from trafficsplit.analysis.stationarity import Change, change_in
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.user_draws import as_draws
from trafficsplit.report.colors import INK, Style, styles
from trafficsplit.report.drawing import (
    DPI,
    LOST,
    MIXED,
    TOLERATED,
    WARNING,
    label_counts,
    label_differences,
    label_majors_only,
    label_percent,
    label_plain,
    picture,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Buckets = Mapping[int, int]


def observed_against_expected(run: Run) -> Figure:
    """Return how far each share, with its interval, is from its weight, beside the tolerance."""
    unit = "users" if run.question.user_requests else "responses"
    run = as_draws(run)
    question = run.question
    variants = list(run.tally.counts)
    widest = 0.0
    with picture(height=1.8 + 0.6 * len(variants)) as (figure, axes):
        for row, (variant, style) in enumerate(styles(variants).items()):
            _draw_tolerance(axes, row, question, variant)
            farthest = _draw_share(axes, row, run, variant, style)
            widest = max(widest, 100 * question.tolerance_of(variant), farthest)
        axes.axvline(0, color=INK, lw=1.2, zorder=2)
        axes.set_yticks(range(len(variants)), variants)
        axes.set_ylim(len(variants) - 0.45, -0.55)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(-1.15 * widest, 1.15 * widest)
        label_differences(axes.xaxis)
        axes.set_xlabel("share − weight, percentage points")
        axes.set_title(f"Observed share against weight: {run.tally.identified:,} {unit}")
        confidence = f"share, {100 * (1 - question.alpha):g} % interval"
        axes.errorbar([], [], xerr=[], fmt="o", color=INK, capsize=4, label=confidence)
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def _draw_tolerance(axes: Axes, row: int, question: Question, variant: str) -> None:
    weight = question.split[variant]
    tolerance = question.tolerance_of(variant)
    low = max(-weight, -tolerance)
    high = min(1 - weight, tolerance)
    label = "tolerance" if row == 0 else None
    axes.barh(row, 100 * (high - low), 0.7, 100 * low, color=TOLERATED, label=label)


def _draw_share(axes: Axes, row: int, run: Run, variant: str, style: Style) -> float:
    """Draw a share and its interval; return how far they reach from the weight, in points."""
    weight = run.question.split[variant]
    share = run.tally.share(variant)
    if share is None:
        return 0.0
    low, high = run.interval(variant)
    axes.errorbar(
        100 * (share - weight),
        row,
        xerr=[[100 * (share - low)], [100 * (high - share)]],
        fmt=style.mark,
        ms=9,
        color=style.color,
        mec=INK,
        ecolor=INK,
        elinewidth=1.4,
        capsize=5,
        zorder=3,
    )
    text = f"share {100 * share:.2f} %\nweight {100 * weight:g} %"
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center")
    return max(100 * abs(low - weight), 100 * abs(high - weight))


def share_over_requests(run: Run) -> Figure:
    """Return the share of each variant as responses arrive, inside its tolerance band."""
    sums = accumulate(stretch.tally for stretch in run.counted.stretches)
    totals = [total for total in sums if total.identified]
    with picture() as (figure, axes):
        for variant, style in styles(list(run.tally.counts)).items():
            _draw_band(axes, run.question, variant, style)
            _draw_progress(axes, totals, variant, style)
        if totals and totals[-1].identified > 1:
            axes.set_xscale("log")
            axes.set_xlim(right=totals[-1].identified)
            label_counts(axes.xaxis)
            label_majors_only(axes.xaxis)
        axes.set_ylim(-3, 103)
        label_percent(axes.yaxis)
        axes.set_xlabel("responses so far (logarithmic)")
        axes.set_title("Share as responses arrive; bands: weight ± tolerance")
    return figure


def _draw_band(axes: Axes, question: Question, variant: str, style: Style) -> None:
    weight = question.split[variant]
    tolerance = question.tolerance_of(variant)
    low = 100 * (weight - tolerance)
    high = 100 * (weight + tolerance)
    axes.axhspan(low, high, color=style.outline, alpha=0.1)
    axes.axhline(100 * weight, color=style.outline, lw=0.8, alpha=0.6)


def _draw_progress(axes: Axes, totals: Sequence[Tally], variant: str, style: Style) -> None:
    """Draw a share as responses come in, with its name at the end."""
    responses = [total.identified for total in totals]
    shares = [100 * (total.share(variant) or 0) for total in totals]
    axes.plot(
        responses,
        shares,
        style.line,
        color=style.outline,
        lw=1.8,
        marker=style.mark,
        markevery=max(len(responses) // 12, 1),
        ms=5,
        clip_on=False,
    )
    if not responses:
        return
    axes.annotate(
        f" {variant} {shares[-1]:.1f} %",
        (responses[-1], shares[-1]),
        (6, 0),
        textcoords="offset points",
        va="center",
        color=style.outline,
        annotation_clip=False,
    )


def latency_by_variant(run: Run) -> Figure:
    """Return how many of a variant's requests were answered within a time."""
    variant_styles = styles(list(run.tally.counts))
    with picture() as (figure, axes):
        for key, buckets in run.counted.latency.items():
            style = LOST
            if key.status == "2xx":
                style = variant_styles.get(key.variant, LOST)
            if any(buckets.values()):
                _draw_latency(axes, key, buckets, style)
        if axes.lines:
            axes.set_xscale("log")
            label_plain(axes.xaxis)
            axes.legend(loc="lower right")
        axes.set_ylim(-2, 102)
        label_percent(axes.yaxis)
        axes.set_xlabel("latency, ms (logarithmic)")
        axes.set_title("Requests answered within a time")
    return figure


def _draw_latency(axes: Axes, key: LatencyKey, buckets: Buckets, style: Style) -> None:
    ordered = sorted(buckets)
    milliseconds = [middle_of(bucket) / 1000 for bucket in ordered]
    answered = np.cumsum([buckets[bucket] for bucket in ordered])
    median = quantile(buckets, 0.5)
    tail = quantile(buckets, 0.99)
    axes.step(
        milliseconds,
        100 * answered / answered[-1],
        style.line,
        where="post",
        color=style.outline,
        lw=1.8,
        marker=style.mark,
        markevery=max(len(milliseconds) // 10, 1),
        ms=5,
        label=f"{answerer(key)}: median {median:.3g} ms, p99 {tail:.3g} ms",
    )


def rate_over_time(run: Run) -> Figure:
    """Return requests a second by variant, stacked, with what is lost on top."""
    borders, tallies = merge_stretches(run.counted.stretches)
    lost = run.tally.lost
    with picture() as (figure, axes):
        if tallies:
            highest = _draw_rates(axes, list(run.tally.counts), borders, tallies)
            axes.set_xlim(borders[0], borders[-1])
            axes.set_ylim(0, max(highest * 1.15, 1))
        label_counts(axes.yaxis)
        axes.set_xlabel("seconds since the start")
        what = f"{lost:,} lost" if lost else "nothing lost"
        axes.set_title(f"Requests a second, by variant; {what}")
        if tallies:
            figure.legend(loc="outside lower center", ncols=6)
    return figure


def _draw_rates(
    axes: Axes, variants: Sequence[str], borders: Sequence[float], tallies: Sequence[Tally]
) -> float:
    """Draw stacked bars, a variant on the other; return how high they are."""
    widths = np.diff(borders)
    bottom: Floats = np.zeros(len(tallies))
    for variant, style in styles(variants).items():
        rates = np.array([tally.counts.get(variant, 0) for tally in tallies]) / widths
        _draw_bars(axes, borders, rates, bottom, style, variant)
        bottom += rates
    lost = np.array([tally.lost for tally in tallies]) / widths
    if lost.any():
        _draw_bars(axes, borders, lost, bottom, LOST, "lost")
        bottom += lost
    return float(bottom.max())


def _draw_bars(
    axes: Axes,
    borders: Sequence[float],
    heights: Floats,
    bottom: Floats,
    style: Style,
    label: str,
) -> None:
    axes.bar(
        borders[:-1],
        heights,
        np.diff(borders),
        bottom,
        align="edge",
        color=style.color,
        alpha=0.75,
        hatch=style.hatch,
        edgecolor="white",
        linewidth=0.3,
        label=label,
    )


def share_over_time(run: Run) -> Figure:
    """Return the share of each variant by time, the last one's by gateway too, and its change."""
    variants = list(run.tally.counts)
    change = change_in(run)
    with picture() as (figure, axes):
        for variant, style in styles(variants).items():
            shares, borders = _shares_by_time(run.counted.stretches, variant)
            axes.stairs(shares, borders, baseline=None, color=style.outline, lw=1.8, label=variant)
        for gateway in run.counted.gateways:
            shares, borders = _shares_by_time(gateway.stretches, variants[-1])
            label = f"{variants[-1]} at {gateway.name}"
            axes.stairs(shares, borders, baseline=None, color=INK, lw=0.8, ls=":", label=label)
        if change:
            _draw_change(axes, change)
        axes.set_ylim(-3, 103)
        label_percent(axes.yaxis)
        axes.set_xlabel("seconds since the start")
        axes.set_title(f"Share by time{_in_words(change)}")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def _shares_by_time(stretches: Sequence[Stretch], variant: str) -> tuple[list[float], list[float]]:
    """Return a variant's shares in per cent, and the borders of their times in seconds."""
    borders, tallies = merge_stretches(stretches)
    shares = []
    for tally in tallies:
        share = tally.share(variant)
        shares.append(math.nan if share is None else 100 * share)
    return shares, borders


def _draw_change(axes: Axes, change: Change) -> None:
    axes.axvspan(change.earliest, change.latest, color=WARNING, alpha=0.25, lw=0)
    if change.mixed:
        axes.axvspan(change.began, change.at, color=MIXED, alpha=0.25, lw=0)
    axes.axvline(change.at, color=WARNING, lw=1)


def _in_words(change: Change | None) -> str:
    if change is None:
        return ""
    text = f"; in force from {change.at:.2f} s on"
    if change.mixed:
        text += f", mixed for {change.mixed:.2f} s before"
    return text


PLOTS: Mapping[str, Callable[[Run], Figure]] = {
    "shares": observed_against_expected,
    "share-over-requests": share_over_requests,
    "latency": latency_by_variant,
    "rate": rate_over_time,
}


def write_plots(run: Run, directory: Path) -> list[Path]:
    """Write every picture as a PNG, and return the files. Raises OSError."""
    paths = []
    plots = dict(PLOTS)
    if run.counted.gateways or change_in(run):
        plots["share-over-time"] = share_over_time
    for name, draw in plots.items():
        image = io.BytesIO()
        draw(run).savefig(image, format="png", dpi=DPI)
        path = directory / f"{name}.png"
        path.write_bytes(image.getvalue())
        paths.append(path)
    return paths
