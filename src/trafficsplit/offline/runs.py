"""From what was counted or written down elsewhere to a run: recordings, access logs, bare counts.

Unlike a live run all of it is there at once. It is replayed in order, so that a verdict that was
reached stands, as it did live. But if all counts together are evidence of a mismatch, that is the
verdict, whatever the first of them looked like: each verdict has an error bound of its own.
"""

from __future__ import annotations

import datetime
from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trafficsplit.analysis.outcome import outcome
from trafficsplit.analysis.plain import question_from_plain, stamp
from trafficsplit.analysis.question import MOST_REQUESTS, Question
from trafficsplit.analysis.run import Counted, Ending, Run, Stretch, Subject
from trafficsplit.analysis.sequential import SequentialTest
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.errors import InputError
from trafficsplit.load.parquet import RECORDING
from trafficsplit.offline.access_log import batches_of_log
from trafficsplit.offline.batches import BatchCounter
from trafficsplit.offline.destinations import Destinations
from trafficsplit.offline.parts import Part, batches_of, parts_of, unread_parts
from trafficsplit.offline.replay import Replay, UserReplay
from trafficsplit.settings.numbers import count

LONGEST_HOST = 200  # characters, of the names of files in place of a host


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
    """Recordings as one: what they say of their run, and their requests.

    `facts` are the first part's, `notes` say what was left out. Raises InputError.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.parts: list[Part] = []
        self.notes: list[str] = []
        for path in paths:
            self._add(path)
        self.facts = self.parts[0].facts

    def _add(self, path: Path) -> None:
        if (path / RECORDING).is_dir():
            path = path / RECORDING
        parts = parts_of(path)
        self.parts += parts
        unread = unread_parts(path, parts) if path.is_dir() else []
        if unread:
            names = ", ".join(file.name for file in unread)
            self.notes.append(f"{names} of {path} cannot be read and is left out")

    def question(self) -> Question | None:
        """Return the question that the run was to answer, None if it had none.

        Raises InputError.
        """
        plain = self.facts.get("question")
        if not plain:
            return None
        try:
            return question_from_plain(plain)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(f"{self.parts[0].path} is damaged: {error}") from None

    def run(self, question: Question) -> Run:
        """Return all the requests, counted. Raises InputError."""
        question = replace(question, user_requests=self._user_requests)
        users = UserReplay(question) if question.user_requests else None
        on_users = users.add if users else None
        counter = BatchCounter(question.split, question.user_requests, on_users)
        replayed = self._replayed(question)
        for part in self.parts:
            undecided = replayed is not None and replayed.undecided
            ordered = undecided or counter.wants_order(part.worker)
            for batch in batches_of(part, ordered=ordered):
                counter.add(batch, part.worker)
                if replayed is not None and batch.ordered:
                    replayed.add(batch)
        if replayed is not None:
            replayed.end()
        run = _run(question, counter, self._subject())
        if users and self._is_of_one_worker:
            return _with_verdict(run, users.verdict)
        return _with_verdict(run, replayed.verdict if replayed else Verdict.INCONCLUSIVE)

    @property
    def _is_of_one_worker(self) -> bool:
        return len({part.worker for part in self.parts}) == 1

    @property
    def _user_requests(self) -> int:
        """The requests of each user, 0 where draws were no users."""
        recorded = self.question()
        return recorded.user_requests if recorded else 0

    def _replayed(self, question: Question) -> Replay | None:
        """Return the test that takes the requests in order; None if they have no order.

        Several workers have none in common but by time, and a fixed-sample test needs none.
        """
        if not self._is_of_one_worker or question.test != "sequential" or question.user_requests:
            return None
        return Replay(question)

    def _subject(self) -> Subject:
        facts = self.facts
        return Subject(
            host=str(facts.get("host") or _names_of([str(part.path) for part in self.parts])),
            path=str(facts.get("path") or ""),
            unit=str(facts.get("unit") or "request"),
            users=int(facts.get("users") or 0),
        )


def run_of_logs(
    sources: Sequence[str], question: Question, mapping: Mapping[str, str], path: str = ""
) -> tuple[Run, list[str]]:
    """Return access logs as a run, and notes on what was left out. Raises InputError."""
    counter = BatchCounter(question.split)
    destinations = Destinations(question.split, mapping)
    skipped: Multiset[str] = Multiset()
    for source in sources:
        for batch in batches_of_log(source, destinations, path, skipped):
            counter.add(batch, source)
    run = _run(question, counter, Subject(host=_names_of(sources), path=path))
    if not run.tally.requests:
        purpose = f" for {path}" if path else ""
        raise InputError(f"{_names_of(sources)} has no requests{purpose}")
    _check_variants_are_known(run.tally, question.split, destinations)
    notes = [f"{count:,} lines are left out: {reason}" for reason, count in skipped.items()]
    return _with_verdict(run), notes


def _check_variants_are_known(tally: Tally, split: Split, destinations: Destinations) -> None:
    """Raise InputError if not one request went to a variant of the split."""
    if destinations.unmatched and not any(tally.counts[variant] for variant in split):
        names = ", ".join(name for name, _ in destinations.unmatched.most_common(5))
        raise InputError(f"which of {','.join(split)} is {names}? Give --map PLACE=VARIANT,…")


def run_of_tally(tally: Tally, question: Question, subject: Subject) -> Run:
    """Return bare counts as a run, of whose order nothing is known."""
    losses = {}
    if tally.errors:
        losses["no 2xx answer"] = tally.errors
    if tally.unidentified:
        losses["no variant is named"] = tally.unidentified
    counted = Counted(stretches=[Stretch(0.0, subject.elapsed, tally)], losses=losses)
    return _with_verdict(Run(_sized(question, tally), subject, counted))


def tally_of_counts(text: str, split: Split) -> Tally:
    """Return counts from `blue=7412,green=2588`, also `errors=N`, `unidentified=N`.

    Raises InputError.
    """
    counts: dict[str, int] = dict.fromkeys(split, 0)
    lost = {"errors": 0, "unidentified": 0}
    seen: set[str] = set()
    for part in filter(str.strip, text.split(",")):
        name, number = _parse_count(part)
        if name in seen:
            raise InputError(f"--counts has {name} twice")
        seen.add(name)
        if name in lost and name not in split:
            lost[name] += number
        else:
            counts[name] = counts.get(name, 0) + number
    tally = Tally(counts, **lost)
    if not tally.requests:
        raise InputError("--counts has no responses: e.g. blue=7412,green=2588")
    return tally


def _parse_count(text: str) -> tuple[str, int]:
    name, _, value = (part.strip() for part in text.partition("="))
    if not name or not value:
        raise InputError(
            f"--counts {text.strip()!r} is not VARIANT=COUNT, e.g. blue=7412,green=2588"
        )
    return name, count(value, f"the count of {name}", least=0)


def _run(question: Question, counter: BatchCounter, subject: Subject) -> Run:
    moment = datetime.datetime.fromtimestamp(counter.started, datetime.UTC)
    subject = replace(subject, started_at=stamp(moment), elapsed=counter.elapsed)
    run = Run(question, subject, counter.counted)
    return replace(run, question=_sized(question, run.tally))


def _sized(question: Question, tally: Tally) -> Question:
    """Return the question for as many requests as there are, at all gateways as one."""
    return replace(question, requests=min(max(tally.requests, 1), MOST_REQUESTS), gateways=1)


def _with_verdict(run: Run, decided: Verdict = Verdict.INCONCLUSIVE) -> Run:
    """Return a run with its verdict, if there is one; `decided` is what its order has shown."""
    if run.question.user_requests:  # without a verdict it is replayed when it is judged
        is_known = decided is not Verdict.INCONCLUSIVE
        return replace(run, ending=Ending(decided=decided if is_known else None))
    if run.question.test == "fixed":
        return run
    if decided is Verdict.INCONCLUSIVE:
        decided = outcome(run)
    if decided is Verdict.MATCH and _is_a_mismatch_at_once(run):
        decided = Verdict.MISMATCH
    if decided is Verdict.INCONCLUSIVE:
        return replace(run, ending=Ending())
    return replace(run, ending=Ending(decided=decided))


def _is_a_mismatch_at_once(run: Run) -> bool:
    """Return whether all counts, looked at once, are a mismatch."""
    tally = run.tally
    test = SequentialTest.of(run.question)
    return test.update(tally.counts, tally.errors, tally.unidentified) is Verdict.MISMATCH


def _names_of(sources: Sequence[str]) -> str:
    text = ", ".join(dict.fromkeys(Path(source).name or source for source in sources))
    if len(text) <= LONGEST_HOST:
        return text
    return f"{text[:LONGEST_HOST]}…"
