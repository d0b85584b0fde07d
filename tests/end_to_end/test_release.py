"""The life of a canary on the lab: weights set, walked through, taken back, continued."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Cli, refused
from tests.support.envoys import envoys_counts
from tests.support.processes import processes_of
from tests.support.waiting import begun, until, when
from trafficsplit import lab
from trafficsplit.weights.fields import documents_of
from trafficsplit.weights.manifests import Choice, split_of

pytestmark = pytest.mark.lab
MANIFEST = ROOT / "istio" / "color-istio-gw-canary-pct.yaml"
# Wide questions, so that a step takes a second.
QUICK = ("--tolerance", "4", "--users", "8")


@pytest.fixture
def our_lab(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lab.State]:
    """A lab in the background, of this test alone."""
    monkeypatch.setenv("TRAFFICSPLIT_LAB_DIR", str(tmp_path / "no-lab"))
    assert cli("lab", "up").returncode == 0
    state = lab.status()
    assert state
    yield state
    cli("lab", "down")


def state_of(tmp_path: Path) -> dict[str, Any]:
    try:
        found = json.loads((tmp_path / "reports" / "rollout" / "rollout.json").read_text())
    except (OSError, ValueError):
        return {}
    assert isinstance(found, dict)
    return found


def started(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("trafficsplit")), *arguments],
        cwd=tmp_path,
        env=dict(os.environ),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def in_force(state: lab.State) -> dict[str, float]:
    """Return the weights of /color, in per cent, as Envoy itself has them."""
    with urllib.request.urlopen(f"{state.admin}/config_dump", timeout=60) as response:
        configs = json.load(response)["configs"]
    (routes,) = [one for one in configs if "dynamic_route_configs" in one]
    (config,) = routes["dynamic_route_configs"]
    (host,) = config["route_config"]["virtual_hosts"]
    clusters = host["routes"][0]["route"]["weighted_clusters"]["clusters"]
    return {one["name"].split("|")[2].removesuffix("-sub"): one["weight"] for one in clusters}


def lab_says(cli: Cli) -> dict[str, float]:
    """Return the weights that `lab status --json` shows."""
    state = json.loads(cli("lab", "status", "--json").stdout)
    assert isinstance(state["weights"], dict)
    return state["weights"]


def kill_locust(tmp_path: Path) -> None:
    """Kill what sends for a command in our directory, without a word of good-bye."""
    for process in processes_of(tmp_path):
        if "trafficsplit.locust.child" in process.cmdline():
            process.kill()


@pytest.mark.slow
def test_weights_are_set_and_in_force_when_it_returns(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    result = cli("lab", "set-weights", "green=40")
    assert (result.returncode, result.stdout) == (0, "In force: blue 60 %, green 40 %\n")
    assert cli("verify", "--weight", "40", *QUICK).returncode == 0
    assert "blue 60 %, green 40 %" in cli("lab", "status").stdout
    assert cli("lab", "set-weights", "green=0.5").returncode == 0
    assert cli("verify", "--weight", "0.5%").returncode == 0
    for wrong, said in (
        ("red=5", "there is no variant red, but blue, green"),
        ("green=101", "give per cent, from 0 to 100"),
        ("green=40,blue=40", "the weights sum to 80, and not to 100"),
        ("green", "'green' is not of the form"),
    ):
        assert said in refused(cli, "lab", "set-weights", wrong)


def test_changing_weights_under_load_loses_no_request(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    before = sum(envoys_counts(our_lab).values())
    done = threading.Event()

    def flip() -> None:
        number = 0
        while not done.is_set():
            number += 1
            lab.set_weights({"green": float(10 + number * 37 % 80)})
            time.sleep(0.1)

    flipping = threading.Thread(target=flip)
    flipping.start()
    fixed = ("--test", "fixed", "--requests", "20000")
    try:
        cli("verify", "--weight", "25", *fixed, "--report", "out")
    finally:
        done.set()
        flipping.join()
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert (verdict["requests"], verdict["errors"]) == (20_000, 0)
    assert sum(envoys_counts(our_lab).values()) == before + 20_000 + 1


@pytest.mark.slow
def test_a_rollout_to_all_in_steps(cli: Cli, our_lab: lab.State, tmp_path: Path) -> None:
    result = cli("rollout", "--steps", "5,50,100", "--pause", "0.1s", *QUICK[2:])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "done: blue 75 %, green 25 % → blue 0 %, green 100 %, every step" in result.stdout
    state = state_of(tmp_path)
    assert [entry["verdict"] for entry in state["log"]] == ["match"] * 3
    for entry in state["log"]:  # each is seen coming into force, by requests of which none is lost
        effect = entry["effect"]
        assert (effect["requests"], effect["errors"]) == (3000, 0)
        assert effect["earliest"] <= effect["seconds"] <= effect["latest"]
        assert effect["earliest"] < 2  # by Envoy's word it was in force before the next step
    assert state["phase"] == "finished"
    page = (tmp_path / "reports" / "rollout" / "rollout.html").read_text()
    assert page.count(">match</strong>") == 3
    assert page.count("3,000 requests meanwhile, none lost.") == 3
    assert "· finished" in page
    assert 'href="03/report.html"' in page
    assert (tmp_path / "reports" / "rollout" / "03" / "report.html").exists()
    assert cli("verify", "--weight", "100").returncode == 0
    # another one may follow, and the rollback is one too
    back = cli("rollout", "--steps", "0", "--hold")
    assert back.returncode == 0, back.stdout
    (entry,) = state_of(tmp_path)["log"]
    # Seen anew, in the directory of the one before; when, a busy machine may leave open.
    assert entry["effect"]["requests"] > 0
    assert cli("verify", "--weight", "0").returncode == 0


@pytest.mark.slow
def test_whatever_tells_variants_apart_tells_when_they_change(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    options = ("--variant-from", "cookie:color", "--plots")
    result = cli("rollout", "--steps", "80", *options, *QUICK)
    assert result.returncode == 0, result.stdout + result.stderr
    (entry,) = state_of(tmp_path)["log"]
    assert entry["effect"]["seconds"] >= 0  # seen; a small change is not known to the millisecond
    report = tmp_path / "reports" / "rollout" / entry["effect"]["report"]
    assert (report / "share-over-time.png").exists()
    assert (report.with_name("01") / "shares.png").exists()
    seen = json.loads((report / "verdict.json").read_text())
    assert "--variant-from cookie:color" in seen["command"]
    page = (tmp_path / "reports" / "rollout" / "rollout.html").read_text()
    assert f'href="{report.name}/report.html"' in page


def test_weights_that_come_into_force_too_late_are_no_match(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    # No gateway can be so quick: the interval of a change has a width, so that it may be that
    # nobody can say by how much it was late.
    late = ("--hold", "--in-force-within", "0.001s")
    result = cli("rollout", "--steps", "90", *late, *QUICK)
    assert result.returncode in (1, 3), result.stdout + result.stderr
    (entry,) = state_of(tmp_path)["log"]
    assert entry["verdict"] == {1: "mismatch", 3: "inconclusive"}[result.returncode]
    assert "into force" in entry["reason"]
    assert entry["effect"]["requests"] > 0  # it was looked at, and not given up
    assert entry["effect"]["latest"] > 0.001


def test_a_deadline_of_which_nothing_is_known_is_not_kept(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    # A change so small shows in no number of requests that is due, but by chance.
    result = cli("rollout", "--steps", "26", "--in-force-within", "30s", *QUICK)
    assert result.returncode == 3, result.stdout + result.stderr
    assert "inconclusive: Whether the weights came into force within 30 s is not known" in (
        result.stdout
    )
    assert "it holds: the gateway has blue 74 %, green 26 %; go on with --continue" in result.stdout
    assert in_force(our_lab) == {"blue": 74, "green": 26}


@pytest.mark.parametrize(
    ("deadline", "code"),
    [(("--in-force-within", "0.001s"), 3), (("--in-force-within", "30s"), 3), ((), 0)],
)
def test_a_change_whose_observer_was_killed_was_not_seen(
    cli: Cli, our_lab: lab.State, tmp_path: Path, deadline: tuple[str, ...], code: int
) -> None:
    effect = tmp_path / "reports" / "rollout" / "01-effect"
    killing = when((effect / "begun").exists, lambda: kill_locust(tmp_path))
    result = cli("rollout", "--steps", "60", *deadline, *QUICK)
    killing.join()
    assert result.returncode == code, result.stdout + result.stderr
    (entry,) = state_of(tmp_path)["log"]
    assert entry["effect"]["seconds"] is None
    assert "signal 9" in entry["effect"]["unseen"]
    assert ("is not known" in entry["reason"]) == bool(deadline)
    assert in_force(our_lab) == {"blue": 40, "green": 60}


@pytest.mark.slow
def test_a_canary_that_fails_at_the_third_step_goes_back_by_itself(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    (green,) = (r["pid"] for r in our_lab.replicas if "green" in r["deployment"])
    fails = when(
        lambda: len(state_of(tmp_path).get("log", [])) == 2,
        lambda: os.kill(green, signal.SIGSTOP),
    )
    recovers = when(
        lambda: state_of(tmp_path).get("phase") == "going back",
        lambda: os.kill(green, signal.SIGCONT),
    )
    # Long enough that green, once awake, is not late on a busy machine.
    result = cli("rollout", "--steps", "25,50,75,100", *QUICK, "--timeout", "3")
    fails.join()
    recovers.join()
    assert result.returncode == 4, result.stdout + result.stderr
    assert "going back to blue 75 %, green 25 %" in result.stdout
    assert "it is back at blue 75 %, green 25 %, which is verified" in result.stdout
    log = state_of(tmp_path)["log"]
    assert [entry["verdict"] for entry in log] == ["match", "match", "failing", "match"]
    assert log[-1]["back"]
    assert cli("verify", "--weight", "25", *QUICK).returncode == 0


@pytest.mark.slow
def test_one_that_was_killed_is_continued_or_undone(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    process = started(tmp_path, "rollout", "--steps", "25,50,100", *QUICK)
    try:
        assert until(lambda: state_of(tmp_path).get("index") == 1)
        assert until(lambda: state_of(tmp_path)["phase"] == "verifying")
    finally:
        process.kill()
        process.communicate()
    said = refused(cli, "rollout", "--steps", "10")
    assert "a rollout is unfinished (the gateway has blue 50 %, green 50 %" in said
    result = cli("rollout", "--continue")
    assert result.returncode == 0, result.stdout + result.stderr
    assert [entry["weights"]["green"] for entry in state_of(tmp_path)["log"]] == [25, 50, 100]
    process = started(tmp_path, "rollout", "--steps", "40,60", "--pause", "60", *QUICK)
    try:
        assert until(lambda: state_of(tmp_path).get("phase") == "passed")
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "interrupted: the gateway has blue 60 %, green 40 %; go on with" in said
    undone = cli("rollout", "--undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert "it is back at blue 0 %, green 100 %" in undone.stdout


@pytest.mark.slow
def test_routes_by_header_and_cookie(cli: Cli, our_lab: lab.State) -> None:
    verify = ("verify", "--host", our_lab.host)
    for path, header, weight in (
        ("/header", "want-color: green", "100"),
        ("/header", "", "0"),
        ("/header", "want-color: blue", "0"),
        ("/cookie", "Cookie: my-color=green", "100"),
        ("/cookie", "Cookie: a=1; my-color=green; b=2", "100"),
        ("/cookie", "Cookie: my-color=greenish", "0"),
        ("/cookie", "Cookie: not-my-color=green", "0"),
        ("/cookie", "", "0"),
    ):
        headers = ("--header", header) if header else ()
        weights = ("--weight", weight, "--zero-tolerance", "1")
        result = cli(*verify, "--path", path, *headers, *weights)
        assert result.returncode == 0, (path, header, result.stdout)


def test_the_node_port_splits_by_replicas(cli: Cli, our_lab: lab.State) -> None:
    url = cli("lab", "url", "color-service-np").stdout.strip()
    assert url == our_lab.node_ports["color-service-np"]
    by_session = cli("verify", "--host", url, "--weight", "50", "--unit", "session", *QUICK)
    assert by_session.returncode == 0, by_session.stdout
    kept = cli("verify", "--host", url, "--weight", "50", "--users", "40")
    assert kept.returncode == 3  # it keeps a connection on one pod, as kube-proxy does
    assert "--unit session" in kept.stdout
    assert cli("lab", "url", "nothing").returncode == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "no steps: give --steps 5,25,50,100"),
        (("--steps", "5,x"), "the step x is not a number"),
        (("--steps", "120"), "the step 120 is 120: give per cent, from 0 to 100"),
        (("--steps", "0.5"), "may be 0.5 % or 50 %"),
        (("--steps", "5", "--pause", "soon"), "--pause is no time: 'soon'"),
        (("--continue",), "no rollout in"),
        (("--continue", "--undo"), "give one of them"),
        (("--steps", "5", "--variant", "red"), "there is no variant red"),
    ],
)
def test_what_cannot_be_walked_is_refused(
    cli: Cli, our_lab: lab.State, options: tuple[str, ...], said: str
) -> None:
    assert said in refused(cli, "rollout", *options)


TWO_HOSTS = ("--host", "http://127.0.0.1:9", "--host", "http://127.0.0.2:9")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tolerence", "3"), "No such option '--tolerence'"),
        (("--rate", "abc"), "--rate is not a number: 'abc'"),
        (("--tolerance", "99"), "--tolerance is 99: give percentage points"),
        (("--tolerance", "70%"), "--tolerance is 70: give percentage points"),
        (("--tolerance", "45"), "a tolerance of 45 points would let"),
        (("--max-p99-ratio", "0.5"), "--max-p99-ratio is 0.5"),
        (("--alpha", "2"), "--alpha is 2"),
        (("--in-force-within", "soon"), "--in-force-within is no time: 'soon'"),
        (("--in-force-within", "0"), "--in-force-within is 0"),
        (("--requests", "many"), "--requests is not a number: 'many'"),
        (("--header", "nonsense"), "--header 'nonsense' is no header"),
        (("--variant-from", "nonsense"), "cannot be read from 'nonsense'"),
        (("--ca-file", "nothing.pem"), "nothing.pem cannot be used"),
        ((*TWO_HOSTS, "--users", "1"), "1 users cannot ask 2 gateways"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_set(
    cli: Cli, our_lab: lab.State, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    requests = sum(envoys_counts(our_lab).values())
    assert said in refused(cli, "rollout", "--steps", "40", *options)
    assert in_force(our_lab) == {"blue": 75, "green": 25}
    assert lab_says(cli) == {"blue": 75, "green": 25}
    assert sum(envoys_counts(our_lab).values()) == requests
    assert not (tmp_path / "reports").exists()  # nothing is unfinished, so nothing is to be undone


@pytest.mark.slow
def test_a_step_without_a_verdict_goes_back_and_no_earlier_verdict_is_taken_for_it(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    earlier = cli("rollout", "--steps", "25", *QUICK)
    assert earlier.returncode == 0, earlier.stdout + earlier.stderr
    step = tmp_path / "reports" / "rollout" / "01"
    assert json.loads((step / "verdict.json").read_text())["verdict"] == "match"
    killing = when(begun(step), lambda: kill_locust(tmp_path))
    result = cli("rollout", "--steps", "40", "--rate", "250", *QUICK)
    killing.join()
    assert result.returncode == 5, result.stdout + result.stderr
    assert "  broken: Locust ended with signal 9 and left no counts" in result.stdout
    assert "it is back at blue 75 %, green 25 %, which is verified" in result.stdout
    there, back = state_of(tmp_path)["log"]
    assert (there["verdict"], there["exit_code"]) == ("broken", 5)
    assert (back["verdict"], back["back"]) == ("match", True)
    assert in_force(our_lab) == {"blue": 75, "green": 25}
    assert lab_says(cli) == {"blue": 75, "green": 25}
    assert not (step / "verdict.json").exists()  # nor will anybody else take it for this one's
    assert not (step / "junit.xml").exists()
    page = (tmp_path / "reports" / "rollout" / "rollout.html").read_text()
    assert ">broken</strong>" in page
    assert 'href="01/report.html"' not in page


def test_an_odd_weight_in_a_manifest_is_edited_or_refused_in_a_line(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "vs.yaml"
    set_weights = ("set-weights", "green=40", "--manifest", "vs.yaml")
    without = MANIFEST.read_text().replace("weight: 25", "weight: #25")
    file.write_text(without)
    assert "spec.http[0].route[1].weight: this cannot be edited" in refused(cli, *set_weights)
    assert file.read_text() == without
    merged = MANIFEST.read_text().replace("weight: 75", "<<: &one {weight: 75}")
    file.write_text(merged.replace("weight: 25", "<<: *one"))
    result = cli(*set_weights)
    assert result.returncode == 0, result.stderr
    planned = json.loads(cli("plan", "--manifest", "vs.yaml", "--json").stdout)
    assert planned["expected"] == {"blue": 0.6, "green": 0.4}
    assert [path.name for path in tmp_path.iterdir()] == ["vs.yaml"]


@pytest.mark.slow
def test_weights_in_a_manifest_are_edited_and_walked(
    cli: Cli, our_lab: lab.State, tmp_path: Path
) -> None:
    file = tmp_path / "vs.yaml"
    text = MANIFEST.read_text()
    file.write_text(text)
    dry = cli("set-weights", "green=40", "--manifest", str(file), "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "+          weight: 40" in dry.stdout
    assert file.read_text() == text
    assert cli("set-weights", "green=40", "--manifest", str(file)).returncode == 0
    changed = text.replace("weight: 75", "weight: 60").replace("weight: 25", "weight: 40")
    assert file.read_text() == changed
    file.write_bytes(text.replace("\n", "\r\n").encode())  # line ends are layout too
    assert cli("set-weights", "green=40", "--manifest", str(file)).returncode == 0
    assert file.read_bytes() == changed.replace("\n", "\r\n").encode()
    file.write_text(changed)
    said = refused(cli, "rollout", "--steps", "50", "--manifest", str(file))
    assert "Give --host http://ADDRESS" in said
    assert file.read_text() == changed
    # Whoever watches the repository applies it: here a thread.
    done = threading.Event()
    lab.set_weights({"green": 40.0})

    def controller() -> None:
        while not done.wait(0.1):
            found = documents_of(file.read_text(), "vs.yaml")
            green = 100 * split_of(found, Choice())["green"]
            state = lab.status()
            if state and abs(state.weights["green"] - green) > 1e-6:
                lab.set_weights({"green": green})

    applying = threading.Thread(target=controller)
    applying.start()
    try:
        where = ("--manifest", str(file), "--host", our_lab.host)
        result = cli("rollout", "--steps", "70", *where, *QUICK)
    finally:
        done.set()
        applying.join()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "weight: 70" in file.read_text()
    (entry,) = state_of(tmp_path)["log"]
    assert entry["effect"]["seconds"] >= 0  # seen; a small change is not known to the millisecond
