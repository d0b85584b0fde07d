"""What exists already, judged as the live run was: recordings, access logs, Prometheus."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Cli, needs, refused
from tests.fakes.servers import free_port
from tests.support.waiting import until
from trafficsplit import lab
from trafficsplit.offline.runs import Recorded

pytestmark = pytest.mark.lab
# A fixed test is wrong with a probability of alpha, and so would these tests be.
BUSY = ("--test", "fixed", "--requests", "9000", "--tolerance", "4", "--weight", "25",
        "--alpha", "0.00001")  # fmt: skip


def verdict_of(directory: Path) -> dict[str, Any]:
    found = json.loads((directory / "verdict.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture(params=["istio", "envoy", "json"])
def logging_lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[lab.Lab]:
    with lab.start(tmp_path / "lab", access_log=request.param) as started:
        yield started


def test_an_access_log_is_judged_as_the_live_run_was(
    cli: Cli, logging_lab: lab.Lab, tmp_path: Path
) -> None:
    live = cli("verify", "--host", logging_lab.host, *BUSY, "--report", "live")
    assert live.returncode == 0, live.stderr
    logging_lab.stop()  # it writes what it has kept back
    places = ",".join(
        f"127.0.0.1:{replica.port}={'green' if 'green' in replica.deployment else 'blue'}"
        for replica in logging_lab.replicas
    )
    result = cli("analyze", "lab/access.log", *BUSY[4:8], "--map", places, "--report", "logged",
                 "--path", "/color")  # fmt: skip
    assert result.returncode == 0, result.stderr
    seen, logged = verdict_of(tmp_path / "live"), verdict_of(tmp_path / "logged")
    readiness = logged["requests"] - seen["requests"]
    assert 0 < readiness < 10  # asked before the run, and not counted by it
    for variant, count in seen["observed"].items():
        assert 0 <= logged["observed"][variant] - count <= readiness
    assert cli("analyze", "lab/access.log", "--weight", "40", "--map", places).returncode == 1


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_recording_is_judged_as_the_live_run_was(
    cli: Cli, the_lab: lab.Lab, tmp_path: Path, processes: str
) -> None:
    live = cli("verify", "--host", the_lab.host, *BUSY, "--record", "--report", "live",
               "--processes", processes)  # fmt: skip
    assert live.returncode == 0, live.stderr
    result = cli("analyze", "live/requests.parquet", "--report", "again")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == live.stdout.splitlines()[0]
    seen, again = verdict_of(tmp_path / "live"), verdict_of(tmp_path / "again")
    for name in ("observed", "errors", "latency_ms", "chi_square", "path", "host"):
        assert again[name] == seen[name], name
    if processes == "1":
        for name in ("dispersion", "correlation", "within_connections"):
            # At the border of two parts a few are counted in the order of their ends.
            assert again["independence"][name] == pytest.approx(
                seen["independence"][name], abs=0.05
            )
    # and where it came from, which loses nothing
    assert cli("analyze", "live/requests.parquet", "--report", "live").returncode == 0
    # and from the report's own files, into these
    assert cli("analyze", "live", "--report", "live").returncode == 0
    assert cli("analyze", "live").stdout.splitlines()[0] == live.stdout.splitlines()[0]
    assert cli("analyze", "live", "--weight", "60").returncode == 1


def test_a_killed_run_leaves_what_it_recorded(cli: Cli, the_lab: lab.Lab, tmp_path: Path) -> None:
    parts = tmp_path / "killed" / "requests.parquet"
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("trafficsplit")), "verify", "--host", the_lab.host,
         "--weight", "25", "--test", "fixed", "--requests", "900000", "--record",
         "--report", "killed"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert until(lambda: len(list(parts.glob("part-*"))) >= 2, 60)
        # Not a word of good-bye, for the one that sends.
        (locust,) = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(locust), signal.SIGKILL)
    finally:
        process.wait(30)
    found = Recorded([parts])
    question = found.question()
    assert question
    run = found.run(question)
    assert run.tally.requests > 1000
    result = cli("analyze", str(parts), "--weight", "25", "--tolerance", "10")
    assert result.returncode == 0, result.stderr


def test_a_recording_ends_with_the_disk_and_the_run_goes_on(
    cli: Cli, the_lab: lab.Lab, tmp_path: Path
) -> None:
    parts = tmp_path / "live" / "requests.parquet"
    lost = threading.Thread(
        target=lambda: until(parts.exists, 30) and parts.rename(tmp_path / "gone")
    )
    lost.start()
    result = cli("verify", "--host", the_lab.host, *BUSY, "--record", "--report", "live")
    lost.join()
    assert result.returncode == 0, result.stderr
    assert "note: the recording is not whole: No such file or directory." in result.stdout


PROMETHEUS = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: gateway
    metrics_path: /stats/prometheus
    static_configs: [{{targets: ['{admin}'], labels: {{reporter: source}}}}]
    metric_relabel_configs:
      # What Istio's own telemetry would have said.
      - {{source_labels: [__name__], regex: 'envoy_cluster_.*_local_upstream_rq',
          target_label: __name__, replacement: istio_requests_total}}
      - {{source_labels: [envoy_cluster_name], regex: '[^|]*\\|[^|]*\\|([^|]*)-sub\\|.*',
          target_label: destination_version}}
      - {{source_labels: [envoy_response_code], target_label: response_code}}
      - {{source_labels: [__name__], regex: 'istio_requests_total|up', action: keep}}
"""


@pytest.fixture
def prometheus(the_lab: lab.Lab, tmp_path: Path) -> Iterator[str]:
    program = needs("prometheus")
    config = tmp_path / "prometheus.yml"
    config.write_text(PROMETHEUS.format(admin=the_lab.admin.removeprefix("http://")))
    url = f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
         f"--web.listen-address={url.removeprefix('http://')}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert until(lambda: sum(counted(url, "up").values()) >= 1, 30)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def counted(url: str, query: str) -> dict[str, float]:
    try:
        found = requests.get(f"{url}/api/v1/query", {"query": query}, timeout=5).json()
    except (requests.RequestException, ValueError):
        return {}
    return {
        one["metric"].get("destination_version", ""): float(one["value"][1])
        for one in found.get("data", {}).get("result", [])
    }


def test_prometheus_agrees_with_the_live_verdict(
    cli: Cli, the_lab: lab.Lab, prometheus: str, tmp_path: Path
) -> None:
    before = counted(prometheus, "istio_requests_total")
    live = cli("verify", "--host", the_lab.host, *BUSY, "--report", "live")
    assert live.returncode == 0, live.stderr
    seen = verdict_of(tmp_path / "live")

    def all_scraped() -> bool:
        now = counted(prometheus, "istio_requests_total")
        return sum(now.values()) - sum(before.values()) >= seen["requests"]

    assert until(all_scraped, 30)
    time.sleep(0.1)
    result = cli("analyze", "--prometheus", prometheus, "--window", "5m", *BUSY[4:8],
                 "--report", "scraped")  # fmt: skip
    assert result.returncode == 0, result.stderr
    scraped = verdict_of(tmp_path / "scraped")
    assert seen["requests"] <= scraped["requests"] <= seen["requests"] + 10  # readiness
    assert cli("analyze", "--prometheus", prometheus, "--weight", "60").returncode == 1
    for wrong, said in (
        (("--query", "nothing_total"), "knows nothing of nothing_total"),
        (("--window", "soon"), "--window 'soon' is no time"),
        (("--by", "colour"), "no label colour is there"),
        (("--query", "rate("), "Prometheus says"),
        (("--query", "sum(up)"), "Prometheus says"),
    ):
        assert said in refused(cli, "analyze", "--prometheus", prometheus, "--weight", "25", *wrong)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "what is to be judged?"),
        (("nowhere.parquet",), "there is no nowhere.parquet"),
        (("--counts", "blue=1"), "no split to expect"),
        (("--counts", "blue=1", "--prometheus", "http://x"), "one of them"),
        (("--prometheus", "http://127.0.0.1:1", "--weight", "25"), "does not answer"),
        (("--prometheus", "nonsense", "--weight", "25"), "is no address"),
        ((".", "--weight", "25"), "has no recording and no report in it"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_line(
    cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(cli, "analyze", *arguments)
