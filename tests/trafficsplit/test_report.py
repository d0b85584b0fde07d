import dataclasses
import html
import json
from pathlib import Path

import jsonschema
import pytest

from analysis import Run, judge
from analysis.plots import write_plots
from analysis.run import Sender
from tests.analysis.test_judge import made
from tests.analysis.test_plots import RUNS
from trafficsplit.report import as_json, remarks, verdict_object, write_page

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
    write_page(verdict_object(run, judgement), write_plots(run, tmp_path), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert f">{judgement.verdict}</span>" in page
    assert judgement.reason in html.unescape(page)
    for word in (' src="http', "href=", "@import", "<script"):
        assert word not in page


def test_what_strangers_send_is_escaped(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"
    run = dataclasses.replace(
        made({"blue": 60, attack: 20}, errors=9), host=f"http://{attack}", losses={attack: 9}
    )
    write_page(verdict_object(run, judge(run)), [], tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert attack not in page
    assert "&lt;script&gt;" in page


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
