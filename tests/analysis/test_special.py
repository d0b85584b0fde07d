"""The special functions, without the package around them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import scipy.special

from trafficsplit.analysis import special

PROGRAM = """
import sys
from trafficsplit.analysis import special
assert "scipy.special" not in sys.modules, "the whole package was imported"
assert abs(special.ndtr(1.96) - 0.975) < 1e-4
import scipy.special, scipy.stats
for name in special.__all__:
    assert getattr(scipy.special, name) is getattr(special, name), name
assert scipy.special.logsumexp([0.0, 0.0]) > 0.69
assert scipy.stats.norm.cdf(0) == 0.5
"""


# Another layout of scipy's, in which the functions are elsewhere.
ELSEWHERE = """
import importlib.util, sys
importlib.util.find_spec = lambda _: None
from trafficsplit.analysis import special
import scipy.special
assert special.ndtr is scipy.special.ndtr
assert special.functions() is scipy.special
try:
    special.functions_alone()
except ImportError as error:
    assert str(error) == "there is no scipy.special"
"""


@pytest.mark.parametrize("program", [PROGRAM, ELSEWHERE])
def test_the_package_is_imported_only_where_it_has_to_be(program: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", special.__all__)
def test_each_is_scipys_own(name: str) -> None:
    assert getattr(special, name) is getattr(scipy.special, name)


def test_a_package_that_has_been_imported_is_used() -> None:
    assert special.functions() is scipy.special
