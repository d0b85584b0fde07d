"""The verdict as pipelines read it: JUnit, a summary in Markdown, annotations of GitHub's.

Each is a function from the verdict object to text. Host names, reasons and errors come from
strangers: here they can neither break a format nor give orders in it.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from analysis.text import one_line, percent

LEVELS = {"match": "notice", "inconclusive": "warning", "mismatch": "error", "failing": "error"}
MARKS = {"match": "✅", "inconclusive": "❔", "mismatch": "❌", "failing": "🔥"}


def junit(verdict: Mapping[str, Any]) -> str:
    """A test case for the verdict, one for each variant, and one for each threshold.

    A failure is a mismatch or a threshold that is exceeded; an error, that nothing can be said.
    Variants of which then nothing is known are skipped.
    """
    suite = TestSuite(f"trafficsplit {one_line(verdict['host'])}{one_line(verdict['path'])}")
    suite.timestamp = verdict["started_at"].removesuffix("Z")
    for case in [_whole(verdict), *_variants(verdict), *_thresholds(verdict)]:
        suite.add_testcase(case)
    suite.time = verdict["elapsed_seconds"]
    file = JUnitXml("trafficsplit")
    file.add_testsuite(suite)
    out = io.BytesIO()
    file.write(out, pretty=True)
    return out.getvalue().decode("utf-8")


def _case(name: str, group: str, *results: Failure | Error | Skipped) -> TestCase:
    case = TestCase(_xml(name), classname=f"trafficsplit.{group}", time=0.0)
    if results:
        case.result = list(results)
    return case


def _xml(text: str) -> str:
    """Without what XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)


def _result(kind: type[Failure | Error], verdict: Mapping[str, Any]) -> Failure | Error:
    return kind(_xml(one_line(verdict["reason"], 1000)), verdict["verdict"])


def _whole(verdict: Mapping[str, Any]) -> TestCase:
    kinds: dict[str, type[Failure | Error]] = {
        "mismatch": Failure, "failing": Error, "inconclusive": Error,
    }  # fmt: skip
    kind = kinds.get(verdict["verdict"])
    case = _case("verdict", "verdict", *([_result(kind, verdict)] if kind else []))
    case.time = verdict["elapsed_seconds"]
    return case


def _variants(verdict: Mapping[str, Any]) -> Iterator[TestCase]:
    found, shares = verdict["verdict"], verdict["shares"]
    off = {v: _off(verdict, v) for v in verdict["observed"]}
    for variant, share in shares.items():
        weight = 100 * verdict["expected"][variant]
        name = f"{variant}: weight {weight:g} %"
        if found in ("inconclusive", "failing") or share is None:
            yield _case(name, "share", Skipped(f"the verdict is {found}"))
        elif found == "mismatch" and (off[variant] or not any(off.values())):
            low, high = verdict["confidence"][variant]
            text = (
                f"{variant} gets {100 * share:.2f} % ({100 * low:.2f} to {100 * high:.2f} %), and "
                f"its weight is {weight:g} ± {100 * verdict['tolerances'][variant]:g} %"
            )
            yield _case(name, "share", Failure(_xml(text), "mismatch"))
        else:
            yield _case(name, "share")


def _off(verdict: Mapping[str, Any], variant: str) -> bool:
    share, weight = verdict["shares"][variant] or 0.0, verdict["expected"][variant]
    return bool(abs(share - weight) > verdict["tolerances"][variant])


def _thresholds(verdict: Mapping[str, Any]) -> Iterator[TestCase]:
    requests = verdict["requests"]
    lost = verdict["errors"] + verdict["unidentified"]
    limit = verdict["max_failing"]
    name = f"at most {100 * limit:g} % of requests lost"
    text = f"{lost:,} of {requests:,} requests were lost"
    too_many = lost > limit * requests or not requests
    yield _case(name, "threshold", *([Failure(text, "failing")] if too_many else []))
    draws = verdict["independence"]
    clustered = draws["draws"] == "clustered"
    text = _xml(one_line(draws["reason"]))
    name = "independent draws"
    yield _case(name, "threshold", *([Error(text, "inconclusive")] if clustered else []))
    for one in verdict["comparison"]:
        for what, ratio, bad in (
            ("p99", one["p99_ratio"], one["too_slow"]),
            ("errors", one["error_ratio"], one["too_faulty"]),
        ):
            name = f"{what} of {one['canary']} against {one['baseline']}"
            times = "beyond any ratio" if ratio is None else f"{ratio:.2f} times"
            text = _xml(f"{times}, which is more than is allowed")
            yield _case(name, "threshold", *([Failure(text, "failing")] if bad else []))


def summary(verdict: Mapping[str, Any]) -> str:
    """A page of Markdown, as GitHub and GitLab show it."""
    lines = [
        f"## {MARKS[verdict['verdict']]} {verdict['verdict']}: "
        f"{_markdown(verdict['host'] + verdict['path'])}",
        "",
        _markdown(verdict["reason"], 1000),
        "",
        "| variant | weight | share | interval | responses |",
        "|---|---:|---:|---:|---:|",
    ]
    for variant, count in verdict["observed"].items():
        low, high = verdict["confidence"][variant]
        lines.append(
            f"| {_markdown(variant)} | {percent(verdict['expected'][variant])} "
            f"| {percent(verdict['shares'][variant])} | {percent(low)} to {percent(high)} "
            f"| {count:,} |"
        )
    lines += [
        "",
        f"{verdict['requests']:,} requests in {verdict['elapsed_seconds']:.1f} s, "
        f"{verdict['errors']:,} errors, {verdict['unidentified']:,} unidentified. Each verdict is "
        f"wrong with a probability of at most {verdict['alpha']:g}.",
    ]
    if verdict["diagnosis"]:
        lines += ["", f"**Diagnosis**: {_markdown(verdict['diagnosis']['summary'], 1000)}"]
    if verdict["losses"]:
        lines += ["", "| lost because of | requests |", "|---|---:|"]
        lines += [f"| {_markdown(r)} | {count:,} |" for r, count in verdict["losses"].items()]
    if verdict["command"]:
        lines += ["", f"`{one_line(verdict['command']).replace('`', ' ')}`"]
    return "\n".join(lines) + "\n"


def _markdown(text: str, most: int = 300) -> str:
    """A text as text: nothing in it is markup, a link, or the end of a cell."""
    return re.sub(
        r"[^\w\s.,;%/=+()?!'–-]", lambda c: f"&#{ord(c[0])};", one_line(text, most)
    ).replace("_", "&#95;")  # fmt: skip


def annotation(verdict: Mapping[str, Any]) -> str:
    """One of GitHub's workflow commands."""
    title = f"trafficsplit: {verdict['verdict']}"
    return f"::{LEVELS[verdict['verdict']]} title={_property(title)}::{_data(verdict['reason'])}"


def _data(text: str) -> str:
    return one_line(text, 1000).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def write(verdict: Mapping[str, Any], directory: Path) -> None:
    """Write junit.xml and summary.md. Raises OSError."""
    (directory / "junit.xml").write_text(junit(verdict), "utf-8")
    (directory / "summary.md").write_text(summary(verdict), "utf-8")


def tell_github(verdict: Mapping[str, Any]) -> None:
    """In a workflow of GitHub's: the summary of its step, and an annotation."""
    if target := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(target).open("a", encoding="utf-8") as file:
                file.write(summary(verdict))
        except OSError as error:
            reason = error.strerror or error
            print(f"trafficsplit: {target} cannot be written ({reason})", file=sys.stderr)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(annotation(verdict), file=sys.stderr, flush=True)
