"""The process that has imported Locust before it is known what to send."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.waiting import until
from trafficsplit.locust.warm import WarmProcess


@pytest.mark.slow
def test_without_a_task_it_ends_quietly() -> None:
    with WarmProcess() as warm:
        assert warm.process.stdin
        assert warm.process.stdout
        warm.process.stdin.close()
        assert warm.process.wait(120) == 0
        assert warm.process.stdout.read() == ""
        assert os.read(warm.messages, 1) == b""  # nobody holds the other end any more


def test_it_is_gone_when_its_block_is_left() -> None:
    with WarmProcess() as warm:
        assert warm.process.poll() is None
    assert until(lambda: warm.process.poll() is not None)


def test_a_task_for_one_that_has_ended_is_no_error(tmp_path: Path) -> None:
    with WarmProcess() as warm:
        warm.process.kill()
        warm.process.wait()
        warm.begin(tmp_path, ["--headless"])
        assert warm.process.stdout
        warm.process.stdout.close()
        os.close(warm.messages)
