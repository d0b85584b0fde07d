"""Open and closed load, shapes, ramps, and what the client itself cannot do."""

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli
from tests.fakes.servers import Handler, always, page, plain, read_request, served
from tests.support.locusts import LOCUST
from tests.support.locusts import headless as options
from trafficsplit.lab import Lab
from trafficsplit.report.run_files import read_run

SOURCE = (ROOT / "locustfiles" / "color.py").read_text()
GREEN, BLUE = plain(page("green")), plain(page("blue"))


def in_turn(green_after: float = 0.0, green_fails: bool = False) -> Handler:
    """Every fourth request is green's, by chance enough for a fixed number of them."""
    lock, count = threading.Lock(), [0]

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            with lock:
                count[0] += 1
                turn = count[0]
            # A generator's order, and not 1 in 4: nothing that looks like a round robin.
            green = (turn * 2654435761 >> 7) % 4 == 0
            if green:
                time.sleep(green_after)
            failing = green and green_fails and turn % 15 == 0
            status = "503 Service Unavailable" if failing else "200 OK"
            connection.sendall(plain(page("green" if green else "blue"), status))

    return handler


def verdict_of(tmp_path: Path) -> dict[str, object]:
    found = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.lab
def test_a_shape_says_how_many_users_there_are(the_lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "shaped.py").write_text(
        f"{SOURCE}\n\nfrom locust import LoadTestShape\n\n\nclass Steps(LoadTestShape):\n"
        "    def tick(self):\n"
        "        now = self.get_run_time()\n"
        "        return (1 if now < 1 else 6 if now < 2.5 else 2, 100) if now < 4 else None\n"
    )
    command = [LOCUST[0], "-f", "shaped.py", *LOCUST[3:], *options(the_lab.host, tmp_path)]
    run = subprocess.run(
        [*command, "--requests", "9000000", "--tolerance", "0.01"],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode in (1, 3), run.stderr
    recorded = read_run(tmp_path / "run")
    assert "Traceback" not in run.stderr
    # six users and no more have had a connection; those that left took no answer with them
    assert recorded.order.connections.groups == 6
    assert recorded.tally.requests == recorded.order.successive.pairs + 1


@pytest.mark.lab
def test_a_rate_is_kept_and_one_that_cannot_be_is_told(
    cli: Cli, the_lab: Lab, tmp_path: Path
) -> None:
    common = ("verify", "--host", the_lab.host, "--weight", "25", "--test", "fixed", "--report",
              "out")  # fmt: skip
    cli(*common, "--rate", "400", "--requests", "1000", "--ramp", "0.5")
    found = verdict_of(tmp_path)
    sender = found["sender"]
    assert isinstance(sender, dict)
    assert found["requests"] == 1000
    assert sender["rate"] == 400
    result = cli(*common, "--rate", "900000", "--requests", "5000", "--users", "2")
    sender = verdict_of(tmp_path)["sender"]
    assert isinstance(sender, dict)
    assert sender["achieved"] < 0.9 * sender["rate"]
    assert "were sent and not 900,000: give more --users, or a slower --rate" in result.stdout


def test_waiting_users_wait(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(
        SOURCE.replace(
            '    """Somebody who reloads the page."""\n',
            '    """Somebody who reloads the page."""\n\n    wait_time = constant(0.2)\n',
        ).replace("from trafficsplit", "from locust import constant\n\nfrom trafficsplit", 1)
    )
    with served(always(GREEN)) as port:
        run = subprocess.run(
            [LOCUST[0], "-f", "waiting.py", *LOCUST[3:],
             *options(f"http://127.0.0.1:{port}", tmp_path), "--run-time", "2s"],
            capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        )  # fmt: skip
    assert "Traceback" not in run.stderr
    # eight users, five times a second: not thousands
    assert 8 <= read_run(tmp_path / "run").tally.requests <= 8 * 11


def test_a_slow_canary_and_a_faulty_one_fail_the_run(cli: Cli, tmp_path: Path) -> None:
    question = ("--weight", "25", "--test", "fixed", "--requests", "1600", "--tolerance", "10",
                "--report", "out", "--users", "4", "--max-failing", "20")  # fmt: skip
    with served(in_turn(green_after=0.02)) as port:
        host = ("verify", "--host", f"http://127.0.0.1:{port}")
        slow = cli(*host, *question, "--max-p99-ratio", "1.5")
        assert slow.returncode == 4, slow.stdout
        assert "failing: green is too slow: its p99 is" in slow.stdout
        (compared,) = verdict_of(tmp_path)["comparison"]  # type: ignore[misc]
        assert compared["too_slow"]
        page_text = (tmp_path / "out" / "report.html").read_text()
        assert "green against blue" in page_text
        assert "which is too slow" in page_text
    with served(in_turn(green_fails=True)) as port:
        host = ("verify", "--host", f"http://127.0.0.1:{port}")
        faulty = cli(*host, *question, "--max-error-ratio", "3")
        assert faulty.returncode == 4, faulty.stdout
        assert "green fails too often: and blue never" in faulty.stdout


def test_without_epoll_locusts_client_sends_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(
        f"import trafficsplit.load.engine as engine\n\nengine.AVAILABLE = False\n{SOURCE}"
    )
    command = [LOCUST[0], "-f", "elsewhere.py", *LOCUST[3:]]
    with served(always(GREEN)) as port:
        host = f"http://127.0.0.1:{port}"
        run = subprocess.run(
            [*command, *options(host, tmp_path), "--requests", "100"],
            capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert "there is no epoll on this system, so Locust's FastHttpUser sends" in run.stderr
        assert read_run(tmp_path / "run").sender.client == "stock"
        refused = subprocess.run(
            [*command, *options(host, tmp_path), "--client", "engine"],
            capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert refused.returncode == 2
        assert "there is no epoll on this system for --client engine" in refused.stderr


def test_latencies_below_a_millisecond_keep_two_digits() -> None:
    script = (
        "from trafficsplit.locust.statistics import two_digits\n"
        "for ms in (0, 0.0432, 0.4349, 0.95, 4.349, 43.49, 147, 3432, 58760):\n"
        "    print(two_digits(ms))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.split() == [
        "0", "0.043", "0.43", "0.95", "4.3", "43", "150", "3400", "59000"
    ]  # fmt: skip
