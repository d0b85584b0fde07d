"""Series of numbers: all of one length, whatever a run has seen, and when."""

import pytest

from tests.support.runs import RUNS, having
from trafficsplit.analysis import series
from trafficsplit.analysis.judge import replay
from trafficsplit.analysis.run import Run, Stretch
from trafficsplit.analysis.tally import Tally


def late_stranger() -> Run:
    """Return a run with a variant that is not configured, and answers only at the end."""
    parts = [Tally({"blue": 30, "green": 10})] * 4 + [Tally({"red": 1}, errors=2)]
    stretches = [Stretch(float(i), i + 1.0, part) for i, part in enumerate(parts)]
    return having(RUNS["ordinary"], stretches=stretches)


@pytest.mark.parametrize("run", [*RUNS.values(), late_stranger()])
def test_series_fit_each_other(run: Run) -> None:
    found = series.shares(run)
    assert found["x"] == sorted(found["x"])
    for name in ("y", "low", "high"):
        assert set(found[name]) == set(run.tally.counts)
        for line in found[name].values():
            assert len(line) == len(found["x"])
    for variant in run.tally.counts if run.tally.identified else ():
        assert found["y"][variant][-1] == run.tally.share(variant)
    evidence = series.evidence(run)
    assert len(evidence["match"]) == len(evidence["mismatch"]) == len(evidence["x"])
    if evidence["x"]:
        assert evidence["x"][-1] == run.tally.identified == replay(run).tally.identified
    rates = series.rates(run)
    assert all(len(line) == len(rates["x"]) for line in rates["y"].values())


def test_long_lines_are_thinned_to_their_end() -> None:
    parts = [Stretch(i / 10, (i + 1) / 10, Tally({"blue": 3, "green": 1})) for i in range(2000)]
    run = having(RUNS["ordinary"], stretches=parts)
    found = series.shares(run)
    assert len(found["x"]) <= 1.5 * series.POINTS
    assert (found["x"][0], found["x"][-1]) == (4, 8000)
