"""One cluster with four ingress gateways, for all tests on the real Istio."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.istio import CANARY, Cluster, cluster, gateway_pods, has_way

GATEWAYS = 4
WAYS = """
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: istio-system}
spec:
  type: NodePort
  selector: {one: "%s"}
  ports:
    - {name: http, port: 8080}
    - {name: admin, port: 15000}
"""


@pytest.fixture(scope="session")
def istio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with the tutorial's files, and ways to each gateway and its administration."""
    with cluster(tmp_path_factory.mktemp("istio"), "--gateways", str(GATEWAYS)) as up:
        open_each(up, GATEWAYS)
        yield up


def open_each(up: Cluster, gateways: int) -> None:
    """Open ways to each gateway and its administration: gateway-0, gateway-1, …"""
    for number, pod in enumerate(sorted(gateway_pods(up))):
        name = f"gateway-{number}"
        up.kubectl("label", "pod", "-n", "istio-system", pod, f"one={name}")
        up.kubectl("apply", "-f", "-", text=WAYS % (name, name))
    for number in range(gateways):
        service = f"istio-system/gateway-{number}:admin"
        up.wait_until(partial(has_way, up, service), f"a way to {service}")


@pytest.fixture
def as_configured(istio: Cluster) -> Iterator[None]:
    """Whatever a test changes of routes and backends is put back."""
    yield
    istio.kubectl("apply", "-f", str(CANARY))
    for color in ("blue", "green"):
        istio.kubectl("scale", f"deployment/dep-color-{color}", "--replicas=1")
        istio.kubectl("rollout", "status", f"deployment/dep-color-{color}", "--timeout=60s")
    istio.settle()


@pytest.fixture
def each(istio: Cluster) -> list[str]:
    """The gateways' own addresses, in the order of their pods' names."""
    return [istio.url(f"istio-system/gateway-{number}:http") for number in range(GATEWAYS)]
