from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.support.runs import RUNS
from trafficsplit.analysis.run import Run
from trafficsplit.report.plots import share_over_requests, write_plots


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_run_can_be_drawn(name: str, tmp_path: Path) -> None:
    paths = write_plots(RUNS[name], tmp_path)
    assert {path.name for path in paths} == {
        "shares.png",
        "share-over-requests.png",
        "latency.png",
        "rate.png",
    }
    for path in paths:
        image = imread(path)
        assert image[..., :3].std() > 0.01  # something is on it


def test_the_shares_are_named_on_the_plot() -> None:
    run: Run = RUNS["ordinary"]
    text = " ".join(t.get_text() for t in share_over_requests(run).axes[0].texts)
    assert "green 25.0 %" in text
