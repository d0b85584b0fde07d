"""The verdict document: the type, the published schema, and every run of ours held against both."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import trafficsplit
from tests.support.runs import CANARY, RUNS, having, made
from trafficsplit.analysis.independence import Draws
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.latency import bucket_of
from trafficsplit.analysis.order import Agreement, Clusters, Order
from trafficsplit.analysis.run import Gateway, LatencyKey, Run, Sender, Stretch
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.report.document import (
    VerdictDocument,
    change_sentence,
    document_of,
    further_lines,
    proven_sentence,
)

SCHEMA = json.loads(
    Path(trafficsplit.__file__).with_name("report").joinpath("verdict.schema.json").read_text()
)


def changed() -> Run:
    """Return a run in whose middle the split changed."""
    stretches = []
    for number in range(40):
        green = 5 if number < 20 else 25
        tally = Tally({"blue": 100 - green, "green": green})
        stretches.append(Stretch(number / 10, (number + 1) / 10, tally))
    return having(made({"blue": 1}), stretches=stretches, elapsed=4.0)


def several() -> Run:
    """Return a run against two gateways, of which one is stale."""
    tallies = [Tally({"blue": 750, "green": 250}), Tally({"blue": 1000})]
    gateways = []
    for number, tally in enumerate(tallies):
        gateways.append(Gateway(f"http://{number}", [Stretch(0.0, 1.0, tally)]))
    run = made({"blue": 1750, "green": 250})
    question = dataclasses.replace(run.question, gateways=2)
    return having(run, question=question, gateways=gateways)


def compared() -> Run:
    """Return a run with latencies of both variants, of which one fails more often."""
    latency = {
        LatencyKey("blue", "2xx"): {bucket_of(900): 740, bucket_of(30_000): 10},
        LatencyKey("green", "2xx"): {bucket_of(9000): 240},
        LatencyKey("green", "5xx"): {bucket_of(100): 10},
        LatencyKey("", "none"): {bucket_of(100): 1},
    }
    limits = {"max_p99_ratio": 1.5, "max_error_ratio": 1.5}
    return having(made({"blue": 750, "green": 240}, errors=11), latency=latency, **limits)


EVERY = {
    **RUNS,
    "changed": changed(),
    "several gateways": several(),
    "compared": compared(),
    "surprised": made({"blue": 9, "red": 1}),
    "nothing": made({}),
    "one variant": made({"green": 4603}, split=Split({"green": 1})),
    "interrupted": made({"blue": 3}, interrupted="Ctrl-C"),
    "previous": having(made({"blue": 9000, "green": 1000}), previous=CANARY),
}


def document(run: Run) -> VerdictDocument:
    return document_of(run, judge(run), {"load": 1.0})


def plain(run: Run) -> Any:
    return json.loads(document(run).as_json())


# --- the type and the schema ---


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_has_the_fields_of_the_type_and_no_others() -> None:
    names = {field.name for field in dataclasses.fields(VerdictDocument)}
    assert set(SCHEMA["properties"]) == names
    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["required"]) <= names


def parts(kind: Any, schema: Any, path: str) -> list[tuple[str, type, Any]]:
    """Return every dataclass within a type, with the part of the schema that speaks of it."""
    found: list[tuple[str, type, Any]] = []
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        found.append((path, kind, schema))
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            part = schema.get("properties", {}).get(field.name, {})
            found += parts(hints[field.name], part, f"{path}.{field.name}")
    elif isinstance(kind, types.UnionType):
        for one in typing.get_args(kind):
            found += parts(one, schema, path)
    elif typing.get_origin(kind) in (list, tuple):
        found += parts(typing.get_args(kind)[0], schema.get("items", {}), f"{path}[]")
    return found


PARTS = parts(VerdictDocument, SCHEMA, "verdict")


def test_the_parts_of_the_document_are_found() -> None:
    assert {path for path, _, _ in PARTS} >= {
        "verdict",
        "verdict.evidence",
        "verdict.change",
        "verdict.diagnosis.explanations[]",
        "verdict.comparison[]",
        "verdict.gateways.each[]",
        "verdict.gateways.homogeneity",
    }


@pytest.mark.parametrize(("path", "kind", "schema"), PARTS, ids=[path for path, _, _ in PARTS])
def test_each_part_of_the_schema_has_the_fields_of_its_type(
    path: str, kind: type, schema: Any
) -> None:
    assert dataclasses.is_dataclass(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    assert set(schema["required"]) <= names
    described = schema.get("properties", schema["required"])
    assert set(described) == names, path


@pytest.mark.slow
@pytest.mark.parametrize("test", ["sequential", "fixed"])
@pytest.mark.parametrize("name", EVERY)
def test_every_verdict_fits_the_schema(name: str, test: str) -> None:
    run: Run = EVERY[name]
    question = dataclasses.replace(run.question, test=test, requests=1000)
    verdict = plain(dataclasses.replace(run, question=question))
    jsonschema.validate(verdict, SCHEMA)
    assert sum(verdict["observed"].values()) == (
        verdict["requests"] - verdict["errors"] - verdict["unidentified"]
    )


@pytest.mark.slow
def test_the_schema_would_notice() -> None:
    verdict = plain(made({"blue": 3, "green": 1}))
    jsonschema.validate(verdict, SCHEMA)
    for name in SCHEMA["required"]:
        broken = {key: value for key, value in verdict.items() if key != name}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**verdict, "verdit": "match"}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**verdict, "verdict": "broken"}, SCHEMA)


# --- what stands in it ---


def test_the_figures_are_those_of_the_run() -> None:
    run = having(made({"blue": 6000, "green": 2000}, errors=4), run_id="abc", command="x y")
    found = document(run)
    assert found.expected == {"blue": 0.75, "green": 0.25}
    assert found.observed == {"blue": 6000, "green": 2000}
    assert found.shares == {"blue": 0.75, "green": 0.25}
    assert (found.requests, found.errors, found.unidentified, found.lost) == (8004, 4, 0, 4)
    low, high = found.confidence["green"]
    assert low < 0.25 < high
    assert (found.host, found.path, found.users) == ("http://gateway", "/color", 4)
    assert (found.run_id, found.command) == ("abc", "x y")
    assert found.requests_per_second == 4002
    assert found.phases == {"load": 1.0}
    assert found.version == trafficsplit.__version__
    assert found.losses == {"HTTP 503": 4}


def test_json_knows_no_infinity() -> None:
    found = plain(made({"blue": 9, "red": 1}))
    assert found["chi_square"]["statistic"] is None
    assert found["evidence"]["mismatch"] is None


def test_quantiles_are_of_good_answers_alone_with_intervals() -> None:
    found = document(compared())
    assert set(found.latency_ms) == {"blue", "green"}
    p50 = found.latency_ms["green"]["p50"]
    assert p50 is not None
    assert p50 == pytest.approx(9, rel=0.01)
    ends = found.latency_interval_ms["green"]["p50"]
    assert ends is not None
    assert ends[0] <= p50 <= ends[1]


def test_of_one_gateway_there_is_no_list_of_gateways() -> None:
    assert document(RUNS["ordinary"]).gateways is None
    found = document(EVERY["several gateways"]).gateways
    assert found is not None
    assert [one.off for one in found.each] == [False, True]
    assert found.each[1].shares == {"blue": 1.0, "green": 0.0}


def test_a_change_is_told_by_the_clock() -> None:
    found = document(EVERY["changed"])
    assert found.change is not None
    said = change_sentence(found.change)
    assert said.startswith("blue 75.0 %, green 25.0 % from 00:00:02.0")
    assert said.endswith(" UTC), blue 95.0 %, green 5.0 % before.")
    assert f"change: {said}" in further_lines(found)


def test_a_diagnosis_is_a_line_of_its_own() -> None:
    found = document(EVERY["previous"])
    assert found.diagnosis is not None
    assert f"diagnosis: {found.diagnosis.summary}" in further_lines(found)


def test_a_change_that_took_its_time_says_how_long() -> None:
    found = document(EVERY["changed"]).change
    assert found is not None
    mixed = dataclasses.replace(found, began_time="2026-01-01T00:00:01.500+00:00")
    mixed = dataclasses.replace(mixed, mixed_seconds=0.5)
    assert change_sentence(mixed).endswith(" before until 00:00:01.500, mixed for 0.50 s.")


def test_remarks_on_the_sender_are_notes() -> None:
    run = having(made({"blue": 60, "green": 20}), sender=Sender(processes=2, lost=1))
    (note,) = [line for line in further_lines(document(run)) if line.startswith("note: ")]
    assert "a worker was lost" in note


def test_a_run_without_remarks_needs_no_further_lines() -> None:
    assert further_lines(document(RUNS["ordinary"])) == []


# --- what is proven ---


def said_to_be_proven(run: Run, **changes: Any) -> str:
    document = document_of(run, judge(run))
    return proven_sentence(dataclasses.replace(document, **changes))


def test_the_tolerance_that_is_proven_is_rounded_up() -> None:
    run = made({"blue": 60_000, "green": 20_000}, decided=Verdict.MATCH)
    assert said_to_be_proven(run, proven_within=0.00431).startswith("Proven within 0.44 points: ")
    assert said_to_be_proven(run, proven_within=0.0012).startswith("Proven within 0.12 points: ")
    own = document_of(run, judge(run)).proven_within
    assert own is not None
    assert 0.003 < own < 0.006


def test_what_says_no_more_than_the_verdict_is_not_said() -> None:
    match = made({"blue": 6000, "green": 2000}, decided=Verdict.MATCH)
    assert said_to_be_proven(match, proven_within=0.0199) == ""
    undecided = made({"blue": 3000, "green": 1000})
    assert "Proven within 2.2 points" in said_to_be_proven(undecided, proven_within=0.0219)
    assert said_to_be_proven(undecided, proven_within=0.5) == ""
    assert said_to_be_proven(made({})) == ""


def test_several_gateways_are_proven_each_by_itself() -> None:
    run = several()
    document = document_of(run, judge(run))
    assert document.proven_within == pytest.approx(0.25, abs=0.001)
    assert "at each gateway" in said_to_be_proven(run, proven_within=0.1)


def test_clustered_draws_prove_nothing() -> None:
    run = made({"blue": 6000, "green": 2000})
    by_connection = Clusters(100, {"blue": 6000.0, "green": 2000.0}, {"blue": 6000, "green": 2000})
    order = Order(within_connections=Agreement(7900, 7900), connections=by_connection)
    document = document_of(having(run, order=order), judge(run))
    assert document.independence.draws is Draws.CLUSTERED
    assert document.proven_within is None
