"""A split that changes while it is verified, on the real lab."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.waiting import until
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


def verify(tmp_path: Path, host: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("trafficsplit")), "verify", "--host", host,
         "--weight", "25", "--json", "--report", "out", *options],
        cwd=tmp_path, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def envoy_has_seen(started: lab.Lab, requests: int) -> bool:
    """Whether this many requests have come in since the start: the moment to change something."""
    import urllib.request

    with urllib.request.urlopen(f"{started.admin}/stats?filter=gateway.downstream_rq_total") as got:
        return int(got.read().decode().split(": ")[1]) >= requests


def test_new_weights_in_the_middle_are_told_with_their_time(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        started.set_routes(with_weights(tmp_path, 100, 0))
        # A fixed sample goes on to its end, whatever it sees.
        process = verify(
            tmp_path, started.host, "--test", "fixed", "--requests", "9000",
            "--previous-weight", "0",
        )  # fmt: skip
        assert until(lambda: envoy_has_seen(started, 3000), 60)
        began = time.time()
        started.set_routes(with_weights(tmp_path, 75, 25))
        done = time.time()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        change = json.loads(out)["change"]
        assert change["before"]["green"] < 0.01
        assert change["after"]["green"] == pytest.approx(0.25, abs=0.03)
        import datetime

        earliest, latest = (
            datetime.datetime.fromisoformat(change[f"{name}_time"]).timestamp()
            for name in ("earliest", "latest")
        )
        assert earliest <= done
        assert latest >= began
        assert "change: blue 7" in err
        assert "UTC), blue 100.0 %, green 0.0 % before." in err


def test_settle_leaves_out_what_is_sent_before_the_change(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        started.set_routes(with_weights(tmp_path, 100, 0))
        process = verify(tmp_path, started.host, "--settle", "6")
        assert until(lambda: envoy_has_seen(started, 200), 60)
        started.set_routes(with_weights(tmp_path, 75, 25))
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        verdict = json.loads(out)
        assert verdict["settle_seconds"] == 6
        assert verdict["change"] is None


def test_old_weights_in_force_are_named(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        started.set_routes(with_weights(tmp_path, 90, 10))
        process = verify(tmp_path, started.host, "--previous-weight", "10", "--alpha", "1e-6")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        names = [e["name"] for e in json.loads(out)["diagnosis"]["explanations"]]
        assert any(name.startswith("the old weights are still in force") for name in names)


def test_a_variant_that_is_down_is_named_by_what_is_lost(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        (green,) = [r for r in started.replicas if r.deployment == "dep-color-green"]
        os.kill(green.pid, 9)
        process = verify(
            tmp_path, started.host, "--test", "fixed", "--requests", "3000", "--max-failing", "90"
        )
        out, err = process.communicate(timeout=60)
        verdict = json.loads(out)
        assert verdict["errors"] > 500  # nothing is redistributed: its quarter answers 503
        assert verdict["losses"] == {"HTTP 503": verdict["errors"]}
        process = verify(tmp_path, started.host)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 4, err
