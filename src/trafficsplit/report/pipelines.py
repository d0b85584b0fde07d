"""The verdict as pipelines read it: JUnit, a summary in Markdown, an annotation for GitHub.

Each is a function from the verdict document to text. Host names, reasons and errors come from
outside: they are escaped, so that they can neither break a format nor be commands in it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from trafficsplit.analysis.comparison import Limit
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.files import write_whole
from trafficsplit.frame import say
from trafficsplit.report.document import VerdictDocument, proven_sentence
from trafficsplit.report.users import UsersSection, users_in_words
from trafficsplit.text import one_line, percent

JUNIT = "junit.xml"
SUMMARY = "summary.md"
LEVELS = {
    Verdict.MATCH: "notice",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.MISMATCH: "error",
    Verdict.FAILING: "error",
}
MARKS = {
    Verdict.MATCH: "✅",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.MISMATCH: "❌",
    Verdict.FAILING: "🔥",
}
RESULTS: dict[Verdict, type[Failure | Error]] = {
    Verdict.MISMATCH: Failure,
    Verdict.FAILING: Error,
    Verdict.INCONCLUSIVE: Error,
}


def junit(document: VerdictDocument) -> str:
    """Return a test case for the verdict, one for each variant, and one for each threshold.

    A failure is a mismatch, or a threshold that is exceeded. An error says that there is no answer;
    the variants are skipped then.
    """
    suite = TestSuite(f"trafficsplit {one_line(document.host)}{one_line(document.path)}")
    suite.timestamp = document.started_at.removesuffix("Z")
    for case in (_verdict_case(document), *_variant_cases(document), *_threshold_cases(document)):
        suite.add_testcase(case)
    suite.time = document.elapsed_seconds
    file = JUnitXml("trafficsplit")
    file.add_testsuite(suite)
    out = io.BytesIO()
    file.write(out, pretty=True)
    return out.getvalue().decode("utf-8")


def _case(name: str, group: str, result: Failure | Error | Skipped | None = None) -> TestCase:
    case = TestCase(_xml(name), classname=f"trafficsplit.{group}", time=0.0)
    if result is not None:
        case.result = [result]
    return case


def _xml(text: str) -> str:
    """Return a text without what XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "�", text)


def _verdict_case(document: VerdictDocument) -> TestCase:
    kind = RESULTS.get(document.verdict)
    result = None
    if kind is not None:
        result = kind(_xml(one_line(document.reason, 1000)), str(document.verdict))
    case = _case("verdict", "verdict", result)
    case.time = document.elapsed_seconds
    return case


def _variant_cases(document: VerdictDocument) -> Iterator[TestCase]:
    blamed = [variant for variant in document.shares if _is_off(document, variant)]
    if not blamed:  # by its own count none is off, so all are to blame
        blamed = list(document.shares)
    for variant in document.shares:
        weight = 100 * document.expected[variant]
        name = f"{variant}: weight {weight:g} %"
        yield _case(name, "share", _variant_result(document, variant, to_blame=variant in blamed))


def _variant_result(
    document: VerdictDocument, variant: str, *, to_blame: bool
) -> Failure | Skipped | None:
    share = document.shares[variant]
    if document.verdict in (Verdict.INCONCLUSIVE, Verdict.FAILING) or share is None:
        return Skipped(f"the verdict is {document.verdict}")
    if document.verdict is not Verdict.MISMATCH or not to_blame:
        return None
    if document.of_users and document.of_users.leaving:
        return None
    low, high = document.confidence[variant]
    text = (
        f"{variant} gets {100 * share:.2f} % ({100 * low:.2f} to {100 * high:.2f} %), and its "
        f"weight is {100 * document.expected[variant]:g} ± "
        f"{100 * document.tolerances[variant]:g} %"
    )
    return Failure(_xml(text), "mismatch")


def _is_off(document: VerdictDocument, variant: str) -> bool:
    share = document.shares[variant] or 0.0
    return abs(share - document.expected[variant]) > document.tolerances[variant]


def _threshold_cases(document: VerdictDocument) -> Iterator[TestCase]:
    yield _losses_case(document)
    yield _independence_case(document)
    if document.of_users:
        yield _staying_case(document.of_users)
    for one in document.comparison:
        pair = f"of {one.canary} against {one.baseline}"
        yield _ratio_case(f"p99 {pair}", one.p99_ratio, one.p99_limit)
        yield _ratio_case(f"errors {pair}", one.error_ratio, one.errors_limit)


def _staying_case(users: UsersSection) -> TestCase:
    result = None
    if users.leaving:
        text = f"{users.changed:,} of {users.number:,} users got another version"
        result = Failure(text, "mismatch")
    return _case("users stay with their version", "threshold", result)


def _losses_case(document: VerdictDocument) -> TestCase:
    result = None
    if document.lost > document.max_failing * document.requests or not document.requests:
        text = f"{document.lost:,} of {document.requests:,} requests were lost"
        result = Failure(text, "failing")
    name = f"at most {100 * document.max_failing:g} % of requests lost"
    return _case(name, "threshold", result)


def _independence_case(document: VerdictDocument) -> TestCase:
    result = None
    if document.independence.draws == "clustered":
        result = Error(_xml(one_line(document.independence.reason)), "inconclusive")
    return _case("independent draws", "threshold", result)


def _ratio_case(name: str, ratio: float | None, limit: Limit) -> TestCase:
    result: Failure | Error | None = None
    if limit is Limit.EXCEEDED:
        times = "beyond any ratio" if ratio is None else f"{ratio:.2f} times"
        result = Failure(f"{times}, which is more than is allowed", "failing")
    elif limit is Limit.OPEN:
        result = Error("it is not shown that this is within what is allowed", "inconclusive")
    return _case(name, "threshold", result)


def summary(document: VerdictDocument) -> str:
    """Return a page of Markdown, as GitHub and GitLab show it."""
    lines = [
        f"## {MARKS[document.verdict]} {document.verdict}: "
        f"{_markdown(document.host + document.path)}",
        "",
        _markdown(document.reason, 1000),
        "",
        "| variant | weight | share | interval | responses |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [_table_row(document, variant) for variant in document.observed]
    lines += [
        "",
        f"{document.requests:,} requests in {document.elapsed_seconds:.1f} s, "
        f"{document.errors:,} errors, {document.unidentified:,} unidentified. "
        f"{_error_rates(document)}",
    ]
    if document.of_users:
        lines += ["", users_in_words(document.of_users)]
    proven = proven_sentence(document)
    if proven:
        lines += ["", _markdown(proven)]
    if document.diagnosis:
        lines += ["", f"**Diagnosis**: {_markdown(document.diagnosis.summary, 1000)}"]
    if document.losses:
        lines += ["", "| lost because of | requests |", "|---|---:|"]
        lines += [f"| {_markdown(r)} | {count:,} |" for r, count in document.losses.items()]
    if document.command:
        lines += ["", f"`{one_line(document.command).replace('`', ' ')}`"]
    return "\n".join(lines) + "\n"


def _error_rates(document: VerdictDocument) -> str:
    if document.mismatch_alpha == document.alpha:
        return f"Each verdict is wrong with a probability of at most {document.alpha:g}."
    return (
        f"A match is wrong with a probability of at most {document.alpha:.2g}, a mismatch of at "
        f"most {document.mismatch_alpha:.2g}: parts of the release's alpha."
    )


def _table_row(document: VerdictDocument, variant: str) -> str:
    low, high = document.confidence[variant]
    return (
        f"| {_markdown(variant)} | {percent(document.expected[variant])} "
        f"| {percent(document.shares[variant])} | {percent(low)} to {percent(high)} "
        f"| {document.observed[variant]:,} |"
    )


def _markdown(text: str, most: int = 300) -> str:
    """Return a text in which nothing is markup, a link, or the end of a cell."""
    special = re.compile(r"[^\w\s.,;%/=+()?!'–-]|_")
    return special.sub(lambda match: f"&#{ord(match[0])};", one_line(text, most))


def annotation(document: VerdictDocument) -> str:
    """Return the verdict as one of GitHub's workflow commands."""
    title = f"trafficsplit: {document.verdict}"
    return f"::{LEVELS[document.verdict]} title={_property(title)}::{_data(document.reason)}"


def _data(text: str) -> str:
    return one_line(text, 1000).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def write(document: VerdictDocument, directory: Path) -> None:
    """Write junit.xml and summary.md. Raises OSError."""
    write_whole(directory / JUNIT, junit(document))
    write_whole(directory / SUMMARY, summary(document))


def tell_github(document: VerdictDocument) -> None:
    """Give a workflow of GitHub's the summary of its step, and an annotation.

    Says so on standard error if the summary cannot be written.
    """
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        try:
            with Path(file).open("a", encoding="utf-8") as stream:
                stream.write(summary(document))
        except OSError as error:
            reason = error.strerror or error
            say(f"trafficsplit: {file} cannot be written ({reason})", to_error=True)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        say(annotation(document), to_error=True)
