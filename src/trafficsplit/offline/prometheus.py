"""Real users' traffic, as Prometheus has counted it.

The samples of each counter within the window are asked for, and their increases added up here:
PromQL's `increase` extrapolates, and what it gives are no counts.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from trafficsplit.analysis.split import Split
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError
from trafficsplit.offline.access_log import Names

# A request is counted by the client's proxy and by the server's; the gateway is a client.
SELECTOR = 'istio_requests_total{reporter="source"}'
LABELS = ("destination_version", "envoy_cluster_name", "version", "variant")
CODES = ("response_code", "envoy_response_code", "code", "status")
TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class Window:
    """What to ask for: the counter's selector, over how long (`10m`), and which labels tell what.

    `by` is the label that names the variant, empty for the first of `LABELS` that is there.
    """

    url: str
    selector: str = SELECTOR
    length: str = "10m"
    by: str = ""

    def __post_init__(self) -> None:
        """Check. Raises InputError."""
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise InputError(f"--prometheus {self.url!r} is no address: give http://NAME:9090")
        if not re.fullmatch(r"(\d+[smhdw])+", self.length):
            raise InputError(f"--window {self.length!r} is no time: give 30s, 10m or 1h")


def tally_of(window: Window, split: Split, mapping: Mapping[str, str]) -> tuple[Tally, float]:
    """What was counted, by variant, and the seconds between first and last sample.

    Raises InputError.
    """
    series = _asked(window, window.selector)
    if not series:
        raise InputError(
            f"{window.url} knows nothing of {window.selector} in the last {window.length}: give "
            "--query"
        )
    names = Names(split, mapping)
    by = _label(window, series)
    first = min(one["values"][0][0] for one in series)
    last = max(one["values"][-1][0] for one in series)
    step = _step(series)
    watched = {_target(one): one["values"][0][0] for one in _asked(window, "up")}
    counts: Multiset[str] = Multiset()
    errors = unidentified = 0
    for one in series:
        labels = one["metric"]
        # Of a counter that appears while its target was being watched, all is new.
        since = min(first, watched.get(_target(one), first))
        new = one["values"][0][0] - since > 1.5 * step
        count = increase([float(value) for _, value in one["values"]], new=new)
        variant = names.variant(labels.get(by, ""), "")
        code = next((labels[name] for name in CODES if name in labels), "200")
        if not code.startswith("2"):
            errors += count
        elif variant:
            counts[variant] += count
        else:
            unidentified += count
    if not (counts.total() or errors or unidentified):
        raise InputError(f"{window.selector} did not grow in the last {window.length}")
    known = dict.fromkeys(split, 0)
    return Tally({**known, **counts}, errors, unidentified), last - first


def increase(values: Sequence[float], *, new: bool = False) -> int:
    """By how much a counter grew over its samples; it begins again at 0 where it falls."""
    total = values[0] if new else 0.0
    for before, after in itertools.pairwise(values):
        total += after - before if after >= before else after
    return round(total)


def _step(series: Sequence[Mapping[str, Any]]) -> float:
    gaps = [
        after[0] - before[0]
        for one in series
        for before, after in itertools.pairwise(one["values"])
    ]
    return sorted(gaps)[len(gaps) // 2] if gaps else math.inf


def _target(series: Mapping[str, Any]) -> tuple[str, str]:
    labels = series["metric"]
    return labels.get("job", ""), labels.get("instance", "")


def _label(window: Window, series: Sequence[Mapping[str, Any]]) -> str:
    there = set.union(*(set(one["metric"]) for one in series))
    if window.by and window.by not in there:
        raise InputError(f"no label {window.by} is there, but {', '.join(sorted(there))}")
    found = window.by or next((name for name in LABELS if name in there), "")
    if not found:
        raise InputError(
            f"which label names the variant? Give --by, one of {', '.join(sorted(there))}"
        )
    return found


def _asked(window: Window, selector: str) -> list[dict[str, Any]]:
    """The samples of every series, as `GET /api/v1/query` of a range selector gives them."""
    url = f"{window.url.rstrip('/')}/api/v1/query"
    try:
        answer = requests.get(url, {"query": f"{selector}[{window.length}]"}, timeout=TIMEOUT)
        found = answer.json()
    except requests.exceptions.JSONDecodeError:
        raise InputError(f"{url} is no Prometheus: HTTP {answer.status_code}, no JSON") from None
    except requests.RequestException as error:
        raise InputError(f"{url} does not answer ({_cause(error)}): give --prometheus") from None
    if found.get("status") != "success":
        raise InputError(f"Prometheus says: {found.get('error', 'nothing')}")
    data = found["data"]
    if data.get("resultType") != "matrix":
        raise InputError(f"--query {selector!r} is no plain selector: give METRIC{{…}}")
    return [one for one in data["result"] if one.get("values")]


def _cause(error: BaseException) -> str:
    reason: Any = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    return str(getattr(reason, "reason", reason)).split(": ")[-1] or type(error).__name__
