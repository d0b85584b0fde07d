import dataclasses

import pytest

from tests.support.runs import having, made
from trafficsplit.analysis.causes.explanation import Diagnosis
from trafficsplit.analysis.diagnosis import NOTHING_FITS, diagnose, facts_of, set_lately
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.judge import draws_of, judge
from trafficsplit.analysis.latency import bucket_of
from trafficsplit.analysis.run import LatencyKey, Run, SourceReading, Stretch
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Judgement, Verdict

FINE = Independence(Draws.INDEPENDENT, 1.0, 0.0, 1.0, 0.0, "fine")
STICKY = Independence(Draws.CLUSTERED, 1.0, 0.0, 9.0, 1.0, "connections differ", by_connection=True)
ROLLBACK = Split({"blue": 1, "green": 0})


def diagnosed(run: Run, draws: Independence = FINE) -> Diagnosis:
    found = diagnose(run, judge(run), draws)
    assert found is not None
    return found


def said(run: Run, draws: Independence = FINE) -> str:
    return diagnosed(run, draws).summary


@pytest.mark.parametrize(
    ("set_at", "said"),
    [
        ("2025-12-31T23:59:57Z", "had been set 3 s before"),
        ("2025-12-31T23:59:00Z", ""),  # long in force
        ("2026-01-01T00:00:01Z", ""),  # meanwhile: another question
        ("", ""),
    ],
)
def test_weights_that_were_set_shortly_before_may_not_be_in_force(set_at: str, said: str) -> None:
    run = made({"blue": 6000, "green": 3000})
    run = dataclasses.replace(run, source=SourceReading("shop/color", set_at=set_at))
    assert said in set_lately(run)
    found = diagnose(run, judge(run), draws_of(run))
    assert found is not None
    assert ("may still be in force" in found.summary) == bool(said)


def test_a_match_needs_no_explanation() -> None:
    run = made({"blue": 7500, "green": 2500})
    assert diagnose(run, judge(run), FINE) is None


def test_too_little_is_not_explained() -> None:
    run = made({"blue": 10})
    assert diagnose(run, judge(run), FINE) is None


def test_old_weights() -> None:
    previous = Split({"blue": 90, "green": 10})
    run = dataclasses.replace(made({"blue": 2700, "green": 300}), previous=previous)
    assert said(run).startswith("The shares are those of the old weights")
    assert diagnosed(run).cause.startswith("the old weights are still in force")


def test_a_rollout_that_never_took_effect() -> None:
    assert said(made({"blue": 460})).startswith("Every response came from blue")
    known = dataclasses.replace(made({"blue": 460}), previous=Split({"blue": 1, "green": 0}))
    assert said(known).startswith("The shares are those of the old weights")


def test_replica_count_and_swapped_weights() -> None:
    assert said(made({"blue": 1500, "green": 1500})).startswith("The variants share equally")
    assert said(made({"blue": 750, "green": 2250})).startswith("The shares are the weights the")


def test_a_true_forty_per_cent_is_not_called_equal() -> None:
    found = diagnosed(made({"blue": 180, "green": 120}))
    assert found.cause == ""
    assert not any(one.certain for one in found.explanations)
    assert "replica count" not in said(made({"blue": 1800, "green": 1200}))


def test_four_of_twenty_one_say_nothing_yet() -> None:
    found = diagnosed(made({"blue": 17, "green": 4}, split=ROLLBACK))
    assert found.cause == ""
    assert found.summary.startswith("The counts do not tell these apart: ")
    assert found.summary.endswith("; or something else.")


def test_a_simple_split_is_asked_about() -> None:
    found = diagnosed(made({"blue": 1500, "green": 500}, split=ROLLBACK))
    assert found.cause == ""
    assert found.summary == (
        "The shares fit 75/25 (blue 75 %, green 25 %): is that what was configured before, or "
        "elsewhere?"
    )


def test_one_of_several_replicas_is_stale() -> None:
    run = dataclasses.replace(
        made({"blue": 2500, "green": 500}), previous=Split({"blue": 1, "green": 0})
    )
    assert "1 of 3 gateway replicas" in said(run)
    assert diagnosed(run).cause == ""  # any share in between would fit one of them


def test_what_cannot_be_told_apart_is_said() -> None:
    # 1 of 2 replicas with 75/25 and old weights 25/75 is as equal as a split by replica count.
    run = dataclasses.replace(
        made({"blue": 1500, "green": 1500}), previous=Split({"blue": 25, "green": 75})
    )
    assert said(run) == (
        "The counts do not tell these apart: the split is by replica count; or some gateway "
        "replicas still have the old weights; or something else."
    )
    assert diagnosed(run).cause == ""


def test_what_nothing_explains_is_not_explained() -> None:
    assert said(made({"blue": 68_000, "green": 32_000})) == NOTHING_FITS


def test_a_variant_that_fails_is_named_by_its_share() -> None:
    found = diagnosed(made({"blue": 1130, "green": 0}, errors=370))
    assert found.cause == "green is down"
    assert "370 of 1,500 requests are lost, about green's share" in found.summary


def test_losses_that_are_nobodys_share_are_not_blamed() -> None:
    run = made({"blue": 2400, "green": 1600}, errors=300)
    assert diagnose(run, judge(run), FINE) is None


def test_a_variant_that_fails_is_named_below_the_limit_of_losses_too() -> None:
    run = made({"blue": 99_000, "green": 200}, errors=800, split=Split({"blue": 99, "green": 1}))
    found = diagnose(run, Judgement(Verdict.FAILING, "green fails"), FINE)
    assert found is not None
    assert found.cause == "green is failing"


def test_a_change_from_one_variant_to_the_other_is_not_certain() -> None:
    stretches = []
    for number in range(8):
        counts = {"blue": 100, "green": 0} if number < 4 else {"blue": 0, "green": 100}
        stretches.append(Stretch(number, number + 1, Tally(counts)))
    run = having(made({"blue": 1, "green": 1}), stretches=stretches)
    found = diagnose(run, Judgement(Verdict.MISMATCH, ""), FINE)
    assert found is not None
    assert found.summary.startswith("The shares changed 4.0 s after the start")
    assert found.cause == ""


def test_stickiness_and_caches() -> None:
    run = made({"blue": 5000, "green": 5000})
    assert "--unit session" in said(run, STICKY)
    assert "900 of 10,000 responses came out of a cache" in said(having(run, cached=900))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"blue": 60, "green": 20, "red": 40}, "red answered, which is not configured"),
        ({"blue": 1500, "red": 500}, "red gets green's weight, and green never answers"),
    ],
)
def test_unconfigured_variants_are_named(counts: dict[str, int], expected: str) -> None:
    assert said(made(counts)).startswith(expected)


def test_the_mean_latency_is_a_speed() -> None:
    run = made({"blue": 60, "green": 40})
    latency = {
        LatencyKey("blue", "2xx"): {bucket_of(1000): 20},
        LatencyKey("green", "2xx"): {bucket_of(3000): 20, bucket_of(5000): 20},
        LatencyKey("white", "2xx"): {bucket_of(5000): 3},
    }
    speeds = facts_of(having(run, latency=latency)).speeds
    assert list(speeds) == ["blue", "green"]
    assert speeds["green"] / speeds["blue"] == pytest.approx(4, rel=0.05)
