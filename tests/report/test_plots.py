from pathlib import Path

import pytest
from matplotlib.image import imread

from trafficsplit.analysis.run import Run
from trafficsplit.report.plots import looks, share_over_requests, write_plots


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
