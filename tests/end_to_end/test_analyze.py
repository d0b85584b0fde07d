"""What exists already, judged as the live run was: recordings, access logs, Prometheus."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.conftest import ROOT, Cli, needs, refused
from tests.fakes.servers import free_port
from tests.support.waiting import until, when
from trafficsplit import lab
from trafficsplit.offline.runs import Recordings

pytestmark = pytest.mark.lab
# A fixed test is wrong with a probability of alpha, and so would these tests be.
WIDE = ("--tolerance", "4", "--weight", "25")
BUSY = ("--test", "fixed", "--requests", "9000", *WIDE, "--alpha", "0.00001")


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
    where = ("--map", places, "--path", "/color", "--report", "logged")
    result = cli("analyze", "lab/access.log", *WIDE, *where)
    assert result.returncode == 0, result.stderr
    seen = verdict_of(tmp_path / "live")
    logged = verdict_of(tmp_path / "logged")
    readiness = logged["requests"] - seen["requests"]
    assert 0 < readiness < 10  # asked before the run, and not counted by it
    for variant, count in seen["observed"].items():
        assert 0 <= logged["observed"][variant] - count <= readiness
    assert cli("analyze", "lab/access.log", "--weight", "40", "--map", places).returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_recording_is_judged_as_the_live_run_was(
    cli: Cli, the_lab: lab.Lab, tmp_path: Path, processes: str
) -> None:
    recorded = ("--record", "--report", "live", "--processes", processes)
    live = cli("verify", "--host", the_lab.host, *BUSY, *recorded)
    assert live.returncode == 0, live.stderr
    result = cli("analyze", "live/requests.parquet", "--report", "again")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == live.stdout.splitlines()[0]
    seen = verdict_of(tmp_path / "live")
    again = verdict_of(tmp_path / "again")
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
    def parts() -> list[Path]:
        return list(tmp_path.glob("killed/.run-*/requests.parquet/part-*"))

    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("trafficsplit")), "verify"),
            *("--host", the_lab.host, "--weight", "25", "--test", "fixed", "--requests", "900000"),
            *("--record", "--report", "killed"),
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: len(parts()) >= 2)
        # Not a word of good-bye, for the one that sends.
        (locust,) = psutil.Process(process.pid).children()
        locust.kill()
        assert until(lambda: process.poll() is not None)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 5
    assert not (tmp_path / "killed" / "verdict.json").exists()
    recording = parts()[0].parent
    found = Recordings([recording])
    question = found.question()
    assert question
    run = found.run(question)
    assert run.tally.requests > 1000
    result = cli("analyze", str(recording), "--weight", "25", "--tolerance", "10")
    assert result.returncode == 0, result.stderr


def test_a_recording_ends_with_the_disk_and_the_run_goes_on(
    cli: Cli, the_lab: lab.Lab, tmp_path: Path
) -> None:
    def parts() -> list[Path]:
        return list(tmp_path.glob("live/.run-*/requests.parquet"))

    lost = when(parts, lambda: parts()[0].rename(tmp_path / "gone"))
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
        [
            *(program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"),
            f"--web.listen-address={url.removeprefix('http://')}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: sum(counted(url, "up").values()) >= 1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def counted(url: str, query: str) -> dict[str, float]:
    try:
        found = requests.get(f"{url}/api/v1/query", {"query": query}, timeout=60).json()
    except (requests.RequestException, ValueError):
        return {}
    return {
        one["metric"].get("destination_version", ""): float(one["value"][1])
        for one in found.get("data", {}).get("result", [])
    }


@pytest.mark.slow
def test_prometheus_agrees_with_the_live_verdict(
    cli: Cli, the_lab: lab.Lab, prometheus: str, tmp_path: Path
) -> None:
    before = counted(prometheus, "istio_requests_total")
    live = cli("verify", "--host", the_lab.host, *BUSY, "--report", "live")
    assert live.returncode == 0, live.stderr
    seen = verdict_of(tmp_path / "live")

    def all_scraped() -> bool:
        now = counted(prometheus, "istio_requests_total")
        return sum(now.values()) - sum(before.values()) >= int(seen["requests"])

    assert until(all_scraped)
    window = ("--window", "5m", "--report", "scraped")
    result = cli("analyze", "--prometheus", prometheus, *WIDE, *window)
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


LINE = (
    '[2026-11-24T10:20:12.415Z] "GET /color HTTP/1.1" 200 - 0 1281 7 6 "-" "curl" "1afb735a" '
    '"gateway" "10.0.0.{}:8080"'
)


def test_a_map_names_destinations_of_a_manifest_and_words_of_the_data(
    cli: Cli, tmp_path: Path
) -> None:
    text = (ROOT / "istio" / "color-istio-gw-canary-pct.yaml").read_text()
    # Nothing in it says what a response shows: the map has to.
    for colour, version in (("blue", "v1"), ("green", "v2")):
        text = text.replace(f"{colour}-sub", version).replace(f"color: {colour}", f"tag: {version}")
    (tmp_path / "vs.yaml").write_text(text)
    names = "v1=blue,v2=green"
    judged = ("--manifest", "vs.yaml", "--map", names, "--report", "out")
    result = cli("analyze", "--counts", "blue=7500,green=2500", *judged)
    assert result.returncode == 0, result.stdout + result.stderr
    verdict = verdict_of(tmp_path / "out")
    assert verdict["expected"] == {"blue": 0.75, "green": 0.25}
    assert verdict["observed"] == {"blue": 7500, "green": 2500}
    assert cli("analyze", "--counts", "blue=2500,green=7500", *judged).returncode == 1
    # The same names, and others beside, where the data have them.
    places = f"{names},10.0.0.7:8080=blue,10.0.0.8:8080=green"
    log = [LINE.format(8 if number % 4 == 0 else 7) for number in range(10_000)]
    (tmp_path / "access.log").write_text("\n".join(log))
    of_log = ("--manifest", "vs.yaml", "--map", places, "--report", "logged")
    result = cli("analyze", "access.log", *of_log)
    assert result.returncode == 0, result.stdout + result.stderr
    logged = verdict_of(tmp_path / "logged")
    assert logged["expected"] == verdict["expected"]
    assert logged["observed"] == verdict["observed"]
