"""A split that changes while it is verified, on the real lab."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.envoys import envoy_has_seen
from tests.support.processes import ended, started_command
from tests.support.questions import SURE
from tests.support.waiting import begun, until
from trafficsplit import lab
from trafficsplit.lab import MANIFESTS, System, read_system

pytestmark = pytest.mark.lab


def with_weights(tmp_path: Path, blue: int, green: int) -> System:
    text = MANIFESTS[2].read_text()
    manifest = tmp_path / f"weights-{green}.yaml"
    manifest.write_text(
        text.replace("weight: 75", f"weight: {blue}").replace("weight: 25", f"weight: {green}")
    )
    return read_system([*MANIFESTS[:2], manifest])


def verify(
    tmp_path: Path, host: str, *options: str
) -> AbstractContextManager[subprocess.Popen[str]]:
    """A verify of 25 % that goes on beside the test."""
    common = ("verify", "--host", host, "--weight", "25", "--json", "--report", "out")
    return started_command(tmp_path, *common, *options)


@pytest.mark.slow
def test_new_weights_in_the_middle_are_told_with_their_time(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        started.set_routes(with_weights(tmp_path, 100, 0))
        # A fixed sample goes on to its end, whatever it sees; at this rate that takes a while.
        question = ("--test", "fixed", "--requests", "10000", "--previous-weight", "0")
        with verify(tmp_path, started.host, *question, "--rate", "1000") as process:
            assert until(lambda: envoy_has_seen(started.admin, 1000))
            began = time.time()
            started.set_routes(with_weights(tmp_path, 75, 25))
            done = time.time()
            code, out, err = ended(process)
    assert code == 1, err
    change = json.loads(out)["change"]
    assert json.loads(out)["diagnosis"]["cause"] == "the change came into force during the run"
    assert change["before"]["green"] < 0.01
    assert change["after"]["green"] == pytest.approx(0.25, abs=0.04)
    earliest = datetime.datetime.fromisoformat(change["earliest_time"]).timestamp()
    latest = datetime.datetime.fromisoformat(change["latest_time"]).timestamp()
    assert earliest <= done
    assert latest >= began
    assert "change: blue 7" in err
    # The stretch in which it changed may have a few of the new ones.
    assert re.search(r"UTC\), blue (100\.0|99\.\d) %, green 0\.\d % before\.", err), err


@pytest.mark.slow
def test_settle_leaves_out_what_is_sent_before_the_change(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        started.set_routes(with_weights(tmp_path, 100, 0))
        # Longer than a machine that is busy takes to set routes.
        with verify(tmp_path, started.host, "--settle", "10", *SURE) as process:
            assert until(begun(tmp_path / "out"))
            assert until(lambda: envoy_has_seen(started.admin, 200))
            started.set_routes(with_weights(tmp_path, 75, 25))
            code, out, err = ended(process)
    assert code == 0, err
    verdict = json.loads(out)
    assert verdict["settle_seconds"] == 10
    assert verdict["change"] is None


def test_old_weights_in_force_are_named(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        started.set_routes(with_weights(tmp_path, 90, 10))
        question = ("--previous-weight", "10", "--alpha", "1e-6")
        with verify(tmp_path, started.host, *question) as process:
            code, out, err = ended(process)
    assert code == 1, err
    likeliest = json.loads(out)["diagnosis"]["explanations"][0]["name"]
    assert likeliest == "the old weights are still in force (blue 90 %, green 10 %)"


def test_a_variant_that_is_down_is_named_by_what_is_lost(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        (green,) = (r for r in started.replicas if r.deployment == "dep-color-green")
        os.kill(green.pid, 9)
        question = ("--test", "fixed", "--requests", "3000", "--max-failing", "90")
        with verify(tmp_path, started.host, *question) as process:
            _, out, err = ended(process)
        verdict = json.loads(out)
        assert verdict["errors"] > 500  # nothing is redistributed: its quarter answers 503
        (reason,) = verdict["losses"]
        assert reason == "HTTP 503: upstream connect error (remote connection failure)"
        with verify(tmp_path, started.host) as process:
            code, _, err = ended(process)
        assert code == 4, err
