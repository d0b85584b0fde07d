"""rollout.html: every step, when, what was set and what was seen."""

from __future__ import annotations

from trafficsplit.files import replace_text
from trafficsplit.report.page import render
from trafficsplit.rollout.state import Release

TIMELINE = "rollout.html"


def write_timeline(release: Release) -> None:
    """Write the page. Raises OSError."""
    replace_text(release.directory / TIMELINE, render(TIMELINE, release=release))
