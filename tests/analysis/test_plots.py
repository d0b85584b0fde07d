from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.analysis.test_judge import made
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.split import Split
from trafficsplit.report.plots import looks, share_over_requests, write_plots

RUNS = {
    "ordinary": made({"blue": 6000, "green": 2000}),
    "three": made({"v1": 50, "v2": 30, "v3": 20}, split=Split({"v1": 5, "v2": 3, "v3": 2})),
    "rollback": made({"blue": 4603}, split=Split({"blue": 1, "green": 0})),
    "lossy": made({"blue": 60, "white": 20}, errors=9),
    "unreachable": made({}, unreachable="nobody there"),
    "one request": made({"green": 1}),
}


@pytest.mark.parametrize("name", RUNS)
def test_every_run_can_be_drawn(name: str, tmp_path: Path) -> None:
    paths = write_plots(RUNS[name], tmp_path)
    assert {path.name for path in paths} == {
        "shares.png", "share-over-requests.png", "latency.png", "rate.png",
    }  # fmt: skip
    for path in paths:
        image = imread(path)
        assert image[..., :3].std() > 0.01  # something is on it


def test_variants_differ_by_more_than_colour() -> None:
    shown = looks(["blue", "green", "v3"])
    assert shown["blue"].colour == "blue"
    assert shown["v3"].colour.startswith("#")
    for mark in ("mark", "line", "hatch"):
        assert len({getattr(look, mark) for look in shown.values()}) == 3


def test_the_shares_are_named_on_the_plot() -> None:
    run: Run = RUNS["ordinary"]
    text = " ".join(t.get_text() for t in share_over_requests(run).axes[0].texts)
    assert "green 25.0 %" in text
