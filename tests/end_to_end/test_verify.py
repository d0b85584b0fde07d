"""The real thing: real Envoy, real Color processes, real Locust, driven as a user drives them."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import ROOT, Cli
from tests.support.envoys import admin_of_run, envoy_has_seen, envoys_counts
from tests.support.processes import ended, locusts_of, processes_of, started_command
from tests.support.questions import SURE_25
from tests.support.waiting import until
from trafficsplit.lab import Lab

pytestmark = pytest.mark.lab
FILES = {
    "verdict.json",
    "junit.xml",
    "summary.md",
    "run.json",
    "tally.csv",
    "latency.csv",
    "report.html",
    "lab",
}
PLOTS = {"shares.png", "share-over-requests.png", "latency.png", "rate.png"}


def test_a_gateway_as_configured_matches_and_leaves_a_report(cli: Cli, tmp_path: Path) -> None:
    result = cli("verify", "--weight", "25", "--report", "out")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("match: The split is as configured")
    assert result.stderr == ""  # quiet without a terminal
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= FILES
    assert not written & PLOTS  # they are drawn on demand
    assert not [name for name in written if name.startswith(".")]
    assert (tmp_path / "out" / "lab" / "envoy.log").exists()
    schema = json.loads((ROOT / "src/trafficsplit/report" / "verdict.schema.json").read_text())
    jsonschema.validate(verdict_of(tmp_path), schema)
    assert until(lambda: not processes_of(tmp_path))


def test_plots_are_drawn_where_they_are_asked_for(cli: Cli, the_lab: Lab, tmp_path: Path) -> None:
    report = ("--report", "out", "--plots")
    result = cli("verify", "--host", the_lab.host, *SURE_25, *report)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} >= PLOTS


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--weight", "40"), 1, "less than its 40 %"),
        (("--weight", "0"), 1, "mismatch: green has weight 0, but answered"),
        (("--weights", "blue=50,red=50"), 1, "mismatch: green is not configured"),
        (("--weight", "25", "--requests", "50"), 3, "inconclusive: 50 requests were not enough"),
        (("--weight", "25", "--path", "/nothing"), 4, "answers 404: does its route match"),
        (("--weight", "25", "--variant-from", "header:x-none"), 4, "no header x-none"),
        ((*SURE_25, "--variant-from", "cookie:color"), 0, "match: "),
        # Wrong once in 10,000 runs.
        (
            ("--weight", "25", "--test", "fixed", "--requests", "20000", "--alpha", "0.0001"),
            0,
            "chi-square p = ",
        ),
        (("--weight", "40", "--test", "fixed"), 1, "chi-square p = "),
        ((*SURE_25, "--processes", "2"), 0, "match: "),
    ],
)
def test_every_verdict_has_its_code_and_its_sentence(
    cli: Cli, the_lab: Lab, options: tuple[str, ...], code: int, said: str
) -> None:
    result = cli("verify", "--host", the_lab.host, *options)
    assert result.returncode == code, result.stdout + result.stderr
    first, *further, last = result.stdout.splitlines()
    assert said in first
    assert all(line.startswith(("diagnosis: ", "change: ", "note: ")) for line in further)
    assert last.startswith("report: ")


def test_json_alone_is_on_standard_output(cli: Cli, the_lab: Lab) -> None:
    before = envoys_counts(the_lab)
    result = cli("verify", "--host", the_lab.host, "--json", TRAFFICSPLIT_WEIGHTS="blue=3,green=1")
    verdict = json.loads(result.stdout)
    assert result.returncode == 0
    assert verdict["host"] == the_lab.host
    assert result.stderr.startswith("match: ")
    # The counts are Envoy's own, but for the one request that asked whether it is ready.
    after = envoys_counts(the_lab)
    seen = {v: after[v] - before[v] for v in after}
    assert sum(seen.values()) == verdict["requests"] + 1
    for variant, count in verdict["observed"].items():
        assert 0 <= seen[variant] - count <= 1


def test_the_command_line_beats_the_environment(cli: Cli, the_lab: Lab) -> None:
    result = cli(
        "verify", "--host", the_lab.host, "--weight", "100", TRAFFICSPLIT_WEIGHTS="blue=3,green=1"
    )
    assert result.returncode == 1
    assert "blue has weight 0" in result.stdout


def test_a_closed_port_is_failing_with_one_line(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    result = cli("verify", "--weight", "25", "--host", f"http://127.0.0.1:{port}")
    assert result.returncode == 4
    assert "cannot be reached (Connection refused)" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--weight", "abc"), "--weight is not a number: 'abc'"),
        (("--weight", "130"), "--weight is 130: give per cent"),
        (("--weights", "blue=1,green=-1"), "green is negative"),
        (("--weights", "blue=0,green=0"), "all weights are zero"),
        ((), "no split to expect"),
        (("--weight", "25", "--weights", "a=1"), "give one of them"),
        (("--weight", "25", "--host", "gateway"), "no address"),
        (("--weight", "25", "--path", "color"), "begin with /"),
        (("--weight", "25", "--variant-from", "x"), "cannot be read from 'x'"),
        (("--weight", "25", "--timeout", "-1"), "--timeout is -1"),
        (("--weight", "25", "--users", "0"), "--users"),
        (("--weight", "25", "--test", "t"), "no --test 't'"),
        (("--weight", "25", "--report", "/dev/null/x"), "cannot be written"),
        (("--wieght", "25"), "--weight"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_is_sent(
    cli: Cli, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = cli("verify", *options)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []  # nothing was begun


# A run that goes on until it is told to end, on any machine.
LONG = ("--test", "fixed", "--requests", "4000000", "--weight", "25", "--report", "out")


def under_load(tmp_path: Path) -> bool:
    """Wait until the lab that a run has for itself has seen requests; return whether it has."""
    out = tmp_path / "out"
    return until(lambda: admin_of_run(out)) and until(
        lambda: envoy_has_seen(admin_of_run(out), 2000)
    )


def verdict_of(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "out" / "verdict.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT)],
)
def test_an_interrupted_run_reports_what_there_was(
    tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    with started_command(tmp_path, "verify", *LONG) as process:
        assert under_load(tmp_path)
        for number in signals:
            process.send_signal(number)
        code, out, err = ended(process)
    assert code == 3, out + err
    assert "inconclusive: Only" in out
    assert "the run was interrupted" in out
    assert verdict_of(tmp_path)["requests"] > 100
    assert until(lambda: not processes_of(tmp_path))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_interrupted_before_it_has_begun_says_so(tmp_path: Path, how: signal.Signals) -> None:
    # A Locust that is just starting has no handler yet: it takes a while, and on a busy machine
    # a long one. Whether it has been told by then what to send makes no difference to a user.
    with started_command(tmp_path, "verify", *LONG) as process:
        assert until(lambda: bool(locusts_of(process)))
        process.send_signal(how)
        code, out, err = ended(process)
    if code == 3:  # the test was slower than the run
        assert "the run was interrupted" in out
        return
    assert code == 130, out + err
    assert err.strip() in (
        "trafficsplit: interrupted",
        "trafficsplit: interrupted before anything was counted",
    )
    assert not list((tmp_path).glob("out/*"))
    assert until(lambda: not processes_of(tmp_path))


@pytest.mark.slow
def test_a_gateway_that_dies_is_failing_with_the_counts_so_far(tmp_path: Path) -> None:
    # At this rate the run cannot end by itself meanwhile, and few requests have to be lost.
    options = ("--requests", "40000", "--rate", "500", "--max-failing", "0.1%")
    with started_command(tmp_path, "verify", *LONG, *options) as process:
        assert under_load(tmp_path)
        (envoy,) = (p for p in processes_of(tmp_path) if Path(p.exe()).name.startswith("envoy"))
        envoy.kill()
        code, out, err = ended(process)
    assert code == 4, out + err
    assert "got no 2xx answer" in out
    verdict = verdict_of(tmp_path)
    assert verdict["observed"]["green"] > 50
    assert verdict["errors"] > 0
    assert until(lambda: not processes_of(tmp_path))


def test_the_lab_of_the_background_is_used(cli: Cli, tmp_path: Path) -> None:
    settings = {"TRAFFICSPLIT_LAB_DIR": str(tmp_path / "lab")}
    assert cli("lab", "status", **settings).returncode == 1
    try:
        up = cli("lab", "up", **settings)
        assert up.returncode == 0
        status = json.loads(cli("lab", "status", "--json", **settings).stdout)
        assert status["host"] in up.stdout
        result = cli("verify", *SURE_25, "--json", **settings)
        assert json.loads(result.stdout)["host"] == status["host"]
    finally:
        assert "down" in cli("lab", "down", **settings).stdout
    assert cli("lab", "status", **settings).returncode == 1
