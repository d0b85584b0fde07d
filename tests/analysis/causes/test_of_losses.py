import pytest

from tests.support.runs import having, made
from trafficsplit.analysis.causes.explanation import Explanation
from trafficsplit.analysis.causes.of_losses import causes_of_losses
from trafficsplit.analysis.latency import bucket_of
from trafficsplit.analysis.run import LatencyKey, Run

DOWN = {"blue": 1500, "green": 0}
FAILING = {"blue": 1500, "green": 250}
FINE = {"blue": 1500, "green": 500}
ODD = {"blue": 1000, "green": 800}


def causes(counts: dict[str, int], reason: str, lost: int) -> list[Explanation]:
    run = having(made(counts, errors=lost), losses={reason: lost}, latency={})
    return list(causes_of_losses(run))


def cause(counts: dict[str, int], reason: str, lost: int) -> str:
    return "; ".join(one.name for one in causes(counts, reason, lost))


@pytest.mark.parametrize(
    ("counts", "reason", "lost", "name"),
    [
        (DOWN, "HTTP 503", 500, "green is down"),
        (
            DOWN,
            "HTTP 503: upstream connect error (remote connection failure)",
            500,
            "green is down",
        ),
        (DOWN, "HTTP 503: no healthy upstream", 500, "no pods are ready (green)"),
        (FAILING, "HTTP 503", 250, "green is failing"),
        (FAILING, "HTTP 504", 250, "green is too slow"),
        (FAILING, "HTTP 503: x-envoy-overloaded", 250, "the connection pools are full (green)"),
        (FINE, "HTTP 503: fault filter abort", 500, "a fault is injected"),
        (FINE, "HTTP 429", 500, "a rate limit"),
        (FINE, "HTTP 403", 500, "access is denied"),
        (FINE, "HTTP 500", 500, "all variants fail"),
        (FINE, "no answer within 10 seconds", 500, "all variants are too slow"),
        (ODD, "HTTP 504", 500, "variants are too slow"),
        (ODD, "HTTP 503", 500, ""),
    ],
)
def test_a_cause_has_its_kind_and_its_variant(
    counts: dict[str, int], reason: str, lost: int, name: str
) -> None:
    assert cause(counts, reason, lost) == name


def test_the_advice_says_how_many_and_what_to_look_at() -> None:
    (down,) = causes(DOWN, "HTTP 503", 500)
    assert down.advice.startswith(
        "500 of 2,000 requests are lost, about green's share (weight 25 %)"
    )
    (failing,) = causes(FAILING, "HTTP 500", 250)
    assert "it fails 50 % of its requests" in failing.advice
    (slow,) = causes(FAILING, "HTTP 504", 250)
    assert "see what green is waiting for" in slow.advice


def test_errors_that_name_their_variant_count_for_it() -> None:
    def lost_by(variant: str) -> Run:
        latency = {LatencyKey(variant, "5xx"): {bucket_of(900): 40}}
        run = made({"blue": 1500, "green": 460}, errors=40)
        return having(run, losses={"HTTP 500": 40}, latency=latency)

    (named,) = causes_of_losses(lost_by("green"))
    assert named.name == "green is failing"
    (other,) = causes_of_losses(lost_by("blue"))
    assert other.name == "blue is failing"
