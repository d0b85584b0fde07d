"""Which shares each cause would give."""

import pytest

from trafficsplit.analysis.causes.candidates import Facts, candidates, other_variants, weigh_causes
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split

CANARY = Split({"blue": 75, "green": 25})
THREE = Split({"v1": 50, "v2": 30, "v3": 20})
NOTHING = {"blue": 0, "green": 0}


def facts(split: Split = CANARY, **known: object) -> Facts:
    return Facts(planned(Question(split, split.default_tolerance)), **known)  # type: ignore[arg-type]


def shares_of(known: Facts, counts: dict[str, int]) -> dict[str, list[tuple[float, ...]]]:
    """Return the shares that each cause would give, in the order of its variants, by name."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for candidate in candidates(known, counts):
        shares = tuple(round(candidate.shares[v], 4) for v in known.split)
        found.setdefault(candidate.name, []).append(shares)
    return found


def named(known: Facts, counts: dict[str, int]) -> str:
    found = weigh_causes(known, counts).found
    return found.candidate.name if found else ""


def test_the_causes_of_a_canary() -> None:
    assert shares_of(facts(), {"blue": 50, "green": 40}) == {
        "everything goes to blue": [(1, 0)],
        "the weights are swapped": [(0.25, 0.75)],
        "the split is by replica count": [(0.5, 0.5)],
        "the weights are taken of a wrong total": [(0.975, 0.025)],
        "the weights count per pod, and blue has 2 times as many": [(0.8571, 0.1429)],
        "the weights count per pod, and blue has 3 times as many": [(0.9, 0.1)],
        "the weights count per pod, and green has 2 times as many": [(0.6, 0.4)],
        "a split of 55/45": [(0.55, 0.45)],
    }


def test_the_causes_of_three_variants() -> None:
    found = shares_of(facts(THREE), {"v1": 9, "v2": 0, "v3": 0})
    assert found["the weights of v1 and v3 are swapped"] == [(0.2, 0.3, 0.5)]
    assert found["the weights are taken of a wrong total"] == [(0.95, 0.03, 0.02)]
    assert found["nothing goes to v2"] == [(0.7143, 0, 0.2857)]
    assert found["everything goes to v1"] == [(1, 0, 0)]


def test_old_weights_and_gateways_that_still_have_them() -> None:
    found = shares_of(facts(previous=Split({"blue": 1, "green": 0})), {"blue": 9, "green": 1})
    assert found["the old weights are still in force (blue 100 %, green 0 %)"] == [(1, 0)]
    assert (0.875, 0.125) in found["some gateway replicas still have the old weights"]
    assert "everything goes to blue" not in found  # the old weights say so already


def test_what_is_known_here_comes_before_what_is_usual() -> None:
    equal = Split({"blue": 1, "green": 1})
    assert "the split is by replica count" not in shares_of(facts(previous=equal), NOTHING)
    assert "the split is by replica count" not in shares_of(facts(others={"r": equal}), NOTHING)


def test_what_could_not_be_told_apart_from_a_likely_cause_is_not_asked() -> None:
    found = shares_of(facts(THREE), {"v1": 65, "v2": 35, "v3": 0})
    assert "a split of 65/35/0" not in found  # nothing to v3 is 62.5/37.5


def test_gateways_next_to_all_the_old_weights_are_no_cause_of_their_own() -> None:
    found = shares_of(facts(previous=Split({"blue": 80, "green": 20})), {"blue": 9, "green": 1})
    assert "some gateway replicas still have the old weights" not in found


def test_the_weights_of_another_route() -> None:
    others = {"rule 2 of VirtualService color": Split({"blue": 90, "green": 10})}
    known = facts(others=others)
    name = "the weights of another route are in force (rule 2 of VirtualService color)"
    assert shares_of(known, NOTHING)[name] == [(0.9, 0.1)]
    assert named(known, {"blue": 2700, "green": 300}) == name


def test_what_is_configured_is_no_cause() -> None:
    equal = facts(Split({"blue": 1, "green": 1}), previous=Split({"blue": 51, "green": 49}))
    found = shares_of(equal, {"blue": 51, "green": 49})
    assert not [name for name in found if "equal" in name or "replica" in name or "old" in name]


def test_a_weight_of_nothing_is_not_near_to_any_share() -> None:
    rollback = facts(Split({"blue": 1, "green": 0}))
    assert "a split of 95/5" in shares_of(rollback, {"blue": 95, "green": 5})


@pytest.mark.parametrize(
    ("green", "name"),
    [
        (0.5, "the split is by replica count"),
        (0.75, "the weights are swapped"),
        (0.0, "everything goes to blue"),
        (1.0, "everything goes to green"),
        (0.025, "the weights are taken of a wrong total"),
        (0.4, "a split of 60/40, or the weights count per pod, and green has 2 times as many"),
        (0.6, "a split of 40/60"),
        (0.32, ""),
    ],
)
def test_the_one_that_fits_is_found(green: float, name: str) -> None:
    counts = {"blue": 4000 - round(4000 * green), "green": round(4000 * green)}
    assert named(facts(), counts) == name


def test_everything_to_the_canary_is_no_rollout_without_effect() -> None:
    found = weigh_causes(facts(), {"blue": 0, "green": 500}).found
    assert found is not None
    assert "promoted already" in found.candidate.advice
    assert "never took effect" not in found.candidate.advice


def test_a_variant_under_another_name() -> None:
    assert named(facts(), {"blue": 1500, "green": 0, "red": 500}) == "green answers as red"
    assert other_variants(CANARY, {"blue": 3, "red": 1, "white": 0}) == ["red"]


def test_what_goes_with_speed_is_asked_about() -> None:
    known = facts(speeds={"blue": 2.0, "green": 5.0})
    found = shares_of(known, NOTHING)
    assert found["the faster variant gets more"] == [(0.7143, 0.2857), (0.8824, 0.1176)]
    assert "the faster variant gets more" not in shares_of(
        facts(speeds={"blue": 2.0, "green": 2.2}), NOTHING
    )


def test_questions_are_no_certain_causes() -> None:
    found = weigh_causes(facts(), {"blue": 1600, "green": 2400}).found
    assert found is not None
    assert found.candidate.asks
