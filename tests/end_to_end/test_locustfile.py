"""`locust -f locustfiles/color.py`, as Locust's own users run it."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.fakes.servers import free_port
from tests.support.locusts import fetched, headless, locust, rows_of, said_in, started_locust
from tests.support.questions import SURE, SURE_25
from tests.support.waiting import until
from trafficsplit.lab import Lab

pytestmark = pytest.mark.lab


def test_headless_it_ends_by_itself_with_the_verdict(tmp_path: Path, the_lab: Lab) -> None:
    result = locust(
        tmp_path,
        *("--headless", "-u", "8", "-r", "8", "--host", the_lab.host, *SURE_25),
        *("--csv", "stats", "--html", "locust.html"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1].startswith("match: ")
    assert "Traceback" not in result.stderr
    rows = rows_of(tmp_path)
    assert rows["/color [blue]"] + rows["/color [green]"] == rows["Aggregated"]
    (said,) = re.findall(r"in ([\d,]+) responses", result.stderr)
    assert int(said.replace(",", "")) == rows["Aggregated"]
    assert "/color [green]" in (tmp_path / "locust.html").read_text()


def test_headless_a_mismatch_is_the_exit_code(tmp_path: Path, the_lab: Lab) -> None:
    result = locust(tmp_path, "--headless", "-u", "8", "--host", the_lab.host, "--weight", "90")
    assert result.returncode == 1
    assert "mismatch: " in result.stderr


def test_without_a_split_it_counts_and_does_not_judge(tmp_path: Path, the_lab: Lab) -> None:
    result = locust(
        tmp_path, "--headless", "-u", "4", "-r", "4", "--run-time", "2s", "--host", the_lab.host
    )
    assert result.returncode == 0, result.stderr
    assert "there is no verdict" in result.stderr


def test_wrong_options_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    result = locust(tmp_path, "--headless", "--host", "http://127.0.0.1:9", "--weight", "x")
    assert result.returncode == 2
    assert "--weight is not a number: 'x'" in result.stderr
    assert "Traceback" not in result.stderr
    assert locust(tmp_path, "--headless", "--weight", "25").returncode == 2  # no --host


def test_two_processes_count_what_one_would(tmp_path: Path, the_lab: Lab) -> None:
    result = locust(tmp_path, *headless(the_lab.host, tmp_path, *SURE, "--processes", "2"))
    assert result.returncode == 0, result.stderr
    tally = rows_of(tmp_path)
    assert tally["/color [blue]"] + tally["/color [green]"] == tally["Aggregated"]
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"run.json", "tally.csv", "latency.csv"}


@pytest.mark.slow
def test_two_processes_end_with_the_verdict(tmp_path: Path, the_lab: Lab) -> None:
    port = free_port()
    result = locust(
        tmp_path,
        *("--headless", "-u", "8", "-r", "8", "--processes", "2", "--host", the_lab.host, *SURE_25),
        *("--master-bind-port", port, "--master-port", port),
    )
    assert result.returncode == 0, result.stderr
    assert "match: " in result.stderr


def test_the_web_page_takes_the_options_and_shows_the_variants(
    tmp_path: Path, the_lab: Lab
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    web = ("--host", the_lab.host, "--web-host", "127.0.0.1", "--web-port", port)
    with started_locust(tmp_path, *web):
        page = fetched(url).replace("&#34;", '"')
        for option in ("weight", "weights", "tolerance", "variant_from", "test"):
            assert f'"{option}"' in page
        assert '"run_dir"' not in page
        form = {
            "user_count": 8,
            "spawn_rate": 8,
            "host": the_lab.host,
            "weight": "25",
            "tolerance": 4,
        }
        data = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(f"{url}/swarm", data, timeout=60) as response:
            assert json.load(response)["success"]
        assert until(lambda: json.loads(fetched(f"{url}/stats/requests"))["state"] == "stopped")
        stats = json.loads(fetched(f"{url}/stats/requests"))["stats"]
        assert {"/color [blue]", "/color [green]"} <= {row["name"] for row in stats}
    assert "match: " in said_in(tmp_path)
