"""Whether pictures can be drawn, known before anything is sent and without importing matplotlib."""

from __future__ import annotations

import importlib.util

from trafficsplit.errors import InputError


def check_plots(*, wanted: bool) -> None:
    """Refuse pictures that cannot be drawn. Raises InputError."""
    if wanted and importlib.util.find_spec("matplotlib") is None:
        raise InputError("--plots needs matplotlib: pip install 'trafficsplit[plots]'")
