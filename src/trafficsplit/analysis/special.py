"""The special functions of scipy, without the package around them.

`scipy.special` imports linear algebra, orthogonal polynomials and adapters to other libraries,
which takes as long as a thousand requests, in each process of a run. The functions themselves are
in one compiled module of it. Where that cannot be had by itself, the package is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scipy.special import (
        bdtr,
        bdtrc,
        bdtrik,
        betainc,
        betaincc,
        betaincinv,
        betaln,
        chdtr,
        chdtrc,
        chdtri,
        chndtrinc,
        erfcx,
        gammaincinv,
        gammaln,
        kl_div,
        ndtr,
        ndtri,
        xlogy,
    )

__all__ = [
    "bdtr",
    "bdtrc",
    "bdtrik",
    "betainc",
    "betaincc",
    "betaincinv",
    "betaln",
    "chdtr",
    "chdtrc",
    "chdtri",
    "chndtrinc",
    "erfcx",
    "gammaincinv",
    "gammaln",
    "kl_div",
    "ndtr",
    "ndtri",
    "xlogy",
]

PACKAGE = "scipy.special"
FUNCTIONS = f"{PACKAGE}._ufuncs"


def functions_alone() -> ModuleType:
    """Return the compiled module, imported as if its package were empty. Raises ImportError.

    The package can be imported afterwards, and has the same functions then.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"there is no {PACKAGE}")
    empty = ModuleType(PACKAGE)
    empty.__path__ = list(spec.submodule_search_locations)
    sys.modules[PACKAGE] = empty
    try:
        found = importlib.import_module(FUNCTIONS)
    finally:
        del sys.modules[PACKAGE]
    missing = [name for name in __all__ if not hasattr(found, name)]
    if missing:
        raise ImportError(f"{FUNCTIONS} has no {', '.join(missing)}")
    return found


def functions() -> ModuleType:
    """Return a module that has the functions."""
    if PACKAGE in sys.modules:
        return sys.modules[PACKAGE]
    try:
        return functions_alone()
    except ImportError:
        return importlib.import_module(PACKAGE)


_functions = functions()
globals().update({name: getattr(_functions, name) for name in __all__})
