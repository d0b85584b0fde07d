"""The state of a release on its way: what was, what is set, what comes, and how each step went.

It is in a file before each thing that is done, so that whatever ends us, the next can go on or go
back from there.
"""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis import InputError
from analysis.files import replace_text
from analysis.options import asked_of
from analysis.split import number
from analysis.weights import completed, in_words
from trafficsplit.effect import VERIFY, Effect, observed
from trafficsplit.page import rendered
from trafficsplit.sources import LabSource, Source, percent, source_of

STATE = "rollout.json"
MISMATCH = 1
PATIENCE, LAST_LOOK = 30.0, 3.0  # seconds until new weights are given up; beyond a deadline


def steps_of(text: str | None) -> list[float]:
    """Weights in per cent from `5,25,50,100`. Raises InputError."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not parts:
        raise InputError("no steps: give --steps 5,25,50,100")
    steps = [number(part.removesuffix("%"), f"the step {part}") for part in parts]
    for step in steps:
        if not 0 <= step <= 100:
            raise InputError(f"the step {step:g} is no weight: give per cent, from 0 to 100")
    return steps


def seconds(text: str, what: str) -> float:
    """A time from `10`, `10s` or `2m`. Raises InputError."""
    factor = 60.0 if text.endswith("m") else 1.0
    value = factor * number(text.rstrip("sm"), what)
    if value < 0:
        raise InputError(f"{what} is {text}: give seconds, from 0")
    return value


@dataclass
class Release:
    """One release. Weights are in per cent, by variant; `log` has a dict for each verification.

    `where_from` has the options that name the source of the weights and the gateway, none of them
    for the lab. `phase` is `setting`,
    `verifying`, `passed`, `going back` or `finished`.
    """

    directory: Path
    variant: str
    before: Mapping[str, float]
    weights: Mapping[str, float]
    steps: Sequence[float]
    pause: float = 0.0
    hold: bool = False
    in_force_within: float | None = None  # seconds
    where_from: Mapping[str, Any] = field(default_factory=dict)
    verify_options: Sequence[str] = ()
    index: int = 0
    phase: str = "setting"
    log: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begun(cls, directory: Path, *, variant: str, **settings: Any) -> Release:
        """A new one, on the lab where no other source is named. Raises InputError."""
        if (directory / STATE).exists() and cls.read(directory).phase != "finished":
            raise InputError(
                f"a rollout is unfinished ({cls.read(directory).where()}), or --report elsewhere"
            )
        release = cls(directory, variant, {}, {}, **settings)
        before = percent(release.source.split())
        completed({variant: 0.0}, before)  # whether there is such a variant
        release.before = release.weights = before
        release.asking()  # whether there is a gateway to ask
        release.write()
        return release

    @cached_property  # a cluster is asked for credentials once, and not while a change is timed
    def source(self) -> Source:
        """Where the weights are set."""
        return source_of(self.where_from, asked_of(self.where_from)) or LabSource()

    def asking(self) -> list[str]:
        """Verify's options for the gateway. Raises InputError where none is known."""
        host, resolve = self.where_from.get("host", ""), ""
        if not host:
            host, resolve = self.source.gateway()
        if not host:
            raise InputError(f"which gateway does {self.source} mean? Give --host http://ADDRESS")
        given = {"host": host, "resolve": resolve, "path": self.where_from.get("path", "")}
        options = [part for name, text in given.items() if text for part in (f"--{name}", text)]
        for line in str(self.where_from.get("header", "")).splitlines():
            options += ["--header", line]
        return options

    @classmethod
    def read(cls, directory: Path) -> Release:
        """The one whose state is in a directory. Raises InputError."""
        try:
            facts = json.loads((directory / STATE).read_text("utf-8"))
            return cls(directory, **facts)
        except OSError as error:
            raise InputError(f"no rollout in {directory}: {error.strerror or error}") from None
        except (ValueError, TypeError) as error:
            raise InputError(f"the rollout in {directory} is damaged: {error}") from None

    def write(self) -> None:
        """Put the state into its file, whole or not at all. Raises InputError."""
        facts = {name: value for name, value in asdict(self).items() if name != "directory"}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            replace_text(self.directory / STATE, json.dumps(facts, indent=2) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.directory} cannot be written ({error.strerror or error}): give another "
                "--report DIR"
            ) from None

    def where(self) -> str:
        """What state the gateway is in, and the ways out."""
        return (
            f"the gateway has {in_words(self.weights)}; go on with --continue, go back with --undo"
        )

    def next_weights(self) -> dict[str, float] | None:
        """The weights of the present step, None behind the last."""
        if self.index >= len(self.steps):
            return None
        return completed({self.variant: self.steps[self.index]}, self.before)

    def set(self, weights: Mapping[str, float]) -> Effect | None:
        """Put weights in force, and see when they are; None where nothing changes.

        Raises InputError.
        """
        if self.phase != "going back":
            self.phase = "setting"
        before = percent(self.source.split())
        # Written first: from here on the gateway may have them.
        self.weights = dict(weights)
        self.write()
        if all(abs(before.get(v, 0.0) - w) < 1e-6 for v, w in weights.items()):
            return None
        patience = PATIENCE if self.in_force_within is None else self.in_force_within + LAST_LOOK
        return observed(
            # What tells variants apart, and whom to trust, holds here too.
            [*self.asking(), *self.verify_options],
            before,
            weights,
            lambda: self.source.set(weights),
            self.directory / f"{len(self.log) + 1:02d}-effect",
            patience,
        )

    def verify(self, weights: Mapping[str, float], effect: Effect | None) -> Mapping[str, Any]:
        """Verify them by a process of its own, and put down how it went."""
        if self.phase != "going back":
            self.phase = "verifying"
        self.write()
        report = self.directory / f"{len(self.log) + 1:02d}"
        expected = ",".join(f"{variant}={weight:g}" for variant, weight in weights.items())
        run = subprocess.run(
            [*VERIFY, *self.asking(), "--weights", expected, "--report", str(report),
             *self.verify_options],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        try:
            verdict = json.loads((report / "verdict.json").read_text("utf-8"))
        except (OSError, ValueError):
            said = run.stderr.strip().splitlines()
            raise InputError(said[-1].removeprefix("trafficsplit: ") if said else
                             f"verify ended with code {run.returncode}") from None  # fmt: skip
        entry = {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "weights": dict(weights),
            "shares": verdict["shares"],
            "confidence": verdict["confidence"],
            "verdict": verdict["verdict"],
            "reason": verdict["reason"],
            "requests": verdict["requests"],
            "errors": verdict["errors"],
            "exit_code": run.returncode,
            "report": report.name,
            "effect": effect.as_plain() if effect else None,
            "effect_text": str(effect) if effect else "nothing changed",
            "back": self.phase == "going back",
        }
        late = self._too_late(effect)
        if late and run.returncode == 0:
            entry |= {"verdict": "mismatch", "reason": late, "exit_code": MISMATCH}
        self.log.append(entry)
        self.write()
        write_timeline(self)
        return entry

    def _too_late(self, effect: Effect | None) -> str:
        """What to say where the weights came into force too late, or nobody can tell."""
        if self.in_force_within is None or effect is None or effect.latest is None:
            return ""
        if effect.latest <= self.in_force_within:
            return ""
        return (
            f"The weights came into force up to {effect.latest:.2f} s after they were set, and "
            f"--in-force-within says {self.in_force_within:g} s."
        )

    def passed(self) -> None:
        """The present step is verified."""
        self.index, self.phase = self.index + 1, "passed"
        self.write()

    def going_back(self) -> None:
        """No more steps."""
        self.phase = "going back"
        self.write()

    def finish(self) -> None:
        """All is said."""
        self.phase = "finished"
        self.write()
        write_timeline(self)


def write_timeline(release: Release) -> None:
    """Write rollout.html: every step, when, what was set and what was seen. Raises OSError."""
    page = rendered("rollout.html", release=release)
    (release.directory / "rollout.html").write_text(page, "utf-8")
