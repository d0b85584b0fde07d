"""The owner of a cluster, inside its namespaces: python -m trafficsplit.lab.istio, by `lab up`."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from trafficsplit.files import replace_text
from trafficsplit.frame import run_framed
from trafficsplit.lab import owner
from trafficsplit.lab.istio.background import OWNER, Order
from trafficsplit.lab.istio.cluster import GATEWAY, Cluster, start
from trafficsplit.lab.istio.control_plane import SYSTEM
from trafficsplit.lab.istio.ways import Ways
from trafficsplit.lab.owner import STATE

INGRESS = f"{SYSTEM}/{GATEWAY}:"


def main() -> int:
    """Own the cluster that `lab up --istio` asks for; return the exit code."""
    order = Order(**json.loads(sys.argv[1]))
    directory = Path(order.directory)

    def keep(is_stopping: Callable[[], bool]) -> None:
        listeners = [socket.socket(fileno=number) for number in order.descriptors]
        cluster = start(directory, listeners, order.gateways, list(map(Path, order.manifests)))
        ways = Ways(cluster.plane.api, cluster.open, lambda ways: _write(order, cluster, ways))
        ways.begin()
        owner.wait(cluster.plane.dead, is_stopping)
        cluster.plane.stop()

    return owner.own(directory, keep)


def _write(order: Order, cluster: Cluster, ways: dict[str, str]) -> None:
    """Write the lab's state, with the ways into it."""
    node_ports = {}
    for name, way in ways.items():
        node_ports[name] = f"{'https' if name.endswith('https') else 'http'}://{way}"
    state = {
        "pid": int(os.environ[OWNER]),
        "host": node_ports[f"{INGRESS}http2"],
        "admin": "",
        "envoy_pid": 0,
        "replicas": [],
        "manifests": list(order.manifests),
        "weights": {},
        "node_ports": node_ports,
        "kubeconfig": str(cluster.kubeconfig),
    }
    replace_text(Path(order.directory) / STATE, json.dumps(state, indent=2) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    sys.exit(run_framed(main))
