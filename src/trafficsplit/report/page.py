"""report.html: one file that opens anywhere, from a run and its verdict.

Host names, reasons and errors come from outside: the template escapes all of it, and the page's
own policy lets no other script run than the two that are put into it here.
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
from trafficsplit.report.document import VerdictDocument, change_sentence, further_lines
from trafficsplit.report.intervals import intervals
from trafficsplit.text import percent

PAGE = "report.html"
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


def write_page(run: Run, document: VerdictDocument, directory: Path) -> None:
    """Write report.html. Raises OSError."""
    write_whole(directory / PAGE, page_of(run, document))


def page_of(run: Run, document: VerdictDocument) -> str:
    """Return the page."""
    static = asset("locust", "static")
    scripts = [
        (static / "uPlot.iife.min.js").read_text("utf-8"),
        (TEMPLATES / "report.js").read_text("utf-8"),
    ]
    style = (static / "uPlot.min.css").read_text("utf-8")
    style += (TEMPLATES / "report.css").read_text("utf-8")
    found = series_of(run, document)
    return rendered(
        "report.html",
        v=document,
        further=further_lines(document),
        captions=CAPTIONS,
        intervals=intervals(document),
        series=found,
        versions=versions(),
        style=Markup(style),
        library=Markup(scripts[0]),
        script=Markup(scripts[1]),
        hashes=Markup(" ".join(_hash(text) for text in scripts)),
        **_labels(document, found),
    )


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def series_of(run: Run, document: VerdictDocument) -> dict[str, Any]:
    """Return what the page's charts show, as plain data."""
    variants = list(document.observed)
    found = series.latencies(run)
    for line in found["lines"]:
        line["label"] = series.who(LatencyKey(line["variant"], line["status"]))
    return {
        "variants": variants,
        "styles": {
            variant: {"color": style.color, "dash": DASHES[style.line]}
            for variant, style in styles(variants).items()
        },
        "expected": {v: document.expected[v] for v in run.question.split},
        "shares": series.shares(run),
        "evidence": series.evidence(run),
        "rates": series.rates(run),
        "latencies": found,
        "change": {"at": document.change.at} if document.change else None,
    }


def _labels(document: VerdictDocument, found: Mapping[str, Any]) -> dict[str, str]:
    """Return the charts in words, for people who cannot see them."""
    ends = ", ".join(f"{v} ends at {percent(s)}" for v, s in document.shares.items())
    last = []
    for name in ("match", "mismatch"):
        values = found["evidence"][name]
        last.append(f"{name} {percent(values[-1] if values else None, 0)} of what is needed")
    medians = []
    for variant, quantiles in document.latency_ms.items():
        if quantiles["p50"]:
            medians.append(f"{variant} {quantiles['p50']:.3g} ms")
    change = document.change
    return {
        "share_label": ends or "nobody answered",
        "evidence_label": f"at the end {', '.join(last)}",
        "rate_label": f"{document.requests_per_second:,.0f} a second on average",
        "latency_label": f"medians {', '.join(medians)}" if medians else "none",
        "change_label": change_sentence(change) if change else "by gateway",
    }


def versions() -> dict[str, str]:
    """Return the versions of us, of Python, and of what has a say in the figures."""
    found = {"trafficsplit": importlib.metadata.version("trafficsplit")}
    found["Python"] = platform.python_version()
    return found | {name: importlib.metadata.version(name) for name in LIBRARIES}


def rendered(template: str, **values: Any) -> str:
    """Return a page from one of our templates; whatever stands in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template(template).render(**values)
