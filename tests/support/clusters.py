"""The tutorial's objects in a cluster, and credentials for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.conftest import ROOT

MANIFEST = ROOT / "istio" / "color-istio-gw-canary-pct.yaml"


def documents() -> list[dict[str, Any]]:
    """Return the objects of the tutorial's canary."""
    return list(YAML(typ="safe").load_all(MANIFEST.read_text()))


def kubeconfig(path: Path, url: str, token: str = "right") -> Path:
    """Write credentials for the API server at `url`."""
    cluster = {"name": "c", "cluster": {"server": url}}
    user = {"name": "u", "user": {"token": token}}
    context = {"name": "test", "context": {"cluster": "c", "user": "u"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [cluster],
        "users": [user],
        "contexts": [context],
    }
    path.write_text(json.dumps(config))
    return path


def ingress(url: str, **status: Any) -> dict[str, Any]:
    """Return the Service of Istio's gateway, at the address of a gateway that really runs."""
    address, _, port = url.removeprefix("http://").rpartition(":")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
        "spec": {
            "type": "LoadBalancer",
            "selector": {"istio": "ingressgateway", "app": "gw"},
            "ports": [{"name": "http2", "port": int(port), "targetPort": 80}],
        },
        "status": status or {"loadBalancer": {"ingress": [{"ip": address}]}},
    }
