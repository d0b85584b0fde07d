"""The pipe to the process that waits for a run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import CANARY, RUNS, having
from trafficsplit.analysis.plain import run_as_plain, run_from_plain
from trafficsplit.analysis.run import Stretch
from trafficsplit.analysis.tally import Tally
from trafficsplit.locust import parent as module
from trafficsplit.locust.parent import BEGUN, Parent, connect, parent
from trafficsplit.settings.verify import VerifySettings

SETTINGS = VerifySettings(("http://gateway",), CANARY)


@dataclass
class Pipe:
    """A pipe with a parent at one end, and what comes out of the other."""

    directory: Path
    reading: int
    writing: int
    messages: list[Any] = field(default_factory=list)
    thread: threading.Thread | None = None

    @property
    def parent(self) -> Parent:
        return Parent(SETTINGS, str(self.directory), self.writing)

    def read(self) -> None:
        """Read messages in a thread of its own, until the pipe is closed."""

        def take() -> None:
            with os.fdopen(self.reading, encoding="utf-8") as lines:
                self.messages += [json.loads(line) for line in lines]

        self.thread = threading.Thread(target=take)
        self.thread.start()

    def taken(self) -> list[Any]:
        """Close the pipe, and return all that came through it."""
        os.close(self.writing)
        self.writing = -1
        assert self.thread
        self.thread.join(60)
        return self.messages


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    reading, writing = os.pipe()
    own = Pipe(tmp_path, reading, writing)
    yield own
    if own.writing >= 0:
        os.close(own.writing)


def test_a_run_arrives_as_it_was_handed_over(pipe: Pipe) -> None:
    pipe.read()
    pipe.parent.tell_begun()
    pipe.parent.hand_over(RUNS["lossy"])
    begun, ended = pipe.taken()
    assert begun == {"event": BEGUN}
    assert run_as_plain(run_from_plain(ended["run"])) == run_as_plain(RUNS["lossy"])
    assert (pipe.directory / BEGUN).exists()  # for people


@pytest.mark.slow
def test_a_run_that_is_larger_than_the_pipe_arrives_whole(pipe: Pipe) -> None:
    stretches = [Stretch(n, n + 1, Tally({f"v{n}": n})) for n in range(20_000)]
    large = having(RUNS["ordinary"], stretches=stretches)
    pipe.read()
    pipe.parent.hand_over(large)
    (ended,) = pipe.taken()
    assert run_as_plain(run_from_plain(ended["run"])) == run_as_plain(large)


def test_a_parent_that_has_ended_is_no_error(pipe: Pipe) -> None:
    os.close(pipe.reading)
    pipe.parent.tell_begun()
    pipe.parent.hand_over(RUNS["ordinary"])


def test_a_directory_that_is_gone_is_no_error(pipe: Pipe) -> None:
    pipe.read()
    replace(pipe.parent, directory=str(pipe.directory / "gone")).tell_begun()
    assert pipe.taken() == [{"event": BEGUN}]


def test_there_is_one_parent_or_none(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_parents", [])
    os.close(pipe.reading)
    assert parent() is None
    connect(pipe.parent)
    other = replace(pipe.parent, directory="other")
    connect(other)
    assert parent() is other
