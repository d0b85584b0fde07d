import json
import re
from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.conftest import Cli


def test_the_table_says_what_a_person_asks(cli: Cli) -> None:
    result = cli("plan", "--weight", "25", "--tolerance", "2", "--rate", "1000")
    assert result.returncode == 0, result.stderr
    lines = {line.split("→")[0].strip(): line for line in result.stdout.splitlines()}
    assert re.search(r" 5,6\d\d +10,1\d\d +6,5\d\d +5\.7 s", lines["as configured"])
    # 26 requests show it, but one variant alone could be a cache's for a while.
    assert re.search(r" 1,841 .* 18\.4 s \*$", lines["the rollout never took effect"])
    assert "* One variant alone may be a cache's" in result.stdout
    assert "1 of 3 gateway replicas is stale" in lines
    assert "would need 11,591" in result.stdout


def test_json_has_the_same_figures_and_nothing_else(cli: Cli) -> None:
    figures = json.loads(cli("plan", "--weights", "blue=95,green=5", "--json").stdout)
    assert figures["expected"] == {"blue": 0.95, "green": 0.05}
    assert figures["match"]["median"] < figures["match"]["p90"] < figures["budget"]
    assert figures["fixed_sample"] == 3361
    assert figures["match"]["median"] < figures["match"]["mean"] < figures["match"]["p90"]
    for deviation in figures["deviations"][:2]:  # the others are tolerated
        assert deviation["median"] <= deviation["p90"]
        assert deviation["mean"] <= 1.2 * deviation["median"] + 1


@pytest.mark.slow
def test_old_weights_that_are_given_are_looked_for(cli: Cli) -> None:
    asked = ("plan", "--weight", "25", "--json")
    figures = json.loads(cli(*asked, "--previous-weight", "10").stdout)
    [stale, *_] = figures["deviations"]
    assert stale["shares"] == {"blue": 0.9, "green": 0.1}
    [half] = [one for one in figures["deviations"] if one["name"] == "it took effect by half"]
    unknown = json.loads(cli("plan", "--weight", "25", "--json").stdout)
    assert half["median"] > unknown["deviations"][1]["median"]  # from 10 %, not from 0


def test_a_rollback_is_planned_too(cli: Cli) -> None:
    figures = json.loads(cli("plan", "--weight", "0", "--json").stdout)
    assert figures["match"] == {"median": 4603, "p90": 4603, "mean": 4603}
    assert figures["deviations"][0]["shares"] == {"blue": 0.5, "green": 0.5}
    assert figures["deviations"][0]["median"] == 1


def test_what_is_tolerated_is_never_found(cli: Cli) -> None:
    result = cli("plan", "--weight", "25", "--previous-weight", "24")
    assert "never: tolerated" in result.stdout


@pytest.mark.slow
def test_it_is_drawn(cli: Cli, tmp_path: Path) -> None:
    assert cli("plan", "--weight", "25", "--plot", "plan.png").returncode == 0
    assert imread(tmp_path / "plan.png")[..., :3].std() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--weight", "25", "--rate", "0"), "--rate is 0"),
        (("--weight", "25", "--rate", "fast"), "--rate is not a number"),
        (("--weight", "25", "--plot", "/none/x.png"), "cannot be written"),
        (("--weights", "a=1,b=2", "--previous-weight", "5"), "--previous-weight speaks of"),
        (("--weight", "25", "--tolerance", "0.0001%"), "larger --tolerance"),
        (("--weight", "25", "--tolerance", "0.0001"), "say 0.0001% or 0.01"),
        ((), "no split to expect"),
    ],
)
def test_wrong_usage_is_one_line(cli: Cli, options: tuple[str, ...], said: str) -> None:
    result = cli("plan", *options)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert said in result.stderr
