"""A run as plain data and back: for a file, and for the pipe between a load and its parent."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from trafficsplit.analysis.losses import Hanging
from trafficsplit.analysis.order import Order
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.run import (
    CanaryLimits,
    Counted,
    Ending,
    Gateway,
    LatencyKey,
    Run,
    Sender,
    SourceReading,
    Stretch,
    Subject,
    VariantCourse,
)
from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.analysis.verdict import Verdict
from trafficsplit.analysis.visits import Users

Plain = dict[str, Any]


def stamp(moment: datetime.datetime) -> str:
    """Return a moment in UTC as a run's `started_at`: ISO 8601, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_of(text: str) -> datetime.datetime:
    """Return the moment that `stamp` made text of, or that Kubernetes did. Raises ValueError."""
    return datetime.datetime.fromisoformat(text)


def run_as_plain(run: Run) -> Plain:
    """Return a run as data that JSON can hold."""
    ending = dataclasses.asdict(run.ending)
    if run.ending.decided is not None:
        ending["decided"] = str(run.ending.decided)
    return {
        "question": question_as_plain(run.question),
        "subject": dataclasses.asdict(run.subject),
        "counted": _counted_as_plain(run.counted),
        "ending": ending,
        "sender": dataclasses.asdict(run.sender),
        "canary": dataclasses.asdict(run.canary),
        "previous": _weights(run.previous),
        "source": _source_as_plain(run.source),
        "others": {name: dict(split.weights) for name, split in run.others.items()},
    }


def run_from_plain(plain: Mapping[str, Any]) -> Run:
    """Return the run that `run_as_plain` made data of. Raises TypeError, KeyError or ValueError."""
    ending = dict(plain["ending"])
    decided = ending.pop("decided")
    return Run(
        question=question_from_plain(plain["question"]),
        subject=Subject(**plain["subject"]),
        counted=_counted_from_plain(plain["counted"]),
        ending=Ending(decided=Verdict(decided) if decided else None, **ending),
        sender=Sender(**plain["sender"]),
        canary=CanaryLimits(**plain["canary"]),
        previous=_split(plain["previous"]),
        source=_source_from_plain(plain["source"]),
        others={name: Split(weights) for name, weights in plain["others"].items()},
    )


def question_as_plain(question: Question) -> Plain:
    """Return a question as plain data."""
    split = dict(question.split.weights)
    return {**vars(question), "split": split, "previous": _weights(question.previous)}


def question_from_plain(plain: Mapping[str, Any]) -> Question:
    """Return the question of plain data. Raises TypeError, KeyError or ValueError."""
    previous = _split(plain.get("previous"))  # recordings of 0.1 do not have it
    return Question(**{**plain, "split": Split(plain["split"]), "previous": previous})


def _weights(split: Split | None) -> dict[str, float] | None:
    return dict(split.weights) if split else None


def _split(weights: Mapping[str, float] | None) -> Split | None:
    return Split(weights) if weights else None


def _source_as_plain(source: SourceReading | None) -> Plain | None:
    if source is None:
        return None
    return {**vars(source), "reread": _weights(source.reread)}


def _source_from_plain(plain: Mapping[str, Any] | None) -> SourceReading | None:
    if plain is None:
        return None
    return SourceReading(**{**plain, "reread": _split(plain["reread"])})


def _counted_as_plain(counted: Counted) -> Plain:
    latency = [
        {"variant": key.variant, "status": key.status, "buckets": dict(buckets.items())}
        for key, buckets in counted.latency.items()
    ]
    return {
        "stretches": list(map(_stretch_as_plain, counted.stretches)),
        "latency": latency,
        "losses": dict(counted.losses),
        "order": counted.order.as_plain(),
        "gateways": list(map(_gateway_as_plain, counted.gateways)),
        "cached": counted.cached,
        "sent_again": counted.sent_again,
        "users": counted.users.as_plain() if counted.users else None,
        "courses": {name: _course_as_plain(course) for name, course in counted.courses.items()},
        "hanging": [one.as_plain() for one in counted.hanging],
        "judged": _tallies_as_plain(counted.judged),
    }


def _counted_from_plain(plain: Mapping[str, Any]) -> Counted:
    latency = {}
    for line in plain["latency"]:
        buckets = {int(bucket): count for bucket, count in line["buckets"].items()}
        latency[LatencyKey(line["variant"], line["status"])] = buckets
    return Counted(
        stretches=list(map(_stretch_from_plain, plain["stretches"])),
        latency=latency,
        losses=plain["losses"],
        order=Order.from_plain(plain["order"]),
        gateways=list(map(_gateway_from_plain, plain["gateways"])),
        cached=plain["cached"],
        sent_again=plain["sent_again"],
        users=Users.from_plain(plain["users"]) if plain["users"] else None,
        courses={name: VariantCourse(**course) for name, course in plain["courses"].items()},
        hanging=tuple(map(Hanging.from_plain, plain["hanging"])),
        judged=_tallies_from_plain(plain["judged"]),
    )


def _tallies_as_plain(tallies: Sequence[Tally] | None) -> list[list[Any]] | None:
    if tallies is None:
        return None
    return [[dict(tally.counts), tally.errors, tally.unidentified] for tally in tallies]


def _tallies_from_plain(plain: list[list[Any]] | None) -> list[Tally] | None:
    return None if plain is None else [Tally(*parts) for parts in plain]


def _course_as_plain(course: VariantCourse) -> Plain:
    lists = vars(course)
    return {name: list(counts) for name, counts in lists.items()}


def _gateway_as_plain(gateway: Gateway) -> Plain:
    stretches = list(map(_stretch_as_plain, gateway.stretches))
    return {"name": gateway.name, "stretches": stretches, "order": gateway.order.as_plain()}


def _gateway_from_plain(plain: Mapping[str, Any]) -> Gateway:
    stretches = list(map(_stretch_from_plain, plain["stretches"]))
    return Gateway(plain["name"], stretches, Order.from_plain(plain["order"]))


def _stretch_as_plain(stretch: Stretch) -> list[Any]:
    tally = stretch.tally
    times = [round(stretch.start, 6), round(stretch.end, 6)]
    return [*times, dict(tally.counts), tally.errors, tally.unidentified]


def _stretch_from_plain(plain: list[Any]) -> Stretch:
    start, end, counts, errors, unidentified = plain
    return Stretch(start, end, Tally(counts, errors, unidentified))
