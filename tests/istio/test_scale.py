"""A control plane with much to do: hundreds of VirtualServices, and changes all the time."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.istio import CANARY, Cluster, cluster

OTHERS = int(os.environ.get("OTHERS", "400"))  # tried with 1,000 by hand: it takes minutes
AT_ONCE = 20  # changes of one kubectl

pytestmark = pytest.mark.slow


def other(number: int, weight: int) -> dict[str, Any]:
    """Return a VirtualService of another application."""
    parts = (("blue-sub", 100 - weight), ("green-sub", weight))
    route = []
    for subset, share in parts:
        route.append({"destination": {"host": "color-service", "subset": subset}, "weight": share})
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": f"other-{number}"},
        "spec": {
            "hosts": [f"other-{number}.example.com"],
            "gateways": ["color-is-gw"],
            "http": [{"route": route}],
        },
    }


def listed(*documents: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


@contextlib.contextmanager
def changing(istio: Cluster) -> Iterator[None]:
    """Change some of the others, again and again."""
    over = threading.Event()

    def change() -> None:
        for weight in itertools.cycle(range(10, 90)):
            if over.is_set():
                return
            some = [other(number, weight) for number in range(AT_ONCE)]
            istio.kubectl(
                "apply", "--server-side", "--force-conflicts", "-f", "-", text=listed(*some)
            )

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_change_that_takes_long_is_said_to_be_one_that_may_not_be_in_force(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as istio:
        every = [other(number, 50) for number in range(OTHERS)]
        istio.kubectl("apply", "--server-side", "-f", "-", text=listed(*every))
        route = ("--virtual-service", "default/color-is-vs")
        with changing(istio):
            weights = (
                CANARY.read_text("utf-8")
                .replace("weight: 75", "weight: 20")
                .replace("weight: 25", "weight: 80")
            )
            istio.kubectl("apply", "-f", "-", text=weights)
            code, verdict = istio.verify(*route, "--no-diagnosis")
            assert code in (0, 1, 3), verdict["reason"]
            if code == 1:  # it was not in force yet
                assert "may still be in force" in verdict["diagnosis"]["summary"]
            istio.wait_until(
                lambda: istio.verify(*route, "--tolerance", "5")[0] == 0, "the new weights"
            )
