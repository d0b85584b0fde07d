"""What is made of any input: a value, or a refusal that a person can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from trafficsplit.errors import InputError, TrafficsplitError

Result = TypeVar("Result")


def attempted(
    act: Callable[[], Result], kind: type[TrafficsplitError] = InputError
) -> Result | TrafficsplitError:
    """Return what an act returns, or the refusal that it raises. Any other exception is raised."""
    try:
        return act()
    except kind as error:
        return error
