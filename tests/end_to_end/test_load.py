"""Open and closed load, shapes, ramps, and what the client itself cannot do."""

from __future__ import annotations

import itertools
import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.fakes.servers import Handler, always, page, plain, read_request, served
from tests.support.locusts import SOURCE, headless, locust
from trafficsplit.lab import Lab
from trafficsplit.report.run_files import read_run

GREEN = plain(page("green"))


def in_turn(green_after: float = 0.0, *, green_fails: bool = False) -> Handler:
    """Every fourth request is green's, by chance enough for a fixed number of them.

    Green's answers come late, by `green_after` seconds on average and with a long tail.
    """
    turns = itertools.count(1)
    late = random.Random(1)

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            turn = next(turns)
            # A generator's order, and not 1 in 4: nothing that looks like a round robin.
            green = (turn * 2654435761 >> 7) % 4 == 0
            if green:
                time.sleep(green_after * late.expovariate(1))
            failing = green and green_fails and turn % 15 == 0
            status = "503 Service Unavailable" if failing else "200 OK"
            connection.sendall(plain(page("green" if green else "blue"), status))

    return handler


def failing_by_chance(share: float) -> Handler:
    """Return a gateway that keeps 75/25, with a share of 503s of its own that name no variant."""
    draws = random.Random(2)

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            if draws.random() < share:
                connection.sendall(plain(b"no healthy upstream", "503 Service Unavailable"))
            else:
                connection.sendall(plain(page("green" if draws.random() < 0.25 else "blue")))

    return handler


def verdict_of(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "out" / "verdict.json").read_text())
    return found


SHAPE = """
from locust import LoadTestShape


class Steps(LoadTestShape):
    users = [1, 6, 2]
    asked = 0

    def tick(self):
        if self.get_current_user_count() == self.asked:
            if not self.users:
                return None
            self.asked = self.users.pop(0)
        return self.asked, 100
"""


@pytest.mark.lab
def test_a_shape_says_how_many_users_there_are(the_lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "shaped.py").write_text(SOURCE + SHAPE)
    question = ("--requests", "9000000", "--tolerance", "0.01%", "--alpha", "0.000001")
    run = locust(tmp_path, *headless(the_lab.host, tmp_path, *question), file="shaped.py")
    assert run.returncode == 3, run.stderr
    recorded = read_run(tmp_path / "run")
    assert "Traceback" not in run.stderr
    (hanging,) = recorded.counted.hanging
    assert (hanging.users, hanging.stuck) == (2, 0)
    # Those that left took no answer with them.
    assert recorded.counted.judged == [recorded.tally]


@pytest.mark.slow
@pytest.mark.lab
def test_a_rate_is_kept_and_one_that_cannot_be_is_told(
    cli: Cli, the_lab: Lab, tmp_path: Path
) -> None:
    question = ("--weight", "25", "--test", "fixed", "--report", "out")
    common = ("verify", "--host", the_lab.host, *question)
    cli(*common, "--rate", "400", "--requests", "1000", "--ramp", "0.5")
    found = verdict_of(tmp_path)
    assert found["requests"] == 1000
    assert found["sender"]["rate"] == 400
    result = cli(*common, "--rate", "900000", "--requests", "5000", "--users", "2")
    sender = verdict_of(tmp_path)["sender"]
    assert sender["achieved"] < 0.9 * sender["rate"]
    assert "were sent and not 900,000: give more --users, or a slower --rate" in result.stdout


def noting_answers(answers: list[float]) -> Handler:
    """Answer green, and note when: after the request was read, and before the answer is sent."""

    def handler(connection: socket.socket, _: int) -> None:
        while read_request(connection):
            answers.append(time.monotonic())
            connection.sendall(GREEN)

    return handler


def test_waiting_users_wait(tmp_path: Path) -> None:
    waiting = SOURCE.replace("(SplitUser):\n", "(SplitUser):\n    wait_time = constant(0.2)\n")
    assert waiting != SOURCE
    (tmp_path / "waiting.py").write_text(f"from locust import constant\n{waiting}")
    answers: list[float] = []
    question = ("--test", "fixed", "--requests", "48")
    with served(noting_answers(answers)) as port:
        options = headless(f"http://127.0.0.1:{port}", tmp_path, *question)
        run = locust(tmp_path, *options, file="waiting.py")
    assert "Traceback" not in run.stderr
    assert read_run(tmp_path / "run").tally.requests == 48
    answers = sorted(answers)[1:]  # the first was asked whether the gateway is ready
    # Of any nine answers two are the same user's, of which there are eight.
    assert len(answers) == 48
    assert min(late - early for early, late in zip(answers, answers[8:], strict=False)) >= 0.2


def test_a_slow_canary_and_a_faulty_one_fail_the_run(cli: Cli, tmp_path: Path) -> None:
    question = (
        *("--weight", "25", "--test", "fixed", "--tolerance", "10"),
        *("--report", "out", "--users", "16", "--max-failing", "20"),
    )
    # So much slower that it shows on a machine that makes everything slow.
    with served(in_turn(green_after=0.05)) as port:
        host = ("verify", "--host", f"http://127.0.0.1:{port}")
        slow = cli(*host, *question, "--requests", "8000", "--max-p99-ratio", "1.5")
        assert slow.returncode == 4, slow.stdout
        assert "failing: green is too slow: its p99 is" in slow.stdout
        (compared,) = verdict_of(tmp_path)["comparison"]
        assert compared["p99_limit"] == "exceeded"
        page_text = (tmp_path / "out" / "report.html").read_text()
        assert "green against blue" in page_text
        assert "which is too slow" in page_text
    with served(in_turn(green_fails=True)) as port:
        host = ("verify", "--host", f"http://127.0.0.1:{port}")
        faulty = cli(*host, *question, "--requests", "1600", "--max-error-ratio", "3")
        assert faulty.returncode == 4, faulty.stdout
        assert "green fails too often: and blue never" in faulty.stdout


def test_a_limit_on_errors_is_kept_without_errors_and_open_with_errors_of_no_name(
    cli: Cli, tmp_path: Path
) -> None:
    question = (
        *("--weight", "25", "--tolerance", "10", "--report", "out"),
        *("--max-error-ratio", "2"),
    )
    with served(failing_by_chance(0)) as port:
        kept = cli("verify", "--host", f"http://127.0.0.1:{port}", *question)
        assert kept.returncode == 0, kept.stdout
        found = verdict_of(tmp_path)
        assert found["requests"] >= 2754  # 1.5 times 459 answers of green, as a rule
        assert found["comparison"][0]["errors_limit"] == "kept"
    with served(failing_by_chance(0.008)) as port:
        unknown = cli("verify", "--host", f"http://127.0.0.1:{port}", *question)
        assert unknown.returncode == 3, unknown.stdout
        assert "errors name no variant, and they may all have been green's" in unknown.stdout
        assert verdict_of(tmp_path)["comparison"][0]["errors_limit"] == "open"


def test_without_epoll_locusts_client_sends_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(
        f"import trafficsplit.load.engine as engine\n\nengine.AVAILABLE = False\n{SOURCE}"
    )
    with served(always(GREEN)) as port:
        options = headless(f"http://127.0.0.1:{port}", tmp_path)
        run = locust(tmp_path, *options, "--requests", "100", file="elsewhere.py")
        assert "there is no epoll on this system, so Locust's FastHttpUser sends" in run.stderr
        assert read_run(tmp_path / "run").sender.client == "stock"
        refused = locust(tmp_path, *options, "--client", "engine", file="elsewhere.py")
        assert refused.returncode == 2
        assert "there is no epoll on this system for --client engine" in refused.stderr


def test_latencies_below_a_millisecond_keep_two_digits() -> None:
    # In a process of its own: Locust patches sockets.
    script = (
        "from trafficsplit.locust.patches import two_digits\n"
        "for ms in (0, 0.0432, 0.4349, 0.95, 4.349, 43.49, 147, 3432, 58760):\n"
        "    print(two_digits(ms))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.split() == [
        *("0", "0.043", "0.43", "0.95", "4.3"),
        *("43", "150", "3400", "59000"),
    ]
