"""Real users' traffic, as Prometheus has counted it.

The samples of each counter within the window are fetched, and their increases added up here:
PromQL's `increase` extrapolates, and what it gives are no counts.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError
from trafficsplit.offline.destinations import Destinations
from trafficsplit.offline.series import SERIES, USUAL, check_one_service, code_label, is_good

# A request is counted by the client's proxy and by the server's; the gateway is a client.
SELECTOR = SERIES[USUAL].selector
LABELS = ("destination_version", "envoy_cluster_name", "version", "variant")
MAY_BE_EMPTY = {"canary"}  # labels that Prometheus drops where they are empty
TIMEOUT = 30.0  # seconds
# A counter that begins later than this many scrapes after its target's first is a new one.
LATE_SCRAPES = 1.5


@dataclass(frozen=True)
class Window:
    """Which counters are read: their selector, over how long (`10m`), and the variant's label.

    `by` is the label that names the variant, empty for the first of `LABELS` that is there, and
    `code` that of the answers' status, empty for the first one that is known; `without_code` counts
    all answers as good. Raises InputError for an address or a length that is none.
    """

    url: str
    selector: str = SELECTOR
    length: str = "10m"
    by: str = ""
    code: str = ""
    without_code: bool = False

    def __post_init__(self) -> None:
        """Check."""
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise InputError(f"--prometheus {self.url!r} is no address: give http://NAME:9090")
        if not re.fullmatch(r"(\d+[smhdw])+", self.length):
            raise InputError(f"--window {self.length!r} is no time: give 30s, 10m or 1h")


@dataclass(frozen=True)
class _Counter:
    """One counter: its labels, and its values at times in seconds since the epoch."""

    labels: Mapping[str, str]
    times: Sequence[float]
    values: Sequence[float]

    @property
    def scraped(self) -> tuple[str, str]:
        """The job and the instance that it was scraped from."""
        return self.labels.get("job", ""), self.labels.get("instance", "")


def tally_of(window: Window, split: Split, mapping: Mapping[str, str]) -> tuple[Tally, float]:
    """Return what was counted, by variant, and the seconds from first to last sample.

    Raises InputError.
    """
    counters = _read_counters(window, window.selector)
    if not counters:
        raise InputError(
            f"{window.url} knows nothing of {window.selector} in the last {window.length}: give "
            "--query"
        )
    label = _variant_label(window, counters)
    every = [counter.labels for counter in counters]
    check_one_service(every, label)
    code = code_label(every, window.code, without=window.without_code)
    increases = _increases(window, counters)
    destinations = Destinations(split, mapping)
    counts = dict.fromkeys(split, 0)
    errors = 0
    unidentified = 0
    for counter, number in zip(counters, increases, strict=True):
        place = counter.labels.get(label, "")
        variant = mapping[""] if not place and "" in mapping else destinations.variant(place)
        if code and not is_good(code, counter.labels[code]):
            errors += number
        elif variant:
            counts[variant] = counts.get(variant, 0) + number
        else:
            unidentified += number
    tally = Tally(counts, errors, unidentified)
    if not tally.requests:
        raise InputError(f"{window.selector} did not grow in the last {window.length}")
    return tally, _end(counters) - _start(counters)


def _start(counters: Sequence[_Counter]) -> float:
    return min(counter.times[0] for counter in counters)


def _end(counters: Sequence[_Counter]) -> float:
    return max(counter.times[-1] for counter in counters)


def _increases(window: Window, counters: Sequence[_Counter]) -> list[int]:
    """Return by how much each counter grew. Raises InputError."""
    start = _start(counters)
    interval = _scrape_interval(counters)
    first_scrapes = {up.scraped: up.times[0] for up in _read_counters(window, "up")}
    increases = []
    for counter in counters:
        # Of a counter that appears while its target is already being scraped, all is new.
        since = min(start, first_scrapes.get(counter.scraped, start))
        new = counter.times[0] - since > LATE_SCRAPES * interval
        increases.append(increase(counter.values, new=new))
    return increases


def increase(values: Sequence[float], *, new: bool = False) -> int:
    """Return by how much a counter grew over its samples.

    It begins again at 0 where it falls; a `new` one began at 0 before its first sample.
    """
    total = 0.0
    if new:
        total = values[0]
    for before, after in itertools.pairwise(values):
        if after >= before:
            total += after - before
        else:
            total += after
    return round(total)


def _scrape_interval(counters: Sequence[_Counter]) -> float:
    """Return the median of the seconds between samples; infinite if no counter has two."""
    gaps: list[float] = []
    for counter in counters:
        gaps += [after - before for before, after in itertools.pairwise(counter.times)]
    if not gaps:
        return math.inf
    return sorted(gaps)[len(gaps) // 2]


def _variant_label(window: Window, counters: Sequence[_Counter]) -> str:
    """Return the label that names the variant. Raises InputError."""
    present: set[str] = set()
    for counter in counters:
        present |= set(counter.labels)
    names = ", ".join(sorted(present))
    if window.by:
        if window.by not in present and window.by not in MAY_BE_EMPTY:
            raise InputError(f"no label {window.by} is there, but {names}")
        return window.by
    for label in LABELS:
        if label in present:
            return label
    raise InputError(f"which label names the variant? Give --by, one of {names}")


def _read_counters(window: Window, selector: str) -> list[_Counter]:
    """Return the samples of every counter, by `GET /api/v1/query` of a range selector.

    Raises InputError. (Prometheus, "HTTP API", range vectors.)
    """
    url = f"{window.url.rstrip('/')}/api/v1/query"
    document = _query(url, f"{selector}[{window.length}]")
    try:
        return _counters_in(document, selector)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{url} is no Prometheus: its answer has another form") from None


def _query(url: str, query: str) -> Any:
    """Return the JSON of an answer. Raises InputError."""
    try:
        answer = requests.get(url, {"query": query}, timeout=TIMEOUT)
        return answer.json()
    except requests.exceptions.JSONDecodeError:
        raise InputError(f"{url} is no Prometheus: HTTP {answer.status_code}, no JSON") from None
    except requests.RequestException as error:
        raise InputError(
            f"{url} does not answer ({_cause(error)}): is --prometheus its address?"
        ) from None


def _counters_in(document: Mapping[str, Any], selector: str) -> list[_Counter]:
    """Return the counters of an answer. Raises InputError; KeyError and such for another form."""
    if document.get("status") != "success":
        raise InputError(f"Prometheus says: {document.get('error', 'nothing')}")
    data = document["data"]
    if data["resultType"] != "matrix":
        raise InputError(f"--query {selector!r} is no plain selector: give METRIC{{…}}")
    counters = []
    for series in data["result"]:
        samples = series.get("values")
        if samples:
            times = [float(time) for time, _ in samples]
            values = [float(value) for _, value in samples]
            counters.append(_Counter(dict(series["metric"]), times, values))
            if not all(map(math.isfinite, values)):
                raise InputError(f"{selector} is no counter: it has the value {max(values):g}")
    return counters


def _cause(error: BaseException) -> str:
    """Return the innermost reason of an error, for a message."""
    reason = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    return str(getattr(reason, "reason", reason)).split(": ")[-1] or type(error).__name__
