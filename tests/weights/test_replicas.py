"""Argo's own rounding of a weight to pods."""

from __future__ import annotations

import pytest

from trafficsplit.weights.replicas import pods_at, surge


# As Argo Rollouts 1.9 rounds them, with the default maxSurge of 25 %.
@pytest.mark.parametrize(
    ("weight", "replicas", "pods"),
    [
        (20, 1, "1 of 2 pods (50 %)"),
        (10, 3, "1 of 4 pods (25 %)"),
        (50, 3, "2 of 4 pods (50 %)"),
        (30, 4, "1 of 4 pods (25 %)"),
        (25, 4, "1 of 4 pods (25 %)"),
        (1, 10, "1 of 11 pods (9.091 %)"),
        (0, 4, "0 of 4 pods (0 %)"),
        (100, 4, "4 of 4 pods (100 %)"),
        (50, 0, "0 of 0 pods (0 %)"),
    ],
)
def test_the_nearest_share_of_pods(weight: int, replicas: int, pods: str) -> None:
    assert str(pods_at(weight, replicas, may_surge=True)) == pods


def test_without_a_surge_no_pod_is_added() -> None:
    assert str(pods_at(10, 3, may_surge=False)) == "1 of 3 pods (33.33 %)"


def test_a_surge_in_per_cent_is_rounded_up() -> None:
    assert [surge("25%", 1), surge("25%", 4), surge(2, 4), surge("0", 4)] == [1, 1, 2, 0]
