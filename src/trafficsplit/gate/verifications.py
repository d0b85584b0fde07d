"""Verifications: one at a time, joined by whoever asks the same, kept on disk.

Each is a `trafficsplit verify` of its own, with its report in a directory of its own; whatever ends
the gate, what was found is there when it starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from analysis import InputError
from analysis.files import replace_text
from analysis.text import one_line
from gate.asked import Verification
from lab.processes import dying_with_us, environment_without

WRONG_USAGE = 2
FRESH = 300.0  # seconds in which a result that nobody has heard of is still news
MOST_KEPT = 1000  # reports
MOST_WAITING = 32  # verifications
ASKED = "asked.json"


class TooManyError(InputError):
    """More verifications are waiting than may wait."""


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
        decided = self.name in ("match", "mismatch", "inconclusive")
        return decided and not self.verdict.get("interrupted")


@dataclass
class Settings:
    """How verifications are run: the directory of their reports, verify's command, limits.

    `keep` is how long a result stands, `longest` how long a verification may take, in seconds.
    """

    directory: Path
    command: Sequence[str]
    keep: float = 3600.0
    longest: float = 900.0
    on_result: Callable[[Result], None] = field(default=lambda _: None)


class Verifications:
    """Those that wait, the one that runs, and those that have ended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
        directory = self._settings.directory
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
            with contextlib.suppress(OSError, ValueError, TypeError):
                verification = Verification(**json.loads(file.read_text("utf-8")))
                written = file.with_name("verdict.json")
                verdict = json.loads(written.read_text("utf-8"))
                self._take(
                    Result(verification, verdict, str(verdict["reason"]), written.stat().st_mtime,
                           file.parent.name, told=True)
                )  # fmt: skip

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
            return age < self._settings.keep
        return not result.told and age < FRESH

    async def _verified(self, verification: Verification) -> Result:
        try:
            async with self._one_at_a_time:
                result = await self._run(verification)
        except Exception as error:  # a full disk, say: whoever asks is told, and may ask again
            reason = one_line(f"{type(error).__name__}: {error}")
            result = Result(verification, {}, reason, time.time())
        finally:
            self._jobs.pop(verification.key, None)
        self._take(result)
        self._settings.on_result(result)
        return result

    async def _run(self, verification: Verification) -> Result:
        if self.stopping.is_set():
            return Result(verification, {}, "the gate is stopping", time.time())
        report = self._directory(verification)
        command = [
            *self._settings.command, "--host", verification.host, "--path",
            verification.path, "--weights", verification.weights, "--report", str(report),
        ]  # fmt: skip
        for name, value in verification.settings.items():
            command += [f"--{name.replace('_', '-')}", value]
        self._process = process = await asyncio.create_subprocess_exec(
            *command,
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
            await asyncio.wait_for(asyncio.shield(said), self._settings.longest)
        except TimeoutError:
            process.terminate()  # it reports on what there is
        error = (await said)[1].decode("utf-8", "replace").strip().splitlines()
        self._process = None
        try:
            verdict = json.loads((report / "verdict.json").read_text("utf-8"))
            reason = one_line(verdict["reason"], 1000)
            return Result(verification, verdict, reason, time.time(), report.name)
        except (OSError, ValueError, KeyError):
            reason = one_line((error or ["it ended without a verdict"])[-1])
            reason = reason.removeprefix("trafficsplit: ")
            wrong = process.returncode == WRONG_USAGE
            return Result(verification, {}, reason, time.time(), wrong=wrong)

    def _directory(self, verification: Verification) -> Path:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        report = self._settings.directory / f"{now}-{verification.key}"
        report.mkdir(parents=True)
        replace_text(report / ASKED, json.dumps(asdict(verification), indent=2) + "\n")
        every = sorted(self._settings.directory.glob(f"*/{ASKED}"))
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
            await asyncio.wait(set(self._jobs.values()), timeout=30)
