"""report.html: one file that opens anywhere, from a run and its verdict.

Host names, reasons and errors come from strangers: the template escapes all of it, and the page's
own policy lets no other script run than the two that are put into it here.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.resources
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.colors import to_hex

from analysis import Run, series
from analysis.plots import looks
from analysis.run import LatencyKey
from analysis.text import percent
from trafficsplit.report import change_sentence, further_lines

TEMPLATES = Path(__file__).with_name("templates")
CAPTIONS = {
    "shares": "Each mark is an observed share, and the grey band is what would be fine. The "
    "intervals hold at any time and for all variants together, which is more than the verdict "
    "asks: on a match they may reach beyond the band, on a mismatch into it.",
    "share-over-requests": "Pale: the interval, which holds at any time. Dotted: the weight. A "
    "line that changes course is a split that changed.",
    "latency": "The further left a line, the faster the variant.",
    "share-over-time": "Red is when the new split came into force, as surely as the counts tell.",
    "rate": "What was answered each second, by whom; what was lost is red.",
}
DASHES = {"-": [], "--": [8, 4], "-.": [8, 3, 2, 3], ":": [2, 3]}
LIBRARIES = ("locust", "numpy", "scipy")
WIDTH, LEFT, RIGHT = 720.0, 150.0, 700.0  # of the picture of intervals, and of its axis


def write_page(
    run: Run, verdict: Mapping[str, Any], plots: Sequence[Path], directory: Path
) -> None:
    """Write report.html. Raises OSError."""
    pictures = {
        path.stem: base64.b64encode(path.read_bytes()).decode("ascii")
        for path in plots
        if path.stem in CAPTIONS
    }
    (directory / "report.html").write_text(page_of(run, verdict, pictures), "utf-8")


def page_of(run: Run, verdict: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The page. `pictures` are PNGs in base 64, for readers without scripts."""
    library = importlib.resources.files("load").joinpath("static", "uPlot.iife.min.js")
    uplot_style = importlib.resources.files("load").joinpath("static", "uPlot.min.css")
    script = (TEMPLATES / "report.js").read_text("utf-8")
    scripts = [library.read_text("utf-8"), script]
    found = series_of(run, verdict)
    style = uplot_style.read_text("utf-8") + (TEMPLATES / "report.css").read_text("utf-8")
    return rendered(
        "report.html",
        v=verdict,
        further=further_lines(verdict),
        pictures=pictures,
        captions=CAPTIONS,
        intervals=intervals(run, verdict),
        series=found,
        versions=versions(),
        style=Markup(style),
        library=Markup(scripts[0]),
        script=Markup(scripts[1]),
        hashes=Markup(" ".join(_hash(text) for text in scripts)),
        **_labels(verdict, found),
    )


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def series_of(run: Run, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's charts show, as plain data."""
    variants = list(verdict["observed"])
    found = series.latencies(run)
    for line in found["lines"]:
        line["label"] = series.who(LatencyKey(line["variant"], line["status"]))
    return {
        "variants": variants,
        "looks": {
            variant: {"colour": to_hex(look.colour), "dash": DASHES[look.line]}
            for variant, look in looks(variants).items()
        },
        "expected": {v: verdict["expected"][v] for v in run.question.split},
        "shares": series.shares(run),
        "evidence": series.evidence(run),
        "rates": series.rates(run),
        "latencies": found,
        "change": verdict["change"],
    }


def intervals(run: Run, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Where the marks, bands and intervals of the variants stand, in units of the picture."""
    rows, widest = [], 0.0
    for variant, look in looks(list(verdict["observed"])).items():
        weight, share = verdict["expected"][variant], verdict["shares"][variant]
        reach, ends = verdict["tolerances"][variant], verdict["confidence"][variant]
        band = (max(-weight, -reach), min(1 - weight, reach))
        off = [end - weight for end in ends] if share is not None else []
        widest = max(widest, *(abs(x) for x in (*band, *off)))
        rows.append((variant, weight, share, band, off, to_hex(look.colour)))
    zero, scale = (LEFT + RIGHT) / 2, (RIGHT - LEFT) / 2 / (1.12 * (widest or 1))

    def at(value: float) -> float:
        return round(zero + scale * value, 2)

    step = _step(widest)
    count = int(widest / step)
    return {
        "zero": zero,
        "ticks": [
            {"x": at(k * step), "label": f"{100 * k * step:+.4g}" if k else "0"}
            for k in range(-count, count + 1)
        ],
        "rows": [
            {
                "variant": variant, "weight": weight, "share": share, "colour": colour,
                "band": [at(x) for x in band], "ends": [at(x) for x in off],
                "at": None if share is None else at(share - weight),
            }
            for variant, weight, share, band, off, colour in rows
        ],
    }  # fmt: skip


def _step(widest: float) -> float:
    """A round distance of ticks, of which about three fit to either side."""
    for exponent in range(-6, 1):
        for digit in (1, 2, 5):
            step = float(digit * 10.0**exponent)
            if widest / step <= 3.5:
                return step
    return 1.0


def _labels(verdict: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, str]:
    """The charts in words, for who cannot see them."""
    ends = ", ".join(f"{v} ends at {percent(s)}" for v, s in verdict["shares"].items())
    parts = {name: found["evidence"][name] for name in ("match", "mismatch")}
    last = ", ".join(
        f"{name} {percent(values[-1] if values else None, 0)} of what is needed"
        for name, values in parts.items()
    )
    medians = ", ".join(
        f"{v} {row['p50']:.3g} ms" for v, row in verdict["latency_ms"].items() if row["p50"]
    )
    change = verdict["change"]
    return {
        "share_label": ends or "nobody answered",
        "evidence_label": f"at the end {last}",
        "rate_label": f"{verdict['requests_per_second']:,.0f} a second on average",
        "latency_label": f"medians {medians}" if medians else "none",
        "change_label": change_sentence(change) if change else "by gateway",
    }


def versions() -> dict[str, str]:
    """Of us, of Python, and of what has a say in the figures."""
    found = {"trafficsplit": importlib.metadata.version("trafficsplit")}
    found["Python"] = platform.python_version()
    return found | {name: importlib.metadata.version(name) for name in LIBRARIES}


def rendered(template: str, **values: Any) -> str:
    """A page from one of our templates; whatever stands in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template(template).render(**values)
