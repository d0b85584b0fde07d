"""The pictures of a run, for tired eyes: one message each, the variants by name and by mark.

Each function takes a Run and returns a matplotlib Figure. Colors are the variants' own where they
are colors; marks, line styles and hatches differ too, so that no one needs to see colors.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from trafficsplit.errors import InputError

try:
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, ScalarFormatter
except ImportError:
    raise InputError("pictures need matplotlib: pip install 'trafficsplit[plots]'") from None

from trafficsplit.analysis.latency import middle_of, quantile
from trafficsplit.analysis.planning import fixed_size, requests_to_match, requests_to_mismatch
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.series import merged, who
from trafficsplit.analysis.stationarity import change_in
from trafficsplit.analysis.tally import Tally
from trafficsplit.report.colors import INK, Style, styles

FAINT = "#8a8a8a"
WARNING = "#b00020"
LOST = Style(WARNING, WARNING, "x", ":", "xxx")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
}
WIDTH = 8.0  # inches
HEIGHT = 4.0
DPI = 120


def observed_against_expected(run: Run) -> Figure:
    """How far each variant's share, with its interval, is from its weight: beside the tolerance."""
    question, tally = run.question, run.tally
    variants, widest = list(tally.counts), 0.0
    with rc_context(STYLE):
        figure, axes = _figure(height=1.8 + 0.6 * len(variants))
        for row, (variant, style) in enumerate(styles(variants).items()):
            weight, reach = question.split[variant], question.tolerance_of(variant)
            low, high = max(-weight, -reach), min(1 - weight, reach)
            widest = max(widest, 100 * reach)
            label = "tolerance" if row == 0 else None
            axes.barh(row, 100 * (high - low), 0.7, 100 * low, color="#dddddd", label=label)
            share = tally.share(variant)
            if share is None:
                continue
            ends = run.interval(variant)
            axes.errorbar(
                100 * (share - weight),
                row,
                xerr=[[100 * (share - ends[0])], [100 * (ends[1] - share)]],
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
            widest = max(widest, *(100 * abs(end - weight) for end in ends))
        axes.axvline(0, color=INK, lw=1.2, zorder=2)
        axes.set_yticks(range(len(variants)), variants)
        axes.set_ylim(len(variants) - 0.45, -0.55)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(-1.15 * widest, 1.15 * widest)
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:+g}" if value else "0")
        )
        axes.set_xlabel("share − weight, percentage points")
        axes.set_title(f"Observed share against weight: {tally.identified:,} responses")
        confidence = f"share, {100 * (1 - question.alpha):g} % interval"
        axes.errorbar([], [], xerr=[], fmt="o", color=INK, capsize=4, label=confidence)
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def share_over_requests(run: Run) -> Figure:
    """The share of each variant as responses arrive, inside its tolerance band."""
    variants = list(run.tally.counts)
    sums = accumulate(stretch.tally for stretch in run.counted.stretches)
    totals = [total for total in sums if total.identified]
    with rc_context(STYLE):
        figure, axes = _figure()
        for variant, style in styles(variants).items():
            n = [total.identified for total in totals]
            share = [100 * (total.share(variant) or 0) for total in totals]
            weight, reach = run.question.split[variant], run.question.tolerance_of(variant)
            axes.axhspan(
                100 * (weight - reach), 100 * (weight + reach), color=style.outline, alpha=0.1
            )
            axes.axhline(100 * weight, color=style.outline, lw=0.8, alpha=0.6)
            axes.plot(
                n,
                share,
                style.line,
                color=style.outline,
                lw=1.8,
                marker=style.mark,
                markevery=max(len(n) // 12, 1),
                ms=5,
                clip_on=False,
            )
            if n:
                axes.annotate(
                    f" {variant} {share[-1]:.1f} %",
                    (n[-1], share[-1]),
                    (6, 0),
                    textcoords="offset points",
                    va="center",
                    color=style.outline,
                    annotation_clip=False,
                )
        if totals and totals[-1].identified > 1:
            axes.set_xscale("log")
            axes.set_xlim(right=totals[-1].identified)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
        axes.set_ylim(-3, 103)
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel("responses so far (logarithmic)")
        axes.set_title("Share as responses arrive; bands: weight ± tolerance")
    return figure


def latency_by_variant(run: Run) -> Figure:
    """How many of a variant's requests were answered within a time."""
    groups = [
        (key, buckets) for key, buckets in run.counted.latency.items() if sum(buckets.values())
    ]
    shown = styles(list(run.tally.counts))
    with rc_context(STYLE):
        figure, axes = _figure()
        for key, buckets in groups:
            style = shown.get(key.variant, LOST) if key.status == "2xx" else LOST
            ordered = sorted(buckets)
            middle = [middle_of(b) / 1000 for b in ordered]
            total = sum(buckets.values())
            part = [100 * seen / total for seen in accumulate(buckets[b] for b in ordered)]
            median, tail = quantile(buckets, 0.5), quantile(buckets, 0.99)
            axes.step(
                middle,
                part,
                style.line,
                where="post",
                color=style.outline,
                lw=1.8,
                marker=style.mark,
                markevery=max(len(middle) // 10, 1),
                ms=5,
                label=f"{who(key)}: median {median:.3g} ms, p99 {tail:.3g} ms",
            )
        if groups:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.legend(loc="lower right")
        axes.set_ylim(-2, 102)
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel("latency, ms (logarithmic)")
        axes.set_title("Requests answered within a time")
    return figure


def rate_over_time(run: Run) -> Figure:
    """Requests a second by variant, stacked, with what is lost on top."""
    borders, tallies = merged(run.counted.stretches)
    variants = list(run.tally.counts)
    with rc_context(STYLE):
        figure, axes = _figure()
        if tallies:
            widths = np.diff(borders)
            bottom = np.zeros(len(tallies))
            for variant, style in styles(variants).items():
                rate = np.array([t.counts.get(variant, 0) for t in tallies]) / widths
                _bars(axes, borders, rate, bottom, style, variant)
                bottom += rate
            lost = np.array([t.lost for t in tallies]) / widths
            if lost.any():
                _bars(axes, borders, lost, bottom, LOST, "lost")
                bottom += lost
            axes.set_xlim(borders[0], borders[-1])
            axes.set_ylim(0, max(bottom.max() * 1.15, 1))
        lost_in_all = run.tally.lost
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("seconds since the start")
        what = "nothing lost" if not lost_in_all else f"{lost_in_all:,} lost"
        axes.set_title(f"Requests a second, by variant; {what}")
        if tallies:
            figure.legend(loc="outside lower center", ncols=6)
    return figure


def requests_by_share(question: Question) -> Figure:
    """Requests to a verdict by the true share of the last variant, beside the fixed-sample size.

    Within the tolerance a match (where the share is exactly the weight), beyond it a mismatch.
    """
    variants = list(question.split)
    variant, weight = variants[-1], question.split[variants[-1]]
    others = {v: question.split[v] / max(1 - weight, 1e-12) for v in variants[:-1]}
    shares = np.unique(np.concatenate([np.linspace(0, 1, 201), [weight]]))
    found = [
        requests_to_mismatch(question, {variant: s, **{v: (1 - s) * p for v, p in others.items()}})
        for s in map(float, shares)
    ]
    with rc_context(STYLE):
        figure, axes = _figure()
        reach = question.tolerance_of(variant)
        axes.axvspan(100 * (weight - reach), 100 * (weight + reach), color="#dddddd")
        for part in (shares < weight, shares > weight):
            x = [100 * s for s, n, shown in zip(shares, found, part, strict=True) if shown and n]
            y = [n for n, shown in zip(found, part, strict=True) if shown and n]
            axes.plot(x, y, color=INK, lw=1.8)
        match = requests_to_match(question, 0.5)
        axes.plot([100 * weight], [match], "o", color=styles(variants)[variant].color, mec=INK)
        axes.annotate(
            f"match: {match:,}",
            (100 * weight, match),
            (0, -20),
            textcoords="offset points",
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
        size = fixed_size(question)
        axes.axhline(size, color=WARNING, lw=1, ls="--")
        axes.annotate(f"fixed-sample test: {size:,}", (99, size), (0, 5), ha="right",
                      textcoords="offset points", color=WARNING)  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlim(0, 100)
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel(f"true share of {variant}; grey: within the tolerance")
        axes.set_title("Requests to a verdict, median (logarithmic)")
    return figure


def share_over_time(run: Run) -> Figure:
    """The share of each variant by time, and when it changed: of the last one by gateway too."""
    borders, tallies = merged(run.counted.stretches)
    variants = list(run.tally.counts)
    with rc_context(STYLE):
        figure, axes = _figure()
        for variant, style in styles(variants).items():
            y = [_share(tally, variant) for tally in tallies]
            axes.stairs(y, borders, baseline=None, color=style.outline, lw=1.8, label=variant)
        for gateway in run.counted.gateways:
            borders, tallies = merged(gateway.stretches)
            y = [_share(tally, variants[-1]) for tally in tallies]
            axes.stairs(y, borders, baseline=None, color=INK, lw=0.8, ls=":",
                        label=f"{variants[-1]} at {gateway.name}")  # fmt: skip
        change = change_in(run)
        if change:
            axes.axvspan(change.earliest, change.latest, color=WARNING, alpha=0.25, lw=0)
            if change.mixed:
                axes.axvspan(change.began, change.at, color="#999999", alpha=0.25, lw=0)
            axes.axvline(change.at, color=WARNING, lw=1)
        axes.set_ylim(-3, 103)
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes.set_xlabel("seconds since the start")
        mixed = f", mixed for {change.mixed:.2f} s before" if change and change.mixed else ""
        at = f"; in force from {change.at:.2f} s on{mixed}" if change else ""
        axes.set_title(f"Share by time{at}")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def _share(tally: Tally, variant: str) -> float:
    share = tally.share(variant)
    return math.nan if share is None else 100 * share


PLOTS: Mapping[str, Callable[[Run], Figure]] = {
    "shares": observed_against_expected,
    "share-over-requests": share_over_requests,
    "latency": latency_by_variant,
    "rate": rate_over_time,
}


def write_plots(run: Run, directory: Path) -> list[Path]:
    """Write every plot as a PNG. Raises OSError."""
    paths = []
    plots = dict(PLOTS)
    if run.counted.gateways or change_in(run):
        plots["share-over-time"] = share_over_time
    for name, plot in plots.items():
        image = io.BytesIO()
        plot(run).savefig(image, format="png", dpi=DPI)
        path = directory / f"{name}.png"
        path.write_bytes(image.getvalue())
        paths.append(path)
    return paths


def _figure(height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    return figure, figure.add_subplot()


def _percent(value: float, _: object) -> str:
    return f"{value:g} %"


def _bars(
    axes: Axes,
    borders: Sequence[float],
    rate: np.ndarray[tuple[int], np.dtype[np.float64]],
    bottom: np.ndarray[tuple[int], np.dtype[np.float64]],
    style: Style,
    label: str,
) -> None:
    axes.bar(
        borders[:-1],
        rate,
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
