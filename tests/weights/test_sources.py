"""A manifest as the place where weights are configured."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.manifests import SPLIT
from trafficsplit.errors import InputError
from trafficsplit.settings.commands import SourceSettings
from trafficsplit.weights.manifests import Choice
from trafficsplit.weights.routes import Probe
from trafficsplit.weights.sources import (
    ClusterSource,
    GatewayLocation,
    ManifestSource,
    source_of,
)

CANARY = ROOT / "istio" / "color-istio-gw-canary-pct.yaml"
SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: foo-v1}
spec: {selector: {color: blue}}
---
apiVersion: v1
kind: Service
metadata: {name: foo-v2}
spec: {selector: {color: green}}
"""


def manifest(tmp_path: Path) -> Path:
    """Return a copy of the tutorial's canary, that may be edited."""
    file = tmp_path / "canary.yaml"
    file.write_bytes(CANARY.read_bytes())
    return file


def source(file: Path | str) -> ManifestSource:
    return ManifestSource(str(file), Choice())


def test_a_manifests_weights_are_read_and_set(tmp_path: Path) -> None:
    file = manifest(tmp_path)
    file.chmod(0o640)
    one = source(file)
    assert dict(one.split().weights) == {"blue": 0.75, "green": 0.25}
    assert one.set({"blue": 40, "green": 60}) == f"edited: {file}"
    assert dict(one.split().weights) == {"blue": 0.4, "green": 0.6}
    assert [path.name for path in tmp_path.iterdir()] == ["canary.yaml"]  # no half of it is left
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert str(one) == str(file)
    assert one.gateway() == GatewayLocation()  # a file does not say


def test_a_dry_run_shows_the_difference_and_changes_nothing(tmp_path: Path) -> None:
    file = manifest(tmp_path)
    shown = source(file).set({"blue": 40, "green": 60}, dry_run=True)
    assert [line.strip() for line in shown.splitlines() if line[1:2] == " "].count("-") == 0
    changed = [line for line in shown.splitlines() if line[0] in "+-" and line[1] == " "]
    assert [line[0] + line[1:].strip() for line in changed] == [
        "-weight: 75",
        "+weight: 40",
        "-weight: 25",
        "+weight: 60",
    ]
    assert file.read_bytes() == CANARY.read_bytes()
    same = source(file).set({"blue": 75, "green": 25}, dry_run=True)
    assert same == f"{file} stays as it is"


def test_of_a_directory_only_the_file_with_the_weights_is_edited(tmp_path: Path) -> None:
    (tmp_path / "services.yaml").write_text(SERVICES)
    (tmp_path / "route.yaml").write_text(SPLIT.format(api="v1"))
    one = source(tmp_path)
    assert dict(one.split().weights) == {"blue": 0.9, "green": 0.1}  # by the services' labels
    assert one.set({"blue": 50, "green": 50}) == f"edited: {tmp_path / 'route.yaml'}"
    assert dict(one.split().weights) == {"blue": 0.5, "green": 0.5}
    assert (tmp_path / "services.yaml").read_text() == SERVICES


def test_what_has_no_number_to_edit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "canary.yaml"
    file.write_text(
        "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: color}\n"
        "spec: {targetRef: {name: color}}\n"
    )
    with pytest.raises(InputError, match="a Canary's controller sets its weights"):
        source(file).set({"primary": 50, "canary": 50})
    with pytest.raises(InputError, match="cannot be edited: give a file"):
        source("-").set({"blue": 50, "green": 50})
    with pytest.raises(InputError, match="cannot be read: No such file"):
        source(tmp_path / "nothing.yaml").set({"blue": 50, "green": 50})


def test_a_file_that_cannot_be_written_is_refused_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, __: bytes) -> int:
        raise OSError(28, "No space left on device")

    file = manifest(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        source(file).set({"blue": 40, "green": 60})
    assert file.read_bytes() == CANARY.read_bytes()


def test_standard_input_is_read_when_it_is_needed() -> None:
    reads: list[str] = []

    def standard_input() -> str:
        reads.append("once")
        return CANARY.read_text()

    settings = SourceSettings("manifest", "-")
    one = source_of(settings, Probe(), standard_input)
    assert one is not None
    assert reads == []
    assert dict(one.split().weights) == {"blue": 0.75, "green": 0.25}


def test_options_name_a_source_or_none() -> None:
    mapping = {"blue-sub": "stable"}
    assert source_of(SourceSettings(), Probe()) is None
    one = source_of(SourceSettings("manifest", str(CANARY), "", mapping), Probe("/color"))
    assert one is not None
    assert dict(one.split().weights) == {"stable": 0.75, "green": 0.25}
    cluster = source_of(SourceSettings("virtual_service", "shop/color"), Probe())
    assert isinstance(cluster, ClusterSource)  # nobody has been asked yet
    assert str(cluster) == "virtual service shop/color"


def test_a_source_is_asked_for_the_request_that_is_sent() -> None:
    with pytest.raises(InputError, match="no rule of it takes /other"):
        ManifestSource(str(CANARY), Choice(Probe("/other"))).split()
