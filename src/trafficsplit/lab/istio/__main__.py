"""The owner of a cluster, inside its namespaces: python -m trafficsplit.lab.istio, by `lab up`."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

from trafficsplit.errors import InputError
from trafficsplit.files import replace_text
from trafficsplit.lab.istio.background import OWNER, STATE, Order
from trafficsplit.lab.istio.cluster import GATEWAY, Cluster, start
from trafficsplit.lab.istio.control_plane import SYSTEM
from trafficsplit.lab.istio.ways import Ways

KEEPING_PAUSE = 0.1  # seconds between two looks at the control plane
INGRESS = f"{SYSTEM}/{GATEWAY}:"


def own(order: Order) -> int:
    """Start a cluster and keep it until SIGTERM, or until one of its parts ends."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(1))
    directory = Path(order.directory)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("a lab is starting or running here already", flush=True)
            return 1
        try:
            return _keep(order, directory, stopping)
        except (InputError, OSError) as error:
            print(error, flush=True)
            return 1
        finally:
            (directory / STATE).unlink(missing_ok=True)


def _keep(order: Order, directory: Path, stopping: list[int]) -> int:
    listeners = [socket.socket(fileno=number) for number in order.descriptors]
    cluster = start(directory, listeners, order.gateways, list(map(Path, order.manifests)))
    ways = Ways(cluster.plane.api, cluster.open, lambda ways: _write(order, cluster, ways))
    ways.begin()
    while not stopping and not (dead := cluster.plane.dead()):
        time.sleep(KEEPING_PAUSE)
    if not stopping:
        print(f"{dead} has ended, so the lab was stopped", flush=True)
    cluster.plane.stop()
    return 0


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
    sys.exit(own(Order(**json.loads(sys.argv[1]))))
