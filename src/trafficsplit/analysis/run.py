"""A run: all that was counted, as the load wrote it and every later stage reads it.

A directory holds it in a few files, so that any stage after the load can be run again:

    run.json      what was asked, of whom, when, and why responses were lost
    tally.csv     counts by stretch of time: from, to (seconds), errors, unidentified, variants …
    latency.csv   counts by variant and latency: variant, status, low_us, high_us, requests
    gateways.csv  tally.csv of each gateway, where there are several; its name comes first
    begun         empty, while the run goes on: requests are on their way
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.errors import InputError
from analysis.fixed import clopper_pearson
from analysis.latency import bounds_of, bucket_of
from analysis.order import Order
from analysis.question import Question
from analysis.sequential import SequentialTest
from analysis.split import Split
from analysis.tally import Tally

BEGUN = "begun"


def stamp(moment: datetime.datetime) -> str:
    """A moment in UTC as a run's `started_at`: ISO 8601, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Stretch:
    """What was sent between two points in time, in seconds since the start, and how it ended."""

    start: float
    end: float
    tally: Tally


@dataclass(frozen=True)
class Gateway:
    """One of several gateways: by time, what was sent to it, and in what order it answered."""

    name: str
    stretches: Sequence[Stretch]
    order: Order = field(default_factory=Order)

    @property
    def tally(self) -> Tally:
        """The sum of its stretches."""
        return sum((stretch.tally for stretch in self.stretches), Tally())


@dataclass(frozen=True)
class LatencyKey:
    """Whose latencies, and how answered: `status` is `2xx` … `5xx`, or `none` without an answer.

    `variant` is empty for requests that name none.
    """

    variant: str
    status: str


@dataclass(frozen=True)
class Sender:
    """How well the sending side kept up.

    `client` is what sent, in `processes`, of which `lost` were lost with what they had not yet
    told. `cpu` is the busiest process's share of one core, `lag` the 99th percentile of how late
    its event loop was, in seconds. For open load, `rate` was asked for, in requests a second, and
    `achieved`; `late` requests had to wait for a free connection.
    """

    client: str = "engine"
    processes: int = 1
    lost: int = 0
    cpu: float = 0.0
    lag: float = 0.0
    rate: float = 0.0
    achieved: float = 0.0
    late: int = 0

    @classmethod
    def of_workers(cls, workers: Iterable[Sender], lost: int) -> Sender:
        """Several processes as one."""
        every = list(workers)
        return cls(
            client=every[0].client if every else "engine",
            processes=len(every),
            lost=lost,
            cpu=max((one.cpu for one in every), default=0.0),
            lag=max((one.lag for one in every), default=0.0),
            rate=math.fsum(one.rate for one in every),
            achieved=math.fsum(one.achieved for one in every),
            late=sum(one.late for one in every),
        )


@dataclass(frozen=True)
class Run:
    """One run against a gateway, or several: `gateways` is empty where there is one.

    `started_at` is ISO 8601 in UTC, `elapsed` in seconds. `latency` has buckets of
    `analysis.latency`. `losses` counts the reasons of errors and unidentified responses.
    `unit` is what a draw is: a `request`, or a `session` (a new connection without cookies).
    What was sent in the first `settle` seconds is left out. `previous` are the weights before the
    change that is verified, where they are known; `sender` says how the sending side kept up;
    `max_p99_ratio` and `max_error_ratio` bound how much worse a canary may be; `order` is what is
    kept of the order of sending; `cached` counts the responses that came out of a cache.
    `decided` is the verdict that the sequential test reached while the run went on, empty where it
    reached none. `source` names where the weights are configured, and `reread` is what it said
    after the run, None where it was not asked, with `unread` saying why it could not be read.
    `interrupted` says what ended the run before its time, empty where nothing did;
    `unreachable` why the gateway could not be asked at all; `unrecorded` why not every request was
    recorded that was to be.
    """

    question: Question
    host: str
    path: str
    started_at: str
    elapsed: float
    users: int
    stretches: Sequence[Stretch]
    latency: Mapping[LatencyKey, Mapping[int, int]] = field(default_factory=dict)
    losses: Mapping[str, int] = field(default_factory=dict)
    unit: str = "request"
    settle: float = 0.0
    previous: Split | None = None
    order: Order = field(default_factory=Order)
    gateways: Sequence[Gateway] = ()
    cached: int = 0
    sender: Sender = field(default_factory=Sender)
    max_p99_ratio: float | None = None
    max_error_ratio: float | None = None
    decided: str = ""
    source: str = ""
    reread: Split | None = None
    unread: str = ""
    interrupted: str = ""
    unreachable: str = ""
    unrecorded: str = ""
    command: str = ""

    @property
    def tally(self) -> Tally:
        """The sum of all stretches; every variant of the split is in it."""
        total = Tally(dict.fromkeys(self.question.split, 0))
        for stretch in self.stretches:
            total += stretch.tally
        return total

    @property
    def each_gateway(self) -> Sequence[Gateway]:
        """All gateways, also where there is only one."""
        return self.gateways or [Gateway(self.host, self.stretches, self.order)]

    def interval(self, variant: str) -> tuple[float, float]:
        """The 1 − alpha interval of a variant's share, of the kind that goes with the test.

        A confidence sequence for the sequential test, Clopper and Pearson's for the fixed one.
        """
        question, tally = self.question, self.tally
        if question.test == "fixed":
            return clopper_pearson(tally.counts.get(variant, 0), tally.identified, question.alpha)
        test = SequentialTest.of(question)
        test.update(tally.counts)
        return test.confidence(variant)

    @property
    def requests_per_second(self) -> float:
        """Requests that ended, a second; 0 for a run of no time."""
        return self.tally.requests / self.elapsed if self.elapsed > 0 else 0.0


_WRITTEN_APART = {
    "question", "stretches", "latency", "order", "previous", "reread", "sender", "gateways"
}  # fmt: skip


def question_as_plain(question: Question) -> dict[str, Any]:
    """A question for a file."""
    plain = {f.name: getattr(question, f.name) for f in dataclasses.fields(question)}
    return {**plain, "split": dict(question.split.weights)}


def question_from_plain(plain: Mapping[str, Any]) -> Question:
    """The question that `question_as_plain` wrote. Raises TypeError, KeyError or ValueError."""
    return Question(**{**plain, "split": Split(plain["split"])})


def write_run(run: Run, directory: Path) -> None:
    """Write the files. Raises OSError."""
    facts = {
        f.name: getattr(run, f.name)
        for f in dataclasses.fields(run)
        if f.name not in _WRITTEN_APART
    }
    for name in ("previous", "reread"):
        split: Split | None = getattr(run, name)
        facts[name] = dict(split.weights) if split else None
    facts["order"] = run.order.as_plain()
    facts["sender"] = vars(run.sender)
    facts["gateways"] = {one.name: one.order.as_plain() for one in run.gateways}
    facts["question"] = question_as_plain(run.question)
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    write_tally(run, directory / "tally.csv")
    write_latency(run, directory / "latency.csv")
    if run.gateways:
        write_gateways(run, directory / "gateways.csv")
    # Last: where it is, the others are whole.
    (directory / "run.json").write_text(text + "\n", "utf-8")


def write_tally(run: Run, path: Path) -> None:
    """Time bucket × variant, with errors. Raises OSError."""
    variants = list(run.tally.counts)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*_TALLY_COLUMNS, *variants])
        rows.writerows(_row(stretch, variants) for stretch in run.stretches)


def write_gateways(run: Run, path: Path) -> None:
    """The same for each gateway, whose name comes first. Raises OSError."""
    variants = list(run.tally.counts)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["gateway", *_TALLY_COLUMNS, *variants])
        for gateway in run.gateways:
            rows.writerows([gateway.name, *_row(s, variants)] for s in gateway.stretches)


_TALLY_COLUMNS = ("from_seconds", "to_seconds", "errors", "unidentified")


def _row(stretch: Stretch, variants: Sequence[str]) -> list[str | int]:
    tally = stretch.tally
    counts = [tally.counts.get(variant, 0) for variant in variants]
    times = [f"{stretch.start:.3f}", f"{stretch.end:.3f}"]
    return [*times, tally.errors, tally.unidentified, *counts]


def write_latency(run: Run, path: Path) -> None:
    """Latency buckets by variant and status. Raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["variant", "status", "low_us", "high_us", "requests"])
        for key, buckets in run.latency.items():
            for bucket in sorted(buckets):
                rows.writerow([key.variant, key.status, *bounds_of(bucket), buckets[bucket]])


def read_run(directory: Path) -> Run:
    """The run that `write_run` wrote. Raises InputError where there is none, or it is damaged."""
    try:
        facts: dict[str, Any] = json.loads((directory / "run.json").read_text("utf-8"))
        question = question_from_plain(facts.pop("question"))
        previous, reread = facts.pop("previous"), facts.pop("reread", None)
        orders = {name: Order.from_plain(o) for name, o in facts.pop("gateways", {}).items()}
        by_gateway = _read_stretches(directory / "gateways.csv", 1) if orders else {}
        return Run(
            gateways=[Gateway(name, by_gateway[name], order) for name, order in orders.items()],
            previous=Split(previous) if previous else None,
            reread=Split(reread) if reread else None,
            order=Order.from_plain(facts.pop("order")),
            sender=Sender(**facts.pop("sender")),
            question=question,
            stretches=_read_stretches(directory / "tally.csv").get("", []),
            latency=_read_latency(directory / "latency.csv"),
            **facts,
        )
    except OSError as error:
        raise InputError(f"no run in {directory}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"the run in {directory} is damaged: {error}") from None


def _read_stretches(path: Path, named: int = 0) -> dict[str, list[Stretch]]:
    """The stretches of a table, by what its first column says where it has one for names."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    variants = header[named + len(_TALLY_COLUMNS) :]
    found: dict[str, list[Stretch]] = {}
    for row in rows:
        start, end, errors, unidentified, *counts = row[named:]
        by_variant = dict(zip(variants, map(int, counts), strict=True))
        tally = Tally(by_variant, errors=int(errors), unidentified=int(unidentified))
        name = row[0] if named else ""
        found.setdefault(name, []).append(Stretch(float(start), float(end), tally))
    return found


def _read_latency(path: Path) -> dict[LatencyKey, dict[int, int]]:
    latency: dict[LatencyKey, dict[int, int]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in list(csv.reader(file))[1:]:
            variant, status, low, _, requests = row
            latency.setdefault(LatencyKey(variant, status), {})[bucket_of(int(low))] = int(requests)
    return latency
