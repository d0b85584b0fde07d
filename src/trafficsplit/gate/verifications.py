"""Verifications: one at a time, joined by all who ask the same, kept on disk.

Each is a process of its own, with its report in a directory of its own; whatever ends the gate,
what was found is there when it starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trafficsplit.errors import ExitCode, InputError, TooManyError
from trafficsplit.files import replace_text
from trafficsplit.gate.requests import Verification, verification_from_plain
from trafficsplit.gate.worker import ASKED
from trafficsplit.processes import dying_with_us, environment_without
from trafficsplit.report.directory import VERDICT
from trafficsplit.text import one_line

FRESH = 300.0  # seconds in which a result that nobody has heard of is still news
MOST_KEPT = 1000  # reports
MOST_WAITING = 32  # verifications
STOPPING = 30.0  # seconds that verifications have to end in
DECIDED = ("match", "mismatch", "inconclusive")

log = logging.getLogger(__name__)


@dataclass
class Result:
    """How a verification ended. `verdict` is its verdict.json, empty where it came to nothing.

    `reason` is one line; `wrong` says that it was wrongly asked for, `told` that somebody knows.
    """

    verification: Verification
    verdict: Mapping[str, Any]
    reason: str
    at: float  # seconds since the epoch
    report: str = ""
    wrong: bool = False
    told: bool = False

    @property
    def name(self) -> str:
        """`match`, `mismatch`, `inconclusive`, `failing`, or `error`."""
        return str(self.verdict.get("verdict", "error"))

    @property
    def stands(self) -> bool:
        """Whether asking again on the same occasion must bring the same answer.

        A statistical test that is retried until it passes is none. A gateway that did not answer
        may be asked again, and so may one whose verification was interrupted.
        """
        return self.name in DECIDED and not self.verdict.get("interrupted")


@dataclass(frozen=True)
class Keeping:
    """Where reports are kept, and for how long.

    `keep` is how long a result stands, `longest` how long a verification may take, in seconds.
    """

    directory: Path
    keep: float = 3600.0
    longest: float = 900.0


class Verifications:
    """Those that wait, the one that runs, and those that have ended."""

    def __init__(self, keeping: Keeping, on_result: Callable[[Result], None]) -> None:
        self._keeping = keeping
        self._on_result = on_result
        self._jobs: dict[str, asyncio.Task[Result]] = {}
        self._results: dict[str, Result] = {}
        self._one_at_a_time = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self.stopping = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Verifications that have not ended."""
        return len(self._jobs)

    def recall(self) -> None:
        """Take up the results of an earlier gate. Raises InputError."""
        directory = self._keeping.directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"{directory} cannot be written ({error.strerror or error}): give other --results"
            ) from None
        for file in sorted(directory.glob(f"*/{ASKED}")):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                self._take(_recalled(file))

    async def ask(self, verification: Verification, wait: float) -> Result | None:
        """Its result, None where it is not known within `wait` seconds: it goes on then.

        Raises TooManyError.
        """
        key = verification.key
        if key not in self._jobs:
            result = self._results.get(key)
            if result and self._answers(result):
                result.told = True
                return result
            if self.stopping.is_set():
                return None
            if len(self._jobs) >= MOST_WAITING:
                raise TooManyError(f"{MOST_WAITING} verifications are waiting already: ask later")
            self._jobs[key] = asyncio.create_task(self._verified(verification))
        job = self._jobs[key]
        stop = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({job, stop}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if not job.done():
            return None
        result = job.result()
        result.told = True
        return result

    def _answers(self, result: Result) -> bool:
        age = time.time() - result.at
        if result.verification.identity and result.stands:
            return age < self._keeping.keep
        return not result.told and age < FRESH

    async def _verified(self, verification: Verification) -> Result:
        try:
            async with self._one_at_a_time:
                result = await self._run(verification)
        except Exception as error:  # a full disk, say: those who ask hear of it, and may ask again
            log.exception("a verification has failed")
            reason = one_line(f"{type(error).__name__}: {error}")
            result = Result(verification, {}, reason, time.time())
        finally:
            self._jobs.pop(verification.key, None)
        self._take(result)
        self._on_result(result)
        return result

    async def _run(self, verification: Verification) -> Result:
        if self.stopping.is_set():
            return Result(verification, {}, "the gate is stopping", time.time())
        report = self._directory(verification)
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "trafficsplit.gate.worker",
            str(report.absolute()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # What is a pipeline's is not the gate's to write.
            env=environment_without("TRAFFICSPLIT_", "LOCUST_", "GITHUB_"),
            preexec_fn=dying_with_us(signal.SIGTERM),
            start_new_session=True,
        )
        said = asyncio.create_task(process.communicate())
        try:
            await asyncio.wait_for(asyncio.shield(said), self._keeping.longest)
        except TimeoutError:
            process.terminate()  # it reports on what there is
        lines = (await said)[1].decode("utf-8", "replace").strip().splitlines()
        self._process = None
        return _result(verification, report, process.returncode, lines)

    def _directory(self, verification: Verification) -> Path:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        report = self._keeping.directory / f"{now}-{verification.key}"
        report.mkdir(parents=True)
        replace_text(report / ASKED, json.dumps(verification.as_plain(), indent=2) + "\n")
        every = sorted(self._keeping.directory.glob(f"*/{ASKED}"))
        for file in every[:-MOST_KEPT]:
            shutil.rmtree(file.parent, ignore_errors=True)
        return report

    def _take(self, result: Result) -> None:
        self._results[result.verification.key] = result
        while len(self._results) > MOST_KEPT:
            del self._results[next(iter(self._results))]

    async def stop(self) -> None:
        """Run nothing more; the one that runs reports on what there is."""
        self.stopping.set()
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        if self._jobs:
            await asyncio.wait(set(self._jobs.values()), timeout=STOPPING)


def _recalled(asked: Path) -> Result:
    """Return an earlier result. Raises OSError, ValueError, TypeError, KeyError."""
    verification = verification_from_plain(json.loads(asked.read_text("utf-8")))
    written = asked.with_name(VERDICT)
    verdict = json.loads(written.read_text("utf-8"))
    reason = one_line(verdict["reason"], 1000)
    at = written.stat().st_mtime
    return Result(verification, verdict, reason, at, asked.parent.name, told=True)


def _result(verification: Verification, report: Path, code: int | None, said: list[str]) -> Result:
    """Return how a worker's verification ended: only its own verdict, and only with its code."""
    try:
        verdict = json.loads((report / VERDICT).read_text("utf-8"))
        if code == ExitCode[str(verdict["verdict"]).upper()]:
            reason = one_line(verdict["reason"], 1000)
            return Result(verification, verdict, reason, time.time(), report.name)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    reason = one_line((said or ["it ended without a verdict"])[-1])
    reason = reason.removeprefix("trafficsplit: ")
    wrong = code == ExitCode.WRONG_USAGE
    return Result(verification, {}, reason, time.time(), wrong=wrong)
