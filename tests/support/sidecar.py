"""Run an Envoy as a sidecar within the mesh, in a pod of the lab; its administration is open."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from trafficsplit.lab.istio.images import bootstrap
from trafficsplit.lab.lab import envoy_path


def main() -> None:
    """Become the Envoy."""
    address = os.environ["ADDRESS"]
    name = os.environ["HOSTNAME"]
    pod: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {},
    }
    config = bootstrap(pod, address, os.environ["TOKEN"])
    config["node"]["id"] = config["node"]["id"].replace("router~", "sidecar~")
    file = Path(tempfile.mkdtemp()) / "envoy.json"
    file.write_text(json.dumps(config))
    envoy = str(envoy_path())
    os.execv(envoy, [envoy, "--config-path", str(file), "--disable-hot-restart"])


if __name__ == "__main__":
    main()
