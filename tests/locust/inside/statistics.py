"""Locust's own statistics, filled in batches: as if each request had been logged."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.env import Environment
from locust.stats import StatsEntry

from tests.support.counting import BLUE, ERROR, GREEN, UNIDENTIFIED, taken
from tests.support.runs import CANARY
from trafficsplit.analysis.kinds import Kind
from trafficsplit.load.counting import Counter
from trafficsplit.locust import patches
from trafficsplit.locust.statistics import Statistics

patches.apply()
Requests = list[tuple[Kind, float, float, int]]  # kind, sent at, latency, size
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([BLUE, GREEN, ERROR, UNIDENTIFIED]),
        st.floats(0, 50),
        st.integers(1, 20_000_000).map(lambda microseconds: microseconds / 1e6),
        st.integers(0, 5000),
    ),
    max_size=40,
)


def filled(requests: Requests) -> Environment:
    """Return an environment whose statistics have got these requests in batches."""
    environment = Environment()
    counter = Counter(CANARY)
    counter.began = time.monotonic()
    counter.on_ended = Statistics(environment, counter, "/color").add
    for number, (kind, sent_at, latency, size) in enumerate(requests):
        counter.count(taken(counter), counter.code_of(kind), sent_at, latency, size)
        if number % 7 == 6:
            counter.flush()
    counter.flush()
    return environment


def assert_alike(one: StatsEntry, other: StatsEntry) -> None:
    """Check that two entries of Locust's statistics have the same requests."""
    for name in ("num_requests", "num_failures", "total_content_length"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("total_response_time", "min_response_time", "max_response_time"):
        assert (getattr(one, name) or 0.0) == pytest.approx(getattr(other, name) or 0.0)
    # A latency in the middle of two that are shown may be either.
    assert shown_times(one) == pytest.approx(shown_times(other), rel=0.1)


def shown_times(entry: StatsEntry) -> list[float]:
    times: list[float] = []
    for milliseconds, number in entry.response_times.items():
        times += [float(milliseconds)] * number
    return sorted(times)


@given(REQUESTS)
def test_a_batch_is_what_its_requests_would_have_been(requests: Requests) -> None:
    logged = Environment()
    for kind, _, latency, size in requests:
        if kind in (BLUE, GREEN):
            name = f"/color [{kind.variant}]"
            logged.stats.log_request("GET", name, latency * 1000, size)  # type: ignore[arg-type]
    batched = filled(requests)
    assert set(batched.stats.entries) == set(logged.stats.entries)
    for key, entry in logged.stats.entries.items():
        assert_alike(batched.stats.entries[key], entry)
    assert_alike(batched.stats.total, logged.stats.total)


def test_requests_a_second_are_those_that_ended_in_it() -> None:
    requests: Requests = [(GREEN, 0.0, 0.25, 10), (GREEN, 3.0, 0.25, 10), (GREEN, 3.0, 0.3, 10)]
    entry = filled(requests).stats.get("/color [green]", "GET")
    assert sum(entry.num_reqs_per_sec.values()) == 3
    first = min(entry.num_reqs_per_sec)
    last = max(entry.num_reqs_per_sec)
    assert last - first in (3, 4)  # 3 seconds later, whatever the second began with
    assert entry.last_request_timestamp is not None
    assert int(entry.last_request_timestamp) == last


@pytest.mark.parametrize(
    ("row", "name"),
    [("green", "/color [green]"), ("unidentified", "/color [unidentified]"), ("", "/color")],
)
def test_a_lost_request_is_an_event_like_any_clients(row: str, name: str) -> None:
    environment = Environment()
    heard: list[dict[str, Any]] = []
    environment.events.request.add_listener(lambda **what: heard.append(what))
    Statistics(environment, Counter(CANARY), "/color").add_lost("HTTP 503", 0.25, 10, row)
    (event,) = heard
    assert (event["request_type"], event["name"]) == ("GET", name)
    assert (event["response_time"], event["response_length"]) == (250.0, 10)
    assert str(event["exception"]) == "HTTP 503"
