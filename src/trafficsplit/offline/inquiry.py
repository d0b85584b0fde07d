"""From what `analyze` is asked to a run, and notes on what was left out."""

from __future__ import annotations

import datetime
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trafficsplit.analysis.plain import stamp
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import Run, Subject
from trafficsplit.errors import InputError
from trafficsplit.offline.prometheus import Window, tally_of
from trafficsplit.offline.runs import (
    Recordings,
    is_recording,
    run_of_logs,
    run_of_tally,
    tally_of_counts,
)
from trafficsplit.offline.series import USUAL, selector_of
from trafficsplit.report.publish import command_line
from trafficsplit.report.run_files import RUN, read_run
from trafficsplit.settings.commands import AnalyzeSettings
from trafficsplit.settings.question import required_split
from trafficsplit.weights.manifests import Choice, read_documents, split_of
from trafficsplit.weights.routes import Probe

STANDARD_INPUT = Path("-")


def run_and_notes(settings: AnalyzeSettings) -> tuple[Run, list[str]]:
    """Return the run that is judged, and notes on what was left out. Raises InputError."""
    run, notes = _read(settings)
    subject = replace(run.subject, command=command_line(), run_id=uuid.uuid4().hex)
    return replace(run, subject=subject), notes


def _read(settings: AnalyzeSettings) -> tuple[Run, list[str]]:
    if settings.counts:
        return _run_of_counts(settings), []
    if settings.prometheus:
        return _run_of_prometheus(settings), []
    paths = list(map(Path, settings.files))
    _check_they_exist(paths)
    if len(paths) == 1 and (paths[0] / RUN).exists():
        return _run_of_report(settings, paths[0]), []
    if _are_recordings(paths):
        return _run_of_recordings(settings, paths)
    return _run_of_logs(settings, paths)


def _check_they_exist(paths: Sequence[Path]) -> None:
    for path in paths:
        if path != STANDARD_INPUT and not path.exists():
            raise InputError(f"there is no {path}")


def _are_recordings(paths: Sequence[Path]) -> bool:
    """Return whether files are recordings. Raises InputError if only some of them are."""
    recordings = [path for path in paths if path != STANDARD_INPUT and is_recording(path)]
    if recordings and len(recordings) < len(paths):
        raise InputError("recordings and access logs cannot be judged as one: analyze them apart")
    return bool(recordings)


def _run_of_report(settings: AnalyzeSettings, directory: Path) -> Run:
    run = read_run(directory)
    if settings.asks:
        question = replace(question_of(settings), user_requests=run.question.user_requests)
    else:
        question = settings.limits.applied_to(run.question)
    was = run.question
    run = replace(run, question=question)
    if _is_settled(was, question):
        return run
    # What was decided then was the answer to another question.
    return replace(run, ending=replace(run.ending, decided=None))


def _is_settled(was: Question, is_asked: Question) -> bool:
    """Return whether the answer to a question is the answer to another one, too.

    A larger or smaller budget does not change what was decided within it.
    """
    if was.test == "fixed":
        return was == is_asked
    return was == replace(is_asked, requests=was.requests, power=was.power)


def _run_of_recordings(settings: AnalyzeSettings, paths: Sequence[Path]) -> tuple[Run, list[str]]:
    recordings = Recordings(paths)
    recorded = None if settings.asks else recordings.question()
    if recorded is None:
        return recordings.run(question_of(settings)), recordings.notes
    return recordings.run(settings.limits.applied_to(recorded)), recordings.notes


def _run_of_logs(settings: AnalyzeSettings, paths: Sequence[Path]) -> tuple[Run, list[str]]:
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} has no recording and no report in it")
    question = question_of(settings)
    return run_of_logs(settings.files, question, settings.source.mapping, settings.path)


def _run_of_counts(settings: AnalyzeSettings) -> Run:
    question = question_of(settings)
    tally = tally_of_counts(settings.counts, question.split)
    return run_of_tally(tally, question, Subject("--counts", started_at=_now()))


def _run_of_prometheus(settings: AnalyzeSettings) -> Run:
    question = question_of(settings)
    series = selector_of(settings.series or USUAL)
    window = Window(
        url=settings.prometheus,
        selector=settings.query or series.selector,
        length=settings.window,
        by=settings.label or series.by,
        code=settings.code,
        without_code=settings.without_code,
    )
    tally, elapsed = tally_of(window, question.split, settings.source.mapping)
    subject = Subject(settings.prometheus, started_at=_now(), elapsed=elapsed)
    return run_of_tally(tally, question, subject)


def question_of(settings: AnalyzeSettings) -> Question:
    """Return the question that options ask. Raises InputError.

    A name in --map is a destination's if the manifest has one of that name, and otherwise a name
    that stands in the data.
    """
    split = settings.split
    source = settings.source
    if source.kind == "manifest":
        probe = Probe(settings.path or "/color")
        choice = Choice(probe, source.route, source.mapping, may_mean_more=True)
        split = split_of(read_documents(source.reference, sys.stdin.read), choice)
    return settings.limits.question(required_split(split))


def _now() -> str:
    return stamp(datetime.datetime.now(datetime.UTC))
