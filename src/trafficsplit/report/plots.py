"""The pictures of a run, for tired eyes: one message each, the variants by name and by mark.

Each function takes a Run and returns a matplotlib Figure. Colours are the variants' own where they
are colours; marks, line styles and hatches differ too, so that no one needs to see colours.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, ScalarFormatter

from analysis.latency import middle_of, quantile
from analysis.planning import fixed_size, requests_to_match, requests_to_mismatch
from analysis.question import Question
from analysis.run import Run
from analysis.series import merged, who
from analysis.stationarity import change_in
from analysis.tally import Tally

INK, FAINT, WARNING = "#222222", "#8a8a8a", "#b00020"
# For variants whose names are no colours: Okabe & Ito 2008, told apart by colour-blind readers.
PALETTE = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00")
MARKS = ("o", "s", "D", "^", "v", "P")
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")
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
WIDTH, HEIGHT, DPI = 8.0, 4.0, 120


@dataclass(frozen=True)
class Look:
    """How one variant is drawn."""

    colour: str
    edge: str
    mark: str
    line: str
    hatch: str


def looks(variants: Sequence[str]) -> dict[str, Look]:
    """A look for each variant: its own colour where its name is one."""
    found: dict[str, Look] = {}
    for index, variant in enumerate(variants):
        own = is_color_like(variant) and len(variant) > 1  # matplotlib's "b" is nobody's blue
        colour = variant if own else PALETTE[index % len(PALETTE)]
        pale = sum(to_rgb(colour)) > 2.2 or to_rgb(colour)[1] > 0.85  # white, yellow, lime on paper
        found[variant] = Look(
            colour,
            INK if pale else colour,
            MARKS[index % len(MARKS)],
            LINES[index % len(LINES)],
            HATCHES[index % len(HATCHES)],
        )
    return found


def observed_against_expected(run: Run) -> Figure:
    """How far each variant's share, with its interval, is from its weight: beside the tolerance."""
    question, tally = run.question, run.tally
    variants, widest = list(tally.counts), 0.0
    with rc_context(STYLE):
        figure, axes = _figure(height=1.8 + 0.6 * len(variants))
        for row, (variant, look) in enumerate(looks(variants).items()):
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
                fmt=look.mark,
                ms=9,
                color=look.colour,
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
    sums = accumulate(stretch.tally for stretch in run.stretches)
    totals = [total for total in sums if total.identified]
    with rc_context(STYLE):
        figure, axes = _figure()
        for variant, look in looks(variants).items():
            n = [total.identified for total in totals]
            share = [100 * (total.share(variant) or 0) for total in totals]
            weight, reach = run.question.split[variant], run.question.tolerance_of(variant)
            axes.axhspan(100 * (weight - reach), 100 * (weight + reach), color=look.edge, alpha=0.1)
            axes.axhline(100 * weight, color=look.edge, lw=0.8, alpha=0.6)
            axes.plot(
                n,
                share,
                look.line,
                color=look.edge,
                lw=1.8,
                marker=look.mark,
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
                    color=look.edge,
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
    groups = [(key, buckets) for key, buckets in run.latency.items() if sum(buckets.values())]
    shown = looks(list(run.tally.counts))
    with rc_context(STYLE):
        figure, axes = _figure()
        for key, buckets in groups:
            look = shown.get(key.variant) or Look(WARNING, WARNING, "x", ":", "")
            if key.status != "2xx":
                look = Look(WARNING, WARNING, "x", ":", "")
            ordered = sorted(buckets)
            middle = [middle_of(b) / 1000 for b in ordered]
            total = sum(buckets.values())
            part = [100 * seen / total for seen in accumulate(buckets[b] for b in ordered)]
            median, tail = quantile(buckets, 0.5), quantile(buckets, 0.99)
            axes.step(
                middle,
                part,
                look.line,
                where="post",
                color=look.edge,
                lw=1.8,
                marker=look.mark,
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
    edges, tallies = merged(run.stretches)
    variants = list(run.tally.counts)
    with rc_context(STYLE):
        figure, axes = _figure()
        if tallies:
            widths = np.diff(edges)
            bottom = np.zeros(len(tallies))
            for variant, look in looks(variants).items():
                rate = np.array([t.counts.get(variant, 0) for t in tallies]) / widths
                _bars(axes, edges, rate, bottom, look, variant)
                bottom += rate
            lost = np.array([t.lost for t in tallies]) / widths
            if lost.any():
                _bars(axes, edges, lost, bottom, Look(WARNING, WARNING, "x", ":", "xxx"), "lost")
                bottom += lost
            axes.set_xlim(edges[0], edges[-1])
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
        axes.plot([100 * weight], [match], "o", color=looks(variants)[variant].colour, mec=INK)
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
    edges, tallies = merged(run.stretches)
    variants = list(run.tally.counts)
    with rc_context(STYLE):
        figure, axes = _figure()
        for variant, look in looks(variants).items():
            y = [_share(tally, variant) for tally in tallies]
            axes.stairs(y, edges, baseline=None, color=look.edge, lw=1.8, label=variant)
        for gateway in run.gateways:
            edges, tallies = merged(gateway.stretches)
            y = [_share(tally, variants[-1]) for tally in tallies]
            axes.stairs(y, edges, baseline=None, color=INK, lw=0.8, ls=":",
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
    if run.gateways or change_in(run):
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
    edges: Sequence[float],
    rate: np.ndarray[tuple[int], np.dtype[np.float64]],
    bottom: np.ndarray[tuple[int], np.dtype[np.float64]],
    look: Look,
    label: str,
) -> None:
    axes.bar(
        edges[:-1],
        rate,
        np.diff(edges),
        bottom,
        align="edge",
        color=look.colour,
        alpha=0.75,
        hatch=look.hatch,
        edgecolor="white",
        linewidth=0.3,
        label=label,
    )
