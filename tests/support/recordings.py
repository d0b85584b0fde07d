"""Recordings that no run has made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tests.support.runs import CANARY
from trafficsplit.analysis.plain import question_as_plain
from trafficsplit.analysis.planning import planned
from trafficsplit.analysis.question import Question
from trafficsplit.load.parquet import part_name, table_of

QUESTION = planned(Question(CANARY, 0.02))
NAMES = ("blue", "green")
BEGAN = 1_800_000_000_000_000  # microseconds since the epoch
APART = 100  # microseconds from one request to the next


def draws(number: int, share: float, seed: int = 1) -> list[int]:
    """Return what a fair gateway gives: 1 (green) with this probability, else 0 (blue)."""
    codes: list[int] = (np.random.default_rng(seed).random(number) < share).astype(int).tolist()
    return codes


def write_recording(
    directory: Path,
    codes: Sequence[int],
    *,
    size: int = 1000,
    complete: int | None = None,
    worker: int = 0,
    question: Question = QUESTION,
) -> None:
    """Write a recording of requests (0 blue, 1 green, −1 lost), in order of sending.

    Where draws are users, each sends its requests one after the other.
    """
    each = question.user_requests
    directory.mkdir(exist_ok=True)
    for number, start in enumerate(range(0, len(codes), size)):
        part = np.array(codes[start : start + size])
        count = len(part)
        numbers = start + np.arange(count)
        columns: dict[str, Any] = {
            "number": numbers,
            "sent": BEGAN + APART * numbers,
            "variant": (part, NAMES),
            "status": np.where(part < 0, 503, 200),
            "latency_us": 500 + part,
            "connection": 1 + (numbers // each if each else numbers % 8),
            "gateway": (np.zeros(count, int), ["http://gateway"]),
            "bytes": np.full(count, 1200),
        }
        end = start + count
        facts = {
            "host": "http://gateway",
            "path": "/color",
            "question": question_as_plain(question),
            "complete": end if complete is None else min(complete, end),
        }
        pq.write_table(table_of(columns, facts), directory / part_name(worker, number))
