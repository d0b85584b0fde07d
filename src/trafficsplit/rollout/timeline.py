"""The page rollout.html: when each step was, its weights, and how it went."""

from __future__ import annotations

from trafficsplit.files import replace_text
from trafficsplit.report.page import render
from trafficsplit.rollout.state import Release

TIMELINE = "rollout.html"


def write_timeline(release: Release) -> None:
    """Write the page of a release. Raises OSError."""
    replace_text(release.directory / TIMELINE, render(TIMELINE, release=release))
