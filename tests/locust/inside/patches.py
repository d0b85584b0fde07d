"""The changes to Locust itself."""

from __future__ import annotations

import sys

import locust.argument_parser
import locust.runners
import locust.stats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.locust import patches


@given(st.floats(0.001, 10_000_000))
def test_a_latency_has_two_significant_digits(milliseconds: float) -> None:
    rounded = patches.two_digits(milliseconds)
    assert rounded == float(f"{milliseconds:.1e}") or abs(rounded - milliseconds) <= (
        0.0501 * 10.0 ** (len(str(int(milliseconds))) - 1)
    )
    assert abs(rounded - milliseconds) <= 0.0501 * milliseconds


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(0.0, 0), (-1.0, 0), (0.1234, 0.12), (1.26, 1.3), (12.6, 13), (126.0, 130), (9_999.0, 10_000)],
)
def test_latencies_below_a_millisecond_are_told_apart(milliseconds: float, shown: float) -> None:
    assert patches.two_digits(milliseconds) == shown


def test_patches_are_applied_once_and_for_all() -> None:
    for _ in range(2):
        patches.apply()
        assert locust.stats.bucket_response_time is patches.two_digits
        assert locust.runners.WORKER_REPORT_INTERVAL == patches.REPORT_INTERVAL


def test_a_child_sees_nothing_of_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locust.argument_parser, "DEFAULT_CONFIG_FILES", ["locust.conf"])
    monkeypatch.setattr(sys, "path", ["", "/somewhere"])
    patches.isolate()
    assert not locust.argument_parser.DEFAULT_CONFIG_FILES
    assert sys.path == ["/somewhere"]
