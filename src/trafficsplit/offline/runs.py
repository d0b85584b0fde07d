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

from trafficsplit.analysis.judge import replay
from trafficsplit.analysis.plain import question_from_plain, stamp
from trafficsplit.analysis.question import MOST_REQUESTS, Question
from trafficsplit.analysis.run import Counted, Ending, Run, Stretch, Subject
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError
from trafficsplit.load.parquet import RECORDING
from trafficsplit.offline.access_log import Names, batches_of_log
from trafficsplit.offline.batches import BatchCounter
from trafficsplit.offline.parts import Part, batches_of, parts_of, unread_parts
from trafficsplit.offline.replay import Replay
from trafficsplit.settings.numbers import count

LONGEST_HOST = 200  # characters of the names of files


def is_recording(path: Path) -> bool:
    """Return whether a path is a recording, or a report's directory with one in it."""
    if path.is_dir():
        return (path / RECORDING).is_dir() or any(path.glob("part-*.parquet"))
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False


class Recordings:
    """Recordings as one: what they say of their run, and their requests. Raises InputError."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.parts: list[Part] = []
        self.notes: list[str] = []
        for path in paths:
            inner = path / RECORDING
            directory = inner if inner.is_dir() else path
            parts = parts_of(directory)
            self.parts += parts
            unread = unread_parts(directory, parts) if directory.is_dir() else []
            if unread:
                names = ", ".join(file.name for file in unread)
                self.notes.append(f"{names} of {directory} cannot be read and is left out")
        self.facts = self.parts[0].facts

    def question(self) -> Question | None:
        """Return the question that the run was to answer, None where it had none.

        Raises InputError.
        """
        plain = self.facts.get("question")
        try:
            return question_from_plain(plain) if plain else None
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(f"{self.parts[0].path} is damaged: {error}") from None

    def run(self, question: Question) -> Run:
        """Return all of it, counted. Raises InputError."""
        counter = BatchCounter(question.split)
        # Several workers have no order in common but by time.
        alone = len({part.worker for part in self.parts}) == 1
        test = Replay(question) if alone and question.test == "sequential" else None
        for part in self.parts:
            looking = test is not None and test.verdict is Verdict.INCONCLUSIVE
            ordered = looking or counter.wants_order(part.worker)
            for batch in batches_of(part, ordered=ordered):
                counter.add(batch, part.worker)
                if test is not None and batch.ordered:
                    test.look(batch)
        subject = self._subject(counter)
        decided = test.verdict if test is not None else Verdict.INCONCLUSIVE
        return _with_verdict(_run(question, counter, subject), decided)

    def _subject(self, counter: BatchCounter) -> Subject:
        facts = self.facts
        return Subject(
            host=str(facts.get("host") or _names([str(part.path) for part in self.parts])),
            path=str(facts.get("path") or ""),
            unit=str(facts.get("unit") or "request"),
            users=int(facts.get("users") or 0),
        )


def run_of_logs(
    sources: Sequence[str], question: Question, mapping: Mapping[str, str], path: str = ""
) -> tuple[Run, list[str]]:
    """Return access logs as a run, and notes on what was left out. Raises InputError."""
    counter = BatchCounter(question.split)
    names = Names(question.split, mapping)
    skipped: Multiset[str] = Multiset()
    for source in sources:
        for batch in batches_of_log(source, names, path, skipped):
            counter.add(batch, source)
    run = _run(question, counter, Subject(host=_names(sources), path=path))
    if not run.tally.requests:
        raise InputError(f"{_names(sources)} has no requests" + (f" for {path}" if path else ""))
    named = any(run.tally.counts[variant] for variant in question.split)
    if names.seen and not named:
        places = ", ".join(name for name, _ in names.seen.most_common(5))
        variants = ",".join(question.split)
        raise InputError(f"which of {variants} is {places}? Give --map PLACE=VARIANT,…")
    notes = [f"{count:,} lines are left out: {reason}" for reason, count in skipped.items()]
    return _with_verdict(run), notes


def run_of_tally(tally: Tally, question: Question, subject: Subject) -> Run:
    """Return bare counts as a run; nothing is known of their order."""
    losses = {"no 2xx answer": tally.errors, "no variant is named": tally.unidentified}
    counted = Counted(
        stretches=[Stretch(0.0, subject.elapsed, tally)],
        losses={reason: number for reason, number in losses.items() if number},
    )
    return _with_verdict(Run(_sized(question, tally), subject, counted))


def tally_of_counts(text: str, split: Split) -> Tally:
    """Return counts from `blue=7412,green=2588`, also `errors=N`, `unidentified=N`.

    Raises InputError.
    """
    counts: dict[str, int] = dict.fromkeys(split, 0)
    lost = {"errors": 0, "unidentified": 0}
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name = name.strip()
        value = value.strip()
        if not name or not equals or not value:
            raise InputError(
                f"--counts {part.strip()!r} is not VARIANT=COUNT, e.g. blue=7412,green=2588"
            )
        number = 0 if value == "0" else count(value, f"the count of {name}")
        target = lost if name in lost and name not in split else counts
        target[name] = target.get(name, 0) + number
    tally = Tally(counts, **lost)
    if not tally.requests:
        raise InputError("--counts has no responses: e.g. blue=7412,green=2588")
    return tally


def _run(question: Question, counter: BatchCounter, subject: Subject) -> Run:
    moment = datetime.datetime.fromtimestamp(counter.started, datetime.UTC)
    subject = replace(subject, started_at=stamp(moment), elapsed=counter.elapsed)
    run = Run(question, subject, counter.counted)
    return replace(run, question=_sized(question, run.tally))


def _sized(question: Question, tally: Tally) -> Question:
    """Return the same question, of as many requests as there are; gateways are not told apart."""
    return replace(question, requests=min(max(tally.requests, 1), MOST_REQUESTS), gateways=1)


def _with_verdict(run: Run, decided: Verdict = Verdict.INCONCLUSIVE) -> Run:
    if run.question.test == "fixed":
        return run
    if decided is Verdict.INCONCLUSIVE:
        decided = replay(run).verdict
    if decided is Verdict.MATCH:
        tally = run.tally
        test = SequentialTest.of(run.question)
        if test.update(tally.counts, tally.errors, tally.unidentified) is Verdict.MISMATCH:
            decided = Verdict.MISMATCH
    known = None if decided is Verdict.INCONCLUSIVE else decided
    return replace(run, ending=Ending(decided=known))


def _names(sources: Sequence[str]) -> str:
    text = ", ".join(dict.fromkeys(Path(source).name or source for source in sources))
    return text if len(text) <= LONGEST_HOST else f"{text[:LONGEST_HOST]}…"
