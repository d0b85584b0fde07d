import dataclasses

import pytest

from tests.support.runs import having, made
from trafficsplit.analysis.diagnosis import Diagnosis, diagnose
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split

FINE = Independence(Draws.INDEPENDENT, 1.0, 0.0, 1.0, 0.0, "fine")
STICKY = Independence(Draws.CLUSTERED, 1.0, 0.0, 9.0, 1.0, "connections differ")


def diagnosed(run: Run, draws: Independence = FINE) -> Diagnosis | None:
    return diagnose(run, judge(run), draws)


def said(run: Run, draws: Independence = FINE) -> str:
    found = diagnosed(run, draws)
    assert found is not None
    return found.summary


def test_a_match_needs_no_explanation() -> None:
    assert diagnosed(made({"blue": 7500, "green": 2500})) is None


def test_too_little_is_not_explained() -> None:
    assert diagnosed(made({"blue": 10})) is None


def test_old_weights() -> None:
    run = dataclasses.replace(
        made({"blue": 9000, "green": 1000}), previous=Split({"blue": 90, "green": 10})
    )
    assert said(run).startswith("The shares are those of the old weights")


def test_a_rollout_that_never_took_effect() -> None:
    assert said(made({"blue": 40})).startswith("Every response came from blue")
    known = dataclasses.replace(made({"blue": 400}), previous=Split({"blue": 1, "green": 0}))
    assert said(known).startswith("The shares are those of the old weights")


def test_replica_count_and_swapped_weights() -> None:
    assert "replica count" in str(diagnosed(made({"blue": 5000, "green": 5000})))
    assert said(made({"blue": 5000, "green": 5000})).startswith("The variants share equally")
    assert said(made({"blue": 2500, "green": 7500})).startswith("The shares are the weights the")


def test_one_of_several_replicas_is_stale() -> None:
    run = dataclasses.replace(
        made({"blue": 8333, "green": 1667}), previous=Split({"blue": 1, "green": 0})
    )
    assert "1 of 3 gateway replicas" in said(run)


def test_what_cannot_be_told_apart_is_said() -> None:
    # 1 of 2 replicas with 75/25 and old weights 25/75 is as equal as a split by replica count.
    run = dataclasses.replace(
        made({"blue": 500, "green": 500}), previous=Split({"blue": 25, "green": 75})
    )
    assert said(run).startswith("The counts do not tell these apart: ")
    found = diagnosed(run)
    assert found is not None
    assert {"the split is by replica count"} < {e.name for e in found.explanations}


def test_what_nothing_explains_is_not_explained() -> None:
    assert said(made({"blue": 6000, "green": 4000})) == (
        "None of the known explanations fits the shares that were seen."
    )


def test_a_variant_that_fails_is_named_by_its_share() -> None:
    run = made({"blue": 7510, "green": 0}, errors=2490)
    assert "What is lost is about green's share (24.9 %" in said(run)


def test_losses_that_are_nobodys_share_are_not_blamed() -> None:
    assert diagnosed(made({"blue": 4500, "green": 1500}, errors=4000)) is None


def test_answers_that_name_nobody_are_not_blamed_on_a_variant() -> None:
    assert diagnosed(made({}, unidentified=16)) is None
    assert diagnosed(made({"blue": 560, "green": 190}, unidentified=250)) is None


def test_stickiness_and_caches() -> None:
    assert "--unit session" in said(made({"blue": 5000, "green": 5000}), STICKY)
    cached = having(made({"blue": 5000, "green": 5000}), cached=900)
    assert "900 responses came out of a cache" in said(cached)


@pytest.mark.parametrize("counts", [{"blue": 60, "red": 40}, {"red": 100}])
def test_unconfigured_variants_do_not_confuse_it(counts: dict[str, int]) -> None:
    assert said(made(counts))
