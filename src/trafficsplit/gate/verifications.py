"""Verifications: they run one at a time, are shared by equal requests, and are kept on disk.

Each has a process and a directory of its own, so that its result is there when the gate starts
again, whatever has ended it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import logging
import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trafficsplit.analysis.causes.candidates import OLD_WEIGHTS
from trafficsplit.errors import ExitCode, InputError, TooManyError
from trafficsplit.files import replace_text
from trafficsplit.gate.requests import Verification, verification_from_plain
from trafficsplit.gate.worker import REQUEST
from trafficsplit.processes import dying_with_us, environment_without
from trafficsplit.report.directory import VERDICT
from trafficsplit.text import one_line

FRESH = 300.0  # seconds in which a result can still be delivered for the first time
MOST_KEPT = 1000  # reports
MOST_WAITING = 32  # verifications
STOPPING = 30.0  # seconds in which verifications have to end when the gate stops
LONGEST_REASON = 1000  # characters
PAUSE = 1.0  # seconds before weights that are not in force yet are verified again
LOOK = 0.2  # seconds between two looks whether a verification has to end
DECIDED = ("match", "mismatch", "inconclusive")

log = logging.getLogger(__name__)


@dataclass
class Result:
    """How a verification has ended. `verdict` is its verdict.json, empty where there is none.

    `reason` is one line. `wrong` says that the request was wrong, `delivered` that it was answered
    with this result.
    """

    verification: Verification
    verdict: Mapping[str, Any]
    reason: str
    at: float  # seconds since the epoch
    report: str = ""
    wrong: bool = False
    delivered: bool = False

    @property
    def name(self) -> str:
        """`match`, `mismatch`, `inconclusive`, `failing`, or `error`."""
        return str(self.verdict.get("verdict", "error"))

    @property
    def stands(self) -> bool:
        """Whether a request on the same occasion must get the same answer.

        A statistical test that is repeated until it passes has no error rate. A verification may be
        repeated where the gateway did not answer, or where it was interrupted.
        """
        return self.name in DECIDED and not self.verdict.get("interrupted")

    @property
    def finds_old_weights(self) -> bool:
        """Whether the cause of a mismatch is that the weights of before are still in force."""
        diagnosis = self.verdict.get("diagnosis") or {}
        return self.name == "mismatch" and OLD_WEIGHTS in str(diagnosis.get("cause", ""))


@dataclass(frozen=True)
class Keeping:
    """Where reports are kept, and for how long.

    A result stands for `keep` seconds; a verification may take `longest` seconds. Weights may take
    `in_force_within` seconds to be in force. A verification that nobody has asked for in
    `abandoned` seconds is ended.
    """

    directory: Path
    keep: float = 3600.0
    longest: float = 900.0
    in_force_within: float = 30.0
    abandoned: float = 180.0


class Verifications:
    """The verifications that wait, the one that runs, and those that have ended.

    `on_result` is called with each result.
    """

    def __init__(self, keeping: Keeping, on_result: Callable[[Result], None]) -> None:
        self._keeping = keeping
        self._on_result = on_result
        self._jobs: dict[str, asyncio.Task[Result]] = {}
        self._results: dict[str, Result] = {}
        self._wanted: dict[str, float] = {}  # until when, on the clock, a verification is
        self._one_at_a_time = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self.stopping = asyncio.Event()

    @property
    def waiting(self) -> int:
        """The number of verifications that have not ended."""
        return len(self._jobs)

    def recall(self) -> None:
        """Read the results of an earlier gate. Raises InputError where none can be written."""
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
        recalled = 0
        for file in sorted(directory.glob(f"*/{REQUEST}")):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                self._remember(_recall(file))
                recalled += 1
        log.info("%s earlier results in %s", recalled, directory)

    async def ask(self, verification: Verification, wait: float) -> Result | None:
        """Return the result of a verification, which is begun where there is none that stands.

        Returns None where it is not known within `wait` seconds; the verification goes on then.
        Raises TooManyError.
        """
        key = verification.key
        if key not in self._jobs:
            result = self._results.get(key)
            if result and self._answers(result):
                result.delivered = True
                return result
            if self.stopping.is_set():
                return None
            if len(self._jobs) >= MOST_WAITING:
                raise TooManyError(f"{MOST_WAITING} verifications are waiting already: ask later")
            self._jobs[key] = asyncio.create_task(self._verify(verification))
        job = self._jobs[key]
        self._wanted[key] = time.monotonic() + wait + self._keeping.abandoned
        stop = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({job, stop}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not job.done():
                self._wanted[key] = time.monotonic() + self._keeping.abandoned
        if not job.done():
            return None
        result = job.result()
        result.delivered = True
        return result

    def _answers(self, result: Result) -> bool:
        """Return whether a result answers a request for the same verification."""
        age = time.time() - result.at
        if result.verification.identity and result.stands:
            return age < self._keeping.keep
        return not result.delivered and age < FRESH

    def validity(self, result: Result) -> str:
        """Return when a result was measured, until when it stands, and how to ask anew."""
        at, until = (
            datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for seconds in (result.at, result.at + self._keeping.keep)
        )
        if not result.verification.identity:
            return f"[measured {at}; report {result.report}]"
        return (
            f"[measured {at}, stands until {until}; a new revision, step or attempt is measured "
            f"anew; report {result.report}]"
        )

    async def _verify(self, verification: Verification) -> Result:
        try:
            async with self._one_at_a_time:
                log.info("begun: %s %s", verification.target, verification.weights)
                result = await self._run_until_in_force(verification)
                log.info("ended: %s %s: %s", verification.target, verification.weights, result.name)
        except Exception as error:  # a full disk, say: clients hear of it, and may ask again
            log.exception("a verification has failed")
            reason = one_line(f"{type(error).__name__}: {error}")
            result = Result(verification, {}, reason, time.time())
        finally:
            self._jobs.pop(verification.key, None)
            self._wanted.pop(verification.key, None)
        self._remember(result)
        self._on_result(result)
        return result

    async def _run_until_in_force(self, verification: Verification) -> Result:
        """Run it, and again while the weights of before are in force and may still be."""
        deadline = time.monotonic() + self._keeping.in_force_within
        while True:
            result = await self._run(verification)
            if not result.finds_old_weights or time.monotonic() > deadline:
                return result
            if self.stopping.is_set():
                return result
            log.info("not in force yet: %s %s", verification.target, verification.weights)
            await asyncio.sleep(PAUSE)

    async def _run(self, verification: Verification) -> Result:
        if self.stopping.is_set():
            return Result(verification, {}, "the gate is stopping", time.time())
        report = self._create_report(verification)
        process = await _start_worker(report)
        self._process = process
        if self.stopping.is_set():  # since the start was begun
            _terminate(process)
        asked = json.dumps(verification.as_plain()).encode()
        communication = asyncio.create_task(process.communicate(asked))
        deadline = time.monotonic() + self._keeping.longest
        while not communication.done():
            await asyncio.wait({communication}, timeout=LOOK)
            why = self._why_end(verification, deadline)
            if why and not communication.done():
                log.warning("%s %s, and is ended", verification.target, why)
                _terminate(process)  # it judges what has been counted
                break
        _, output = await communication
        self._process = None
        lines = output.decode("utf-8", "replace").strip().splitlines()
        return _result(verification, report, process.returncode, lines)

    def _why_end(self, verification: Verification, deadline: float) -> str:
        """Return why a verification has to end now, empty where it may go on."""
        now = time.monotonic()
        if now > deadline:
            return "takes too long"
        if now > self._wanted.get(verification.key, math.inf):
            return "is waited for by nobody"
        return ""

    def _create_report(self, verification: Verification) -> Path:
        """Create the directory of a report, and remove the oldest ones. Raises OSError."""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        report = self._keeping.directory / f"{now}-{verification.key}"
        report.mkdir(parents=True)
        replace_text(report / REQUEST, json.dumps(verification.as_kept(), indent=2) + "\n")
        every = sorted(self._keeping.directory.glob(f"*/{REQUEST}"))
        for file in every[:-MOST_KEPT]:
            shutil.rmtree(file.parent, ignore_errors=True)
        return report

    def _remember(self, result: Result) -> None:
        self._results[result.verification.key] = result
        while len(self._results) > MOST_KEPT:
            del self._results[next(iter(self._results))]

    async def stop(self) -> None:
        """Run no more verifications; the one that runs judges what it has counted."""
        self.stopping.set()
        if self._process:
            _terminate(self._process)
        if self._jobs:
            await asyncio.wait(set(self._jobs.values()), timeout=STOPPING)


def _terminate(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, if it has not ended."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


async def _start_worker(report: Path) -> asyncio.subprocess.Process:
    """Start the process that verifies into a report's directory. Raises OSError."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "trafficsplit.gate.worker", str(report.absolute())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # Options and a pipeline's files in the gate's environment are not the worker's.
        env=environment_without("TRAFFICSPLIT_", "LOCUST_", "GITHUB_"),
        preexec_fn=dying_with_us(signal.SIGTERM),
        start_new_session=True,
    )


def _recall(request: Path) -> Result:
    """Return an earlier result. Raises OSError, ValueError, TypeError, KeyError."""
    verification = verification_from_plain(json.loads(request.read_text("utf-8")))
    file = request.with_name(VERDICT)
    verdict = json.loads(file.read_text("utf-8"))
    reason = one_line(verdict["reason"], LONGEST_REASON)
    at = file.stat().st_mtime
    return Result(verification, verdict, reason, at, request.parent.name, delivered=True)


def _result(verification: Verification, report: Path, code: int | None, said: list[str]) -> Result:
    """Return how a worker's verification has ended; `said` are the lines of its standard error.

    A verdict counts only with the exit code that belongs to it.
    """
    try:
        verdict = json.loads((report / VERDICT).read_text("utf-8"))
        if code == ExitCode[str(verdict["verdict"]).upper()]:
            reason = one_line(verdict["reason"], LONGEST_REASON)
            return Result(verification, verdict, reason, time.time(), report.name)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    last = said[-1] if said else "it ended without a verdict"
    reason = one_line(last).removeprefix("trafficsplit: ")
    wrong = code == ExitCode.WRONG_USAGE
    return Result(verification, {}, reason, time.time(), wrong=wrong)
