"""From what was counted or written down elsewhere to a run: recordings, access logs, bare counts.

Unlike a live run all of it is there at once. It is replayed in order, so that a verdict that was
reached stands as it did live; but where all counts together are evidence of a mismatch, that is the
verdict, whatever the first of them looked like (each verdict has an error bound of its own).
"""

from __future__ import annotations

import datetime
from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.accesslog import Names, batches_of_log
from analysis.errors import InputError
from analysis.gathering import Batch, Gathering
from analysis.judge import replay
from analysis.question import MOST_REQUESTS, Question
from analysis.recording import RECORDING, Part, batches_of, parts_of, unread_parts
from analysis.run import Run, Stretch, question_from_plain, stamp
from analysis.sequential import SequentialTest
from analysis.split import Split
from analysis.tally import Tally
from analysis.verdict import Verdict

LONGEST_HOST = 200  # characters of the names of files


def is_recording(path: Path) -> bool:
    """Whether a path is a recording, or a report's directory with one in it."""
    if path.is_dir():
        return (path / RECORDING).is_dir() or any(path.glob("part-*.parquet"))
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


class Recorded:
    """Recordings as one: what they say of their run, and their requests. Raises InputError."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.parts: list[Part] = []
        self.notes: list[str] = []
        for path in paths:
            inner = path / RECORDING
            directory = inner if inner.is_dir() else path
            parts = parts_of(directory)
            self.parts += parts
            if directory.is_dir() and (unread := unread_parts(directory, parts)):
                self.notes.append(
                    f"{', '.join(file.name for file in unread)} of {directory} cannot be read and "
                    "is left out"
                )
        self.facts = self.parts[0].facts

    def question(self) -> Question | None:
        """The question that the run was to answer, None where it had none. Raises InputError."""
        plain = self.facts.get("question")
        try:
            return question_from_plain(plain) if plain else None
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(f"{self.parts[0].path} is damaged: {error}") from None

    def run(self, question: Question) -> Run:
        """All of it, counted. Raises InputError."""
        gathering = Gathering(question.split)
        workers = {part.worker for part in self.parts}
        # Several workers have no order in common but by time.
        watch = _Watch(question) if len(workers) == 1 and question.test == "sequential" else None
        for part in self.parts:
            looking = watch is not None and watch.verdict is Verdict.INCONCLUSIVE
            ordered = looking or gathering.wants_order(part.worker)
            for batch in batches_of(part, ordered=ordered):
                gathering.add(batch, part.worker)
                if watch and batch.ordered:
                    watch.look(batch)
        facts = self.facts
        run = _run(
            question,
            gathering,
            host=str(facts.get("host") or _names([str(p.path) for p in self.parts])),
            path=str(facts.get("path") or ""),
            users=int(facts.get("users") or 0),
            unit=str(facts.get("unit") or "request"),
        )
        return _with_verdict(run, watch.verdict if watch else Verdict.INCONCLUSIVE)


class _Watch:
    """The sequential test on ordered batches: it looks when a live one would have."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._test = SequentialTest.of(question)

    @property
    def verdict(self) -> Verdict:
        return self._test.verdict

    def look(self, batch: Batch) -> None:
        """Add a batch in order of sending, until the verdict is known."""
        expected = np.array([name in self._question.split.positive for name in batch.names])
        fine = (batch.codes >= 0) & (batch.statuses // 100 == 2)
        ordinary = fine & np.append(expected, False)[batch.codes]
        special = np.flatnonzero(~ordinary)
        at, number = 0, len(batch.codes)
        while at < number and self._test.verdict is Verdict.INCONCLUSIVE:
            end = min(at + self._test.least_more, number)
            place = int(np.searchsorted(special, at))
            if place < len(special):
                end = min(end, int(special[place]) + 1)
            # Lost ones are rare; the rest is counted at once.
            codes = batch.codes[at:end]
            statuses = batch.statuses[at:end]
            good = statuses // 100 == 2
            counts = np.bincount(codes[good & (codes >= 0)], minlength=len(batch.names))
            self._test.update(
                {name: int(x) for name, x in zip(batch.names, counts, strict=True)},
                errors=int((~good).sum()),
                unidentified=int((good & (codes < 0)).sum()),
            )
            at = end


def run_of_logs(
    sources: Sequence[str], question: Question, mapping: Mapping[str, str], path: str = ""
) -> tuple[Run, list[str]]:
    """Access logs as a run, and notes on what was left out. Raises InputError."""
    gathering, names = Gathering(question.split), Names(question.split, mapping)
    skipped: Multiset[str] = Multiset()
    for source in sources:
        for batch in batches_of_log(source, names, path, skipped):
            gathering.add(batch, source)
    run = _run(question, gathering, host=_names(sources), path=path)
    if not run.tally.requests:
        raise InputError(f"{_names(sources)} has no requests" + (f" for {path}" if path else ""))
    named = any(run.tally.counts[variant] for variant in question.split)
    if names.seen and not named:
        places = ", ".join(name for name, _ in names.seen.most_common(5))
        variants = ",".join(question.split)
        raise InputError(f"which of {variants} is {places}? Give --map PLACE=VARIANT,…")
    notes = [f"{count:,} lines are left out: {reason}" for reason, count in skipped.items()]
    return _with_verdict(run), notes


def run_of_tally(
    tally: Tally, question: Question, *, host: str, started_at: str, elapsed: float = 0.0
) -> Run:
    """Bare counts as a run; nothing is known of their order."""
    stretches = [Stretch(0.0, elapsed, tally)]
    losses = {
        name: count
        for name, count in (("no 2xx answer", tally.errors), ("no variant is named",
                                                               tally.unidentified)) if count
    }  # fmt: skip
    run = Run(_sized(question, tally), host, "", started_at, elapsed, 0, stretches, losses=losses)
    return _with_verdict(run)


def tally_of_counts(text: str, split: Split) -> Tally:
    """Counts from `blue=7412,green=2588`, also `errors=N`, `unidentified=N`. Raises InputError."""
    counts: dict[str, int] = dict.fromkeys(split, 0)
    lost = {"errors": 0, "unidentified": 0}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        digits = value.replace("_", "")
        if not name or not equals or not digits.isdecimal():
            raise InputError(f"--counts {part!r} is not VARIANT=COUNT, e.g. blue=7412,green=2588")
        target = lost if name in lost and name not in split else counts
        target[name] = target.get(name, 0) + int(digits)
    tally = Tally(counts, **lost)
    if not tally.requests:
        raise InputError("--counts has no responses: e.g. blue=7412,green=2588")
    return tally


def _run(question: Question, gathering: Gathering, *, host: str, path: str, **facts: Any) -> Run:
    moment = datetime.datetime.fromtimestamp(gathering.started, datetime.UTC)
    run = Run(
        question=question,
        host=host,
        path=path,
        started_at=stamp(moment),
        elapsed=gathering.elapsed,
        users=facts.get("users", 0),
        unit=facts.get("unit", "request"),
        stretches=gathering.stretches,
        latency=gathering.latency,
        losses=gathering.losses,
        order=gathering.order,
    )
    return replace(run, question=_sized(question, run.tally))


def _sized(question: Question, tally: Tally) -> Question:
    """The same question, of as many requests as there are; gateways are not told apart."""
    return replace(question, requests=min(max(tally.requests, 1), MOST_REQUESTS), gateways=1)


def _with_verdict(run: Run, decided: Verdict = Verdict.INCONCLUSIVE) -> Run:
    if run.question.test == "fixed":
        return run
    if decided is Verdict.INCONCLUSIVE:
        decided = replay(run).verdict
    if decided is Verdict.MATCH:
        tally, test = run.tally, SequentialTest.of(run.question)
        if test.update(tally.counts, tally.errors, tally.unidentified) is Verdict.MISMATCH:
            decided = Verdict.MISMATCH
    return replace(run, decided="" if decided is Verdict.INCONCLUSIVE else str(decided))


def _names(sources: Sequence[str]) -> str:
    text = ", ".join(dict.fromkeys(Path(source).name or source for source in sources))
    return text if len(text) <= LONGEST_HOST else f"{text[:LONGEST_HOST]}…"
