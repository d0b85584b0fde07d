import dataclasses

import pytest

from tests.support.runs import having, made
from trafficsplit.analysis.causes.candidates import Facts
from trafficsplit.analysis.causes.explanation import Explanation
from trafficsplit.analysis.causes.signs import causes_by_signs, tally_after
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.run import Gateway, Run, Stretch
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.stationarity import change_in
from trafficsplit.analysis.tally import Tally

FINE = Independence(Draws.INDEPENDENT, 1.0, 0.0, 1.0, 0.0, "fine")
CLUSTERED = dataclasses.replace(FINE, draws=Draws.CLUSTERED, reason="in a row")


def causes(run: Run, draws: Independence = FINE) -> list[Explanation]:
    facts = Facts(run.question, run.previous, run.others)
    return list(causes_by_signs(run, draws, facts))


def of_gateways(*green: int, previous: Split | None = None) -> Run:
    """Return a run at gateways of 1,000 requests each, with so many of green."""
    gateways = []
    for number, count in enumerate(green):
        tally = Tally({"blue": 1000 - count, "green": count})
        gateways.append(Gateway(f"g{number}", [Stretch(0, 1, tally)]))
    run = made({"blue": 1000 * len(green) - sum(green), "green": sum(green)})
    question = dataclasses.replace(run.question, gateways=len(green))
    run = dataclasses.replace(run, question=question, previous=previous)
    return having(run, gateways=gateways)


def changing(*green: int) -> Run:
    """Return a run of stretches of 100 requests, with so many of green."""
    stretches = []
    for number, count in enumerate(green):
        stretches.append(Stretch(number, number + 1, Tally({"blue": 100 - count, "green": count})))
    return having(made({"blue": 1, "green": 1}), stretches=stretches)


def test_nothing_shows_where_there_is_nothing() -> None:
    assert causes(made({"blue": 500, "green": 500})) == []


def test_a_cache_is_the_plainest_of_all() -> None:
    run = having(made({"blue": 500, "green": 500}), cached=900)
    assert [one.name for one in causes(run, CLUSTERED)] == [
        "a cache in between",
        "draws in clusters",
    ]
    few = having(made({"blue": 500, "green": 500}), cached=20)
    assert causes(few) == []


def test_weights_that_were_changed_meanwhile() -> None:
    (one,) = causes(changing(25, 24, 26, 25, 60, 61, 59, 60))
    assert one.name == "the shares changed during the run"
    assert one.advice.startswith("The shares changed 4.0 s after the start, to others than")


def test_a_change_that_was_not_in_force_yet() -> None:
    (one,) = causes(changing(0, 0, 0, 0, 25, 24, 26, 25))
    assert one.name == "the change came into force during the run"
    assert "--settle 5s" in one.advice


def test_a_change_to_shares_outside_of_the_tolerance_is_not_to_the_weights() -> None:
    found = causes(changing(*[0] * 20, *[31] * 3))
    assert found[0].name == "the shares changed during the run"
    assert "configured" not in found[0].advice


def test_the_counts_since_a_change() -> None:
    run = changing(0, 0, 0, 0, 25, 24, 26, 25)
    change = change_in(run)
    assert change is not None
    assert dict(tally_after(run, change).counts) == {"blue": 300, "green": 100}


def test_one_gateway_with_the_old_weights() -> None:
    (one,) = causes(of_gateways(250, 0, 240, previous=Split({"blue": 1, "green": 0})))
    assert one.name == "g1 still has the old weights"


def test_one_gateway_with_others_says_which() -> None:
    (one,) = causes(of_gateways(250, 0, 240))
    assert one.name == "g1 has other weights"
    assert "everything goes to blue" in one.advice
    (unknown,) = causes(of_gateways(250, 330, 240))
    assert "compare the gateways' configuration" in unknown.advice


def test_all_gateways_off_alike_are_not_to_blame() -> None:
    assert causes(of_gateways(500, 510)) == []


def test_all_gateways_off_and_unlike_differ() -> None:
    (one,) = causes(of_gateways(500, 900))
    assert one.name == "the gateways differ"


@pytest.mark.parametrize(("by_connection", "advised"), [(True, True), (False, False)])
def test_new_connections_are_advised_only_where_connections_are_kept(
    by_connection: bool, advised: bool
) -> None:
    draws = CLUSTERED
    if by_connection:
        draws = dataclasses.replace(CLUSTERED, by_connection=True, within_connections=1.0)
    (one,) = causes(made({"blue": 500, "green": 500}), draws)
    assert ("--unit session" in one.advice) is advised
    session = having(made({"blue": 500, "green": 500}), unit="session")
    (one,) = causes(session, draws)
    assert "--unit session" not in one.advice


def test_connections_with_unlike_shares_are_several_gateways() -> None:
    draws = dataclasses.replace(CLUSTERED, by_connection=True, within_connections=0.1)
    run = dataclasses.replace(made({"blue": 500, "green": 300}), previous=Split({"blue": 1}))
    (one,) = causes(run, draws)
    assert one.name == "the gateways differ"
    assert "Do some of them still have the old weights" in one.advice


def test_connections_that_agree_as_all_in_order_do_are_not_sticky() -> None:
    draws = dataclasses.replace(
        CLUSTERED, by_connection=True, within_connections=0.8, correlation=0.8
    )
    (one,) = causes(made({"blue": 500, "green": 300}), draws)
    assert one.name == "draws in clusters"
    (alone,) = causes(having(made({"blue": 500, "green": 300}), users=1), draws)
    assert alone.name == "sticky sessions"


def test_changes_that_kept_connections_make_are_none() -> None:
    sticky = dataclasses.replace(CLUSTERED, by_connection=True, within_connections=1.0)
    run = changing(25, 24, 26, 25, 60, 61, 59, 60)
    assert [one.name for one in causes(run, sticky)] == ["sticky sessions"]
    all_at_once = changing(0, 0, 0, 0, 100, 100, 100, 100)
    (first, _) = causes(all_at_once, sticky)
    assert first.name == "the shares changed during the run"
    assert not first.certain  # it may be a cache, too


def test_others_that_are_not_known_to_fit_are_not_said_to() -> None:
    run = of_gateways(0, 190)
    assert [one.name for one in causes(run)] == ["the gateways differ"]


def test_clusters_of_users_are_no_cause() -> None:
    sticky = dataclasses.replace(CLUSTERED, by_connection=True, within_connections=1.0)
    run = made({"blue": 500, "green": 500})
    question = dataclasses.replace(run.question, user_requests=3)
    assert causes(dataclasses.replace(run, question=question), sticky) == []
