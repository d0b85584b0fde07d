"""docs/istio-lab.md, line by line, as a reader types it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.istio import need_istio

TEXT = (ROOT / "docs" / "istio-lab.md").read_text("utf-8")
OWN = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop}
      annotations:
        trafficsplit.dev/command: python3 -m http.server 8080
    spec:
      containers: [{name: shop, image: example.com/shop:1, ports: [{containerPort: 8080}]}]
"""


@pytest.mark.slow
def test_every_command_does_what_it_says(tmp_path: Path) -> None:
    need_istio()
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 5
    (tmp_path / "my-release.yaml").write_text(OWN)
    script = "set -ex\ntrap 'trafficsplit lab down' EXIT\n" + "".join(blocks)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("match: ") == 3
    assert done.stdout.count("The lab is down.") == 2
