"""The folders that a person works in, and that an installed trafficsplit has with it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def asset(*parts: str) -> Path:
    """Return the path of a file or folder: `asset("istio")`, `asset("locustfiles", "color.py")`.

    A wheel has these folders inside the package, a checkout beside `src/`.
    """
    packaged = _PACKAGE.joinpath(*parts)
    if packaged.exists():
        return packaged
    return _CHECKOUT.joinpath(*parts)
