"""The cases of tests/cases, made anew from the running istiod."""

from __future__ import annotations

import os

import pytest

from tests.support.istio import Cluster
from tests.support.istiod_cases import istiod, recorded

pytestmark = pytest.mark.slow
# All take minutes; `python -m tests.istio.cases` makes them all.
EVERY = 1 if os.environ.get("CASES") == "all" else 3


def test_a_third_of_the_cases_is_what_istiod_makes_of_them_today(istio: Cluster) -> None:
    different = []
    with istiod(istio, "istio-system/gateway-0:admin") as made:
        for file, cases in list(recorded().items())[::EVERY]:
            for case, anew in zip(cases, made.cases_of(file, cases), strict=True):
                if "error" in case:
                    found = anew.get("error", "no error").partition(":")[0]  # not its text
                    same = case["error"].startswith(found)
                else:
                    expected = {name: share for name, share in case["expected"].items() if share}
                    same = anew.get("expected") == pytest.approx(expected, abs=1e-4)
                if not same:
                    different.append((case, anew))
    assert not different
