import dataclasses
import html
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import JUnitXml

from tests.support.runs import RUNS, made
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import Run, Sender
from trafficsplit.report import pipelines
from trafficsplit.report.document import as_json, remarks, verdict_object
from trafficsplit.report.page import write_page
from trafficsplit.report.plots import write_plots

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "trafficsplit" / "verdict.schema.json").read_text()
)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("test", ["sequential", "fixed"])
@pytest.mark.parametrize("name", RUNS)
def test_every_verdict_fits_the_schema(name: str, test: str) -> None:
    run: Run = RUNS[name]
    run = dataclasses.replace(
        run, question=dataclasses.replace(run.question, test=test, requests=1000)
    )
    verdict = json.loads(as_json(verdict_object(run, judge(run), {"load": 1.0})))
    jsonschema.validate(verdict, SCHEMA)
    assert sum(verdict["observed"].values()) == verdict["requests"] - verdict["errors"]


def test_the_schema_would_notice() -> None:
    run = made({"blue": 3, "green": 1})
    verdict = json.loads(as_json(verdict_object(run, judge(run))))
    for name in SCHEMA["required"]:
        broken = {key: value for key, value in verdict.items() if key != name}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, SCHEMA)


@pytest.mark.parametrize("name", RUNS)
def test_the_page_says_verdict_and_reason_and_needs_no_network(name: str, tmp_path: Path) -> None:
    run: Run = RUNS[name]
    judgement = judge(run)
    write_page(run, verdict_object(run, judgement), write_plots(run, tmp_path), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert f"</span> {judgement.verdict}</h1>" in page
    assert judgement.reason in html.unescape(page)
    for word in (' src="http', 'href="http', "href='", "@import", "url("):
        assert word not in page
    assert len(page) < 1_500_000


def test_what_strangers_send_is_escaped(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"
    run = dataclasses.replace(
        made({"blue": 60, attack: 20}, errors=9), host=f"http://{attack}", losses={attack: 9}
    )
    write_page(run, verdict_object(run, judge(run)), [], tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert attack not in page
    assert "&lt;script&gt;" in page


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["]]>", "a|b\n::error::c", "`x`", "<img src=x onerror=alert(1)>", "[x](javascript:1)",
     "\x1b[31m", "::set-output name=a::b", "\u2028", "%0A::error::", "@everyone", "| x |\n|---|"]
)  # fmt: skip


@settings(max_examples=40)
@given(HOSTILE, HOSTILE)
def test_no_stranger_gives_orders_to_a_pipeline(first: str, second: str) -> None:
    run = dataclasses.replace(
        made({"blue": 60, "green": 20, f"v{first}": 1}, errors=9),
        host=f"http://{first}", losses={second: 9}, command=f"x {second}",
    )  # fmt: skip
    judgement = judge(run)
    verdict = verdict_object(run, dataclasses.replace(judgement, reason=judgement.reason + second))
    (suite,) = JUnitXml.fromstring(pipelines.junit(verdict).encode())
    assert next(iter(suite)).name == "verdict"
    assert suite.failures + suite.errors > 0
    lines = pipelines.summary(verdict).splitlines()
    plain = pipelines.summary(verdict_object(made({"blue": 60, "green": 20, "v": 1}, errors=9),
                                             judgement))  # fmt: skip
    extra = 2 + 3 + (not judgement.reason)  # the command, and what was lost
    assert len(lines) <= len(plain.splitlines()) + extra
    for line in lines:
        if not line.startswith("`"):  # a command, which is shown as it is
            assert "<" not in line
            assert "](" not in line
        else:
            assert line.count("`") == 2
    told = pipelines.annotation(verdict)
    assert len(told.splitlines()) == 1
    assert told.startswith("::error title=")


@pytest.mark.parametrize("name", RUNS)
def test_junit_fails_where_the_verdict_does(name: str) -> None:
    verdict = verdict_object(RUNS[name], judge(RUNS[name]))
    (suite,) = JUnitXml.fromstring(pipelines.junit(verdict).encode())
    bad = suite.failures + suite.errors
    assert (bad == 0) == (verdict["verdict"] == "match"), verdict["reason"]
    names = [case.name for case in suite]
    for variant, weight in verdict["expected"].items():
        assert f"{variant}: weight {100 * weight:g} %" in names
    assert len(set(names)) == len(names)


def test_github_is_told_in_its_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made({"blue": 600, "green": 400})
    verdict = verdict_object(run, judge(run))
    pipelines.tell_github(verdict)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    pipelines.tell_github(verdict)
    assert capsys.readouterr().err.startswith("::error title=trafficsplit%3A mismatch::green gets")
    assert (tmp_path / "summary.md").read_text() == "before\n" + pipelines.summary(verdict)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    pipelines.tell_github(verdict)
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        (Sender(), ""),
        (Sender(processes=3, lost=1), "a worker was lost, with what had not yet been told"),
        (Sender(rate=900, achieved=500), "500 requests a second were sent and not 900"),
        (Sender(rate=900, achieved=899, late=7), "7 requests had to wait for a free connection"),
        (Sender(rate=900, achieved=899), ""),
        (Sender(cpu=0.97), "the client itself was busy (97 % of a core"),
        (Sender(lag=0.5), "its event loop up to 500.0 ms late"),
    ],
)
def test_what_the_client_could_not_do_is_told(sender: Sender, said: str) -> None:
    run = dataclasses.replace(made({"blue": 60, "green": 20}), sender=sender, elapsed=5.0)
    found = remarks(run)
    assert len(found) == bool(said)
    assert said in "".join(found)
    # In an instant neither CPU nor lag means anything.
    short = dataclasses.replace(run, elapsed=0.1)
    assert len(remarks(short)) == (bool(said) and "busy" not in "".join(found))
