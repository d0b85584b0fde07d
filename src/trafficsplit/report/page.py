"""report.html: one file that opens anywhere, from a run and its verdict.

Host names, reasons and errors come from outside: the template escapes all of them, and the page's
own policy lets no script run but the two that are put into it here.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from trafficsplit.analysis import series
from trafficsplit.analysis.run import LatencyKey, Run
from trafficsplit.assets import asset
from trafficsplit.files import write_whole
from trafficsplit.report.colors import styles
from trafficsplit.report.document import (
    VerdictDocument,
    change_sentence,
    further_lines,
    proven_sentence,
)
from trafficsplit.report.intervals import intervals
from trafficsplit.report.users import users_in_words
from trafficsplit.text import percent

PAGE = "report.html"
TEMPLATES = Path(__file__).with_name("templates")
CAPTIONS = {
    "shares": "Each mark is an observed share, and the grey band shows the shares that are within "
    "the tolerance. The intervals hold at any time and for all variants together, which is more "
    "than a verdict needs: they may reach beyond the band on a match, and into it on a mismatch.",
    "share-over-requests": "Pale: the interval, which holds at any time. Dotted: the weight. If a "
    "line changes its course, the split has changed.",
    "latency": "The further left a line is, the faster its variant is.",
    "share-over-time": "Red: the time at which the new split came into force, as precisely as the "
    "counts show it.",
    "rate": "How many requests each variant answered per second. Red: those that were lost.",
}
DASHES = {"-": [], "--": [8, 4], "-.": [8, 3, 2, 3], ":": [2, 3]}
LIBRARIES = ("locust", "numpy", "scipy")


def write_page(run: Run, document: VerdictDocument, directory: Path) -> None:
    """Write report.html. Raises OSError."""
    write_whole(directory / PAGE, page_of(run, document))


def page_of(run: Run, document: VerdictDocument) -> str:
    """Return the page of a run and its verdict."""
    static = asset("locust", "static")
    scripts = [
        (static / "uPlot.iife.min.js").read_text("utf-8"),
        (TEMPLATES / "report.js").read_text("utf-8"),
    ]
    style = (static / "uPlot.min.css").read_text("utf-8")
    style += (TEMPLATES / "report.css").read_text("utf-8")
    charts = series_of(run, document)
    return render(
        "report.html",
        v=document,
        further=further_lines(document),
        proven=proven_sentence(document),
        captions=CAPTIONS,
        intervals=intervals(document),
        series=charts,
        versions=versions(),
        style=Markup(style),
        library=Markup(scripts[0]),
        script=Markup(scripts[1]),
        hashes=Markup(" ".join(_hash(text) for text in scripts)),
        **_labels(document, charts),
    )


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def series_of(run: Run, document: VerdictDocument) -> dict[str, Any]:
    """Return what the page's charts show, as data that JSON can hold."""
    variants = list(document.observed)
    latencies = series.latencies(run)
    for line in latencies["lines"]:
        line["label"] = series.answerer(LatencyKey(line["variant"], line["status"]))
    shown_as = {}
    for variant, style in styles(variants).items():
        shown_as[variant] = {"color": style.color, "dash": DASHES[style.line]}
    return {
        "variants": variants,
        "styles": shown_as,
        "expected": {variant: document.expected[variant] for variant in run.question.split},
        "shares": series.shares(run),
        "evidence": series.evidence(run),
        "rates": series.rates(run),
        "latencies": latencies,
        "change": {"at": document.change.at} if document.change else None,
    }


def _labels(document: VerdictDocument, charts: Mapping[str, Any]) -> dict[str, str]:
    """Return the charts in words, for people who cannot see them."""
    change = document.change
    return {
        "share_label": _shares_in_words(document),
        "evidence_label": _evidence_in_words(charts["evidence"]),
        "rate_label": f"{document.requests_per_second:,.0f} a second on average",
        "latency_label": _medians_in_words(document),
        "change_label": change_sentence(change) if change else "by gateway",
        "users_in_words": users_in_words(document.of_users) if document.of_users else "",
    }


def _shares_in_words(document: VerdictDocument) -> str:
    ends = [f"{variant} ends at {percent(share)}" for variant, share in document.shares.items()]
    return ", ".join(ends) or "no variant answered"


def _evidence_in_words(evidence: Mapping[str, list[float | None]]) -> str:
    parts = []
    for name in ("match", "mismatch"):
        last = evidence[name][-1] if evidence[name] else None
        parts.append(f"{name} {percent(last, 0)} of what is needed")
    return f"at the end {', '.join(parts)}"


def _medians_in_words(document: VerdictDocument) -> str:
    medians = []
    for variant, quantiles in document.latency_ms.items():
        if quantiles["p50"]:
            medians.append(f"{variant} {quantiles['p50']:.3g} ms")
    if not medians:
        return "none"
    return f"medians {', '.join(medians)}"


def versions() -> dict[str, str]:
    """Return the versions of us, of Python, and of the libraries that the figures depend on."""
    by_name = {"trafficsplit": importlib.metadata.version("trafficsplit")}
    by_name["Python"] = platform.python_version()
    for name in LIBRARIES:
        by_name[name] = importlib.metadata.version(name)
    return by_name


def render(template: str, **values: Any) -> str:
    """Return a page from one of our templates, with every value in it escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template(template).render(**values)
