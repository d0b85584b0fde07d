import html
from pathlib import Path

import pytest

from tests.support.runs import RUNS, having, made
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import Run
from trafficsplit.report.document import VerdictDocument, document_of
from trafficsplit.report.page import PAGE, page_of, series_of, versions, write_page


def document(run: Run) -> VerdictDocument:
    return document_of(run, judge(run))


@pytest.mark.parametrize("name", RUNS)
def test_the_page_says_verdict_and_reason_and_needs_no_network(name: str, tmp_path: Path) -> None:
    run: Run = RUNS[name]
    judgement = judge(run)
    write_page(run, document(run), tmp_path)
    page = (tmp_path / PAGE).read_text()
    assert f"</span> {judgement.verdict}</h1>" in page
    assert judgement.reason in html.unescape(page)
    for word in (' src="http', 'href="http', "href='", "@import", "url("):
        assert word not in page
    assert len(page) < 1_500_000


def test_what_strangers_send_is_escaped() -> None:
    attack = "<script>alert(1)</script>"
    run = having(
        made({"blue": 60, attack: 20}, errors=9), host=f"http://{attack}", losses={attack: 9}
    )
    page = page_of(run, document(run))
    assert attack not in page
    assert "&lt;script&gt;" in page


def test_no_script_runs_but_our_own() -> None:
    run: Run = RUNS["ordinary"]
    page = page_of(run, document(run))
    (policy,) = [line for line in page.splitlines() if "Content-Security-Policy" in line]
    assert policy.count("'sha256-") == 2
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


@pytest.mark.parametrize("name", RUNS)
def test_what_the_charts_show_is_of_one_length(name: str) -> None:
    run: Run = RUNS[name]
    found = series_of(run, document(run))
    assert found["variants"] == list(run.tally.counts)
    assert set(found["styles"]) == set(found["variants"])
    for variant in found["variants"]:
        assert len(found["shares"]["y"][variant]) == len(found["shares"]["x"])


def test_the_page_names_the_versions_that_have_a_say() -> None:
    run: Run = RUNS["ordinary"]
    page = page_of(run, document(run))
    for name, version in versions().items():
        assert name in page
        assert version in page


def test_the_page_says_what_is_proven() -> None:
    run = made({"blue": 60_000, "green": 20_000})
    assert "Proven within 0." in page_of(run, document(run))
