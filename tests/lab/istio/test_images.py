"""What runs for a container."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from trafficsplit.lab.istio.images import COMMAND, UnknownImageError, bootstrap, program_of

GATEWAY: dict[str, Any] = {
    "metadata": {
        "name": "gw-1",
        "namespace": "istio-system",
        "labels": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
    },
    "spec": {"containers": [{"name": "istio-proxy", "image": "auto"}]},
}


def pod(annotations: dict[str, str] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n", "annotations": annotations}, "spec": {}}


def test_the_color_application_listens_where_its_container_says(tmp_path: Path) -> None:
    container = {"image": "registry.example.com/color:1", "ports": [{"containerPort": 9090}]}
    program = program_of(pod(), container, "10.244.0.2", tmp_path, str)
    assert program.command[0] == sys.executable
    assert program.environment["PORT"] == "9090"


def test_a_pods_own_command_line_comes_first(tmp_path: Path) -> None:
    own = pod({COMMAND: "sh -c 'sleep 1'"})
    assert program_of(own, {"image": "color"}, "", tmp_path, str).command == ["sh", "-c", "sleep 1"]


@pytest.mark.parametrize("image", ["example.com/shop:1", "colorful", "", "shop@sha256:00"])
def test_another_image_is_refused_with_the_way_out(image: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownImageError, match=COMMAND):
        program_of(pod(), {"image": image}, "", tmp_path, str)


def test_a_gateway_is_an_envoy_that_asks_istiod(tmp_path: Path) -> None:
    for image in ("auto", "docker.io/istio/proxyv2:1.31.0"):
        program = program_of(GATEWAY, {"image": image}, "10.244.0.2", tmp_path, str)
        assert program.command[0].endswith("envoy")
        config = json.loads((tmp_path / "envoy.json").read_text("utf-8"))
        assert config == bootstrap(GATEWAY, "10.244.0.2")
    node = config["node"]
    assert node["id"] == "router~10.244.0.2~gw-1.istio-system~istio-system.svc.cluster.local"
    assert node["metadata"]["LABELS"]["istio"] == "ingressgateway"
