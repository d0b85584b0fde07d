"""rollout.html: every step, when, what was set and what was seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.releases import release
from trafficsplit.rollout.state import StepLog
from trafficsplit.rollout.time_to_effect import Effect
from trafficsplit.rollout.timeline import TIMELINE, write_timeline

EFFECT = Effect(0.1, 0.05, 0.15, 3000, report="01-effect")
STEP = StepLog(
    at="2026-11-25T21:00:00.000+00:00",
    weights={"blue": 75.0, "green": 25.0},
    verdict="match",
    reason="green got 24.9 %",
    exit_code=0,
    shares={"blue": 0.751, "green": 0.249},
    confidence={"blue": [0.74, 0.76], "green": [0.24, 0.26]},
    requests=7012,
    report="01",
    effect=EFFECT.as_plain(),
    effect_text=str(EFFECT),
    alpha=0.006,
    mismatch_alpha=0.0015,
)


def page(tmp_path: Path, *steps: StepLog) -> str:
    one = release(tmp_path)
    one.log = list(steps)
    write_timeline(one)
    assert [file.name for file in tmp_path.iterdir()] == [TIMELINE]
    return (tmp_path / TIMELINE).read_text("utf-8")


def test_a_step_is_shown_with_its_reports(tmp_path: Path) -> None:
    text = page(tmp_path, STEP)
    for shown in ("21:00:00", "25 %", "24.90 %", "7,012", "match", "green got 24.9 %"):
        assert shown in text
    assert 'href="01/report.html"' in text
    assert 'href="01-effect/report.html"' in text
    assert "In force 100 ms after it was set" in text
    assert "Wrong with a probability of at most 0.6 % if it is a match, of 0.15 % if it is" in text
    assert "going back" not in text


def test_the_plan_is_shown_before_the_first_step(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert "Rollout of green" in text
    assert "blue 100 %, green 0 %" in text
    assert "25 %, 100 %" in text


@pytest.mark.parametrize(
    "step",
    [
        replace(STEP, back=True),
        replace(STEP, shares={}, effect=None, effect_text="nothing changed"),
        replace(STEP, shares={"blue": None, "green": None}),
        replace(STEP, verdict="broken", exit_code=5, report="", shares={}, effect=None),
        replace(STEP, effect=Effect(unseen="too many requests were lost").as_plain()),
        replace(STEP, errors=1234),
        replace(STEP, alpha=None, mismatch_alpha=None),
    ],
)
def test_every_end_of_a_step_can_be_shown(tmp_path: Path, step: StepLog) -> None:
    text = page(tmp_path, STEP, step)
    assert text.count("<tr>") == 3
    assert ("going back" in text) is step.back
    assert ("1,234 errors" in text) is bool(step.errors)
    assert text.count("Wrong with") == 1 + (step.alpha is not None)
    if not step.report:
        assert 'href="/report.html"' not in text


def test_what_a_gateway_or_cluster_says_is_text(tmp_path: Path) -> None:
    text = page(tmp_path, replace(STEP, reason="<script>alert(1)</script>", verdict="<b>"))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
