"""Whether pictures can be drawn, known before anything is sent, without importing matplotlib."""

from __future__ import annotations

import importlib.util

from trafficsplit.errors import InputError


def check_plots(*, wanted: bool) -> None:
    """Raise InputError for pictures that are wanted and cannot be drawn."""
    if wanted and importlib.util.find_spec("matplotlib") is None:
        raise InputError("--plots needs matplotlib: pip install 'trafficsplit[plots]'")
