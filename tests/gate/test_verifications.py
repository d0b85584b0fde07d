"""Verifications: one at a time, joined by all who ask the same, with workers that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from tests.support.gates import verification
from trafficsplit.errors import InputError, TooManyError
from trafficsplit.gate import verifications as module
from trafficsplit.gate.requests import Verification
from trafficsplit.gate.verifications import Keeping, Result, Verifications, _result
from trafficsplit.gate.worker import REQUEST

T = TypeVar("T")
# A worker that does as the verification's identity says: VERDICT, CODE, and what it does first.
WORKER = """#!{python}
import json, os, pathlib, signal, sys, time
report = pathlib.Path(sys.argv[-1])
verdict, code, act = json.loads((report / "asked.json").read_text())["identity"].split("/")
with (report.parent / "begun").open("a") as begun:
    begun.write(f"{{os.getpid()}} {{report.name}}\\n")
if act == "hang":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(code)))
    while True:
        time.sleep(0.05)
if act == "late":  # the old weights are in force, until it runs for the second time
    if len((report.parent / "begun").read_text().splitlines()) > 1:
        verdict, code = "match", 0
if act == "wait":
    while not (report.parent / "go").exists():
        time.sleep(0.02)
if verdict:
    said = {{"verdict": verdict, "reason": "because\\nof it"}}
    if verdict == "mismatch" and act == "late":
        said["diagnosis"] = {{"cause": "the old weights are still in force (blue 90 %)"}}
    if act == "interrupted":
        said["interrupted"] = "SIGTERM"
    (report / "verdict.json").write_text(json.dumps(said))
print("first line", "trafficsplit: the last line", sep="\\n", file=sys.stderr)
sys.exit(int(code))
"""


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of results, whose workers are the one above."""
    worker = tmp_path / "worker"
    worker.write_text(WORKER.format(python=sys.executable))
    worker.chmod(worker.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(module, "sys", SimpleNamespace(executable=str(worker)))
    directory = tmp_path / "results"
    yield directory
    for pid, _ in begun(directory):  # lest one outlives a test that has failed
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def begun(directory: Path) -> list[tuple[int, str]]:
    """Return the workers that have begun: process ids and reports."""
    if not (directory / "begun").exists():
        return []
    lines = (directory / "begun").read_text().splitlines()
    return [(int(pid), name) for pid, name in (line.split() for line in lines)]


def asked(verdict: str, code: int, act: str = "", green: float = 25) -> Verification:
    return verification(green, f"{verdict}/{code}/{act}")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, on a loop of its own."""
    return asyncio.run(asyncio.wait_for(work, 60))


def all_of(
    directory: Path, on_result: list[Result] | None = None, **keeping: float
) -> Verifications:
    heard = on_result if on_result is not None else []
    verifications = Verifications(Keeping(directory, **keeping), heard.append)
    verifications.recall()
    return verifications


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.02)


# --- how a worker's end is read ---


def ended(tmp_path: Path, verdict: object, code: int | None, *said: str) -> Result:
    if verdict is not None:
        text = verdict if isinstance(verdict, str) else json.dumps(verdict)
        (tmp_path / "verdict.json").write_text(text)
    return _result(verification(), tmp_path, code, list(said))


@pytest.mark.parametrize(
    ("verdict", "code"), [("match", 0), ("mismatch", 1), ("inconclusive", 3), ("failing", 4)]
)
def test_a_verdict_counts_with_its_own_exit_code(tmp_path: Path, verdict: str, code: int) -> None:
    found = {"verdict": verdict, "reason": "because\nof it"}
    result = ended(tmp_path, found, code)
    assert (result.name, result.reason, result.report) == (verdict, "because of it", tmp_path.name)
    assert result.verdict == found
    for other in (0, 1, 2, 3, 4, 5, 130, -9, None):
        if other != code:
            assert ended(tmp_path, found, other, "trafficsplit: why").name == "error"


@pytest.mark.parametrize("code", [5, 1, 0, -9, None])
def test_a_worker_that_broke_is_an_error_and_nothing_is_said_of_the_gateway(
    tmp_path: Path, code: int | None
) -> None:
    result = ended(tmp_path, None, code, "first", "trafficsplit: broken: no memory")
    assert (result.name, result.verdict, result.wrong) == ("error", {}, False)
    assert result.reason == "broken: no memory"
    assert not result.stands


def test_a_worker_that_was_wrongly_asked_says_so(tmp_path: Path) -> None:
    result = ended(tmp_path, None, 2, "trafficsplit: no such path")
    assert (result.name, result.wrong, result.reason) == ("error", True, "no such path")


@pytest.mark.parametrize(
    "verdict",
    [
        "no JSON",
        [],
        {},
        {"verdict": "match"},
        {"verdict": "match", "reason": None},
        {"verdict": "perfect", "reason": "x"},
        {"verdict": "broken", "reason": "x"},
        {"verdict": None, "reason": "x"},
    ],
)
def test_a_verdict_that_is_none_is_an_error(tmp_path: Path, verdict: object) -> None:
    result = ended(tmp_path, verdict, 0)
    assert result.name == "error"
    assert result.reason == "it ended without a verdict"


@pytest.mark.parametrize(
    ("verdict", "stands"),
    [
        ({"verdict": "match"}, True),
        ({"verdict": "mismatch"}, True),
        ({"verdict": "inconclusive"}, True),
        ({"verdict": "failing"}, False),
        ({"verdict": "match", "interrupted": "SIGTERM"}, False),
        ({}, False),
    ],
)
def test_only_a_decision_that_ran_its_course_stands(verdict: dict[str, str], stands: bool) -> None:
    assert Result(verification(), verdict, "", 0.0).stands is stands


# --- with processes ---


def test_all_who_ask_the_same_get_one_verification(results: Path) -> None:
    heard: list[Result] = []

    async def work() -> list[Result | None]:
        verifications = all_of(results, heard)
        first = asyncio.create_task(verifications.ask(asked("match", 0, "wait"), 60))
        second = asyncio.create_task(verifications.ask(asked("match", 0, "wait"), 60))
        await until(lambda: begun(results))
        assert verifications.waiting == 1
        (results / "go").touch()
        answers = [await first, await second]
        answers.append(await verifications.ask(asked("match", 0, "wait"), 60))
        return answers

    one, two, again = run(work())
    assert one is two is again
    assert one is not None
    assert (one.name, len(begun(results)), len(heard)) == ("match", 1, 1)


def test_what_is_not_known_in_time_goes_on(results: Path) -> None:
    async def work() -> list[Result | None]:
        verifications = all_of(results)
        answers = [await verifications.ask(asked("mismatch", 1, "wait"), 0.01)]
        (results / "go").touch()
        answers.append(await verifications.ask(asked("mismatch", 1, "wait"), 60))
        return answers

    unknown, known = run(work())
    assert unknown is None
    assert known is not None
    assert (known.name, len(begun(results))) == ("mismatch", 1)


def test_one_runs_at_a_time(results: Path) -> None:
    async def work() -> None:
        verifications = all_of(results)
        tasks = []
        for green in (10, 20, 30):
            one = asked("match", 0, "wait", green)
            tasks.append(asyncio.create_task(verifications.ask(one, 60)))
        await until(lambda: begun(results))
        await asyncio.sleep(0.1)
        assert (len(begun(results)), verifications.waiting) == (1, 3)
        (results / "go").touch()
        for task in tasks:
            result = await task
            assert result is not None
            assert result.name == "match"

    run(work())
    assert len(begun(results)) == 3


def test_a_decision_stands_for_its_time_and_what_broke_is_done_again(results: Path) -> None:
    async def work(keep: float, one: Verification) -> int:
        verifications = all_of(results, keep=keep)
        before = len(begun(results))
        for _ in range(3):
            await verifications.ask(one, 60)
        return len(begun(results)) - before

    assert run(work(3600, asked("inconclusive", 3))) == 1
    assert run(work(0, asked("match", 0))) == 3
    for one in (
        asked("failing", 4),
        asked("", 5),
        asked("match", 5),
        asked("match", 0, "interrupted"),
    ):
        assert run(work(3600, one)) == 3


def test_news_that_nobody_has_heard_is_told_once_without_an_occasion(results: Path) -> None:
    one = Verification(verification().settings, "")

    async def work() -> list[Result | None]:
        verifications = all_of(results)
        result = Result(one, {"verdict": "match", "reason": ""}, "", time.time())
        verifications._remember(result)
        first = await verifications.ask(one, 60)
        assert first is result
        verifications.stopping.set()  # or it would begin again
        return [first, await verifications.ask(one, 60)]

    assert run(work())[1] is None


def test_too_many_are_refused(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)

    async def work() -> None:
        verifications = all_of(results)
        tasks = []
        for green in (10, 20):
            one = asked("match", 0, "wait", green)
            tasks.append(asyncio.create_task(verifications.ask(one, 60)))
        await until(lambda: verifications.waiting == 2)
        with pytest.raises(TooManyError, match="2 verifications are waiting already"):
            await verifications.ask(asked("match", 0, "", 30), 60)
        (results / "go").touch()
        await asyncio.gather(*tasks)

    run(work())


def test_one_that_takes_too_long_is_told_to_end(results: Path) -> None:
    async def work() -> Result | None:
        verifications = all_of(results, longest=0.5)
        return await verifications.ask(asked("", 5, "hang"), 60)

    result = run(work())
    assert result is not None
    assert (result.name, result.reason) == ("error", "it ended without a verdict")


def test_a_gate_that_stops_ends_the_one_that_runs_and_begins_no_other(results: Path) -> None:
    async def work() -> list[Result | None]:
        verifications = all_of(results)
        running = asyncio.create_task(verifications.ask(asked("", 5, "hang", 10), 60))
        waiting = asyncio.create_task(verifications.ask(asked("match", 0, "", 20), 60))
        await until(lambda: begun(results))
        await verifications.stop()
        late = await verifications.ask(asked("match", 0, "", 30), 60)
        return [await running, await waiting, late]

    assert run(work()) == [None, None, None]  # told at once that there will be none
    assert len(begun(results)) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(begun(results)[0][0], 0)


def test_one_that_is_just_being_started_ends_as_well(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        verifications = all_of(results)

        async def start(report: Path) -> asyncio.subprocess.Process:
            process = await started(report)
            await until(lambda: begun(results))
            await stopped_meanwhile()
            return process

        async def stopped_meanwhile() -> None:
            stopping.append(asyncio.create_task(verifications.stop()))
            await verifications.stopping.wait()

        stopping: list[asyncio.Task[None]] = []
        started = module._start_worker
        monkeypatch.setattr(module, "_start_worker", start)
        assert await verifications.ask(asked("", 5, "hang"), 60) is None
        await stopping[0]

    run(work())
    with pytest.raises(ProcessLookupError):
        os.kill(begun(results)[0][0], 0)


def test_what_was_found_is_there_when_the_gate_starts_again(results: Path) -> None:
    async def work() -> Result | None:
        return await all_of(results).ask(asked("match", 0), 60)

    first = run(work())
    again = run(work())
    assert first is not None
    assert again is not None
    assert (again.name, again.reason, again.report) == ("match", "because of it", first.report)
    assert len(begun(results)) == 1
    (results / "damaged").mkdir()
    (results / "damaged" / REQUEST).write_text("{}")
    assert run(work()) is not None  # what cannot be read is passed over


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(InputError, match=r"cannot be written .*: give other --results"):
        all_of(tmp_path / "results")


def test_a_fault_of_ours_is_an_error_and_the_next_one_runs(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> list[Result | None]:
        verifications = all_of(results)
        with monkeypatch.context() as patch:
            patch.setattr(module, "replace_text", full_disk)
            first = await verifications.ask(asked("match", 0), 60)
        return [first, await verifications.ask(asked("match", 0), 60)]

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    broken, good = run(work())
    assert broken is not None
    assert broken.name == "error"
    assert "No space left on device" in broken.reason
    assert good is not None
    assert good.name == "match"


def test_the_oldest_reports_make_room(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 2)

    async def work() -> None:
        verifications = all_of(results)
        for green in (10, 20, 30):
            await verifications.ask(asked("match", 0, "", green), 60)

    run(work())
    names = [name for _, name in begun(results)]
    assert sorted(path.parent.name for path in results.glob(f"*/{REQUEST}")) == names[1:]


# --- late, and abandoned ---


def test_old_weights_are_no_mismatch_until_new_ones_have_had_their_time(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    late = asked("mismatch", 1, "late")
    result = run(all_of(results).ask(late, 30))
    assert result is not None
    assert (result.name, len(begun(results))) == ("match", 2)


def test_old_weights_are_a_mismatch_when_their_time_is_over(results: Path) -> None:
    result = run(all_of(results, in_force_within=0.0).ask(asked("mismatch", 1, "late"), 30))
    assert result is not None
    assert (result.name, len(begun(results))) == ("mismatch", 1)


def test_what_nobody_waits_for_any_more_is_ended(results: Path) -> None:
    async def abandon() -> None:
        verifications = all_of(results, abandoned=0.1)
        assert await verifications.ask(asked("match", 0, "hang"), 0.05) is None
        await until(lambda: not verifications.waiting)

    run(abandon())
    assert len(begun(results)) == 1


def test_a_result_says_when_it_was_measured_and_how_to_ask_anew(results: Path) -> None:
    verifications = all_of(results, keep=60.0)
    result = run(verifications.ask(asked("match", 0), 30))
    assert result is not None
    said = verifications.validity(result)
    assert said.startswith("[measured 20")
    assert "a new revision, step or attempt is measured anew" in said
    assert result.report in said
