"""The notebooks run as they are, from top to bottom, and are committed without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_says_what_it_promises(notebook: Path, tmp_path: Path) -> None:
    # Without make's ARGS and the like, and with a place of its own for what Jupyter writes.
    places = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    environment = {**os.environ, **dict.fromkeys(places, str(tmp_path))}
    subprocess.run(
        [
            *(Path(sys.executable).with_name("jupyter"), "nbconvert", "--to", "notebook"),
            *("--execute", "--ExecutePreprocessor.timeout=400", "--output-dir", tmp_path, notebook),
        ],
        check=True,
        timeout=500,
        env=environment,
        cwd=notebook.parent,
    )
    outputs = []
    for cell in json.loads((tmp_path / notebook.name).read_text())["cells"]:
        outputs += cell.get("outputs", [])
    assert any("image/png" in out.get("data", {}) for out in outputs)
    said = "".join("".join(out.get("text", "")) for out in outputs)
    assert not [out for out in outputs if out.get("name") == "stderr"]
    if notebook.stem == "a-canary-verified":
        assert "as-configured: match" in said
        assert "off-by-four: mismatch" in said
        (peeked,) = [line for line in said.splitlines() if "perfect gateways are called" in line]
        assert 0.10 < float(peeked.split("%")[0]) / 100 < 0.16
    else:
        assert "sequential takes less in" in said


def test_none_has_outputs() -> None:
    assert len(NOTEBOOKS) == 2
    for notebook in NOTEBOOKS:
        for cell in json.loads(notebook.read_text())["cells"]:
            assert not cell.get("outputs"), notebook
            assert cell.get("execution_count") is None, notebook
