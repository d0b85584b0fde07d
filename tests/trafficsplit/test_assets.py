"""The folders that a person works in: beside src/ in a checkout, inside the package in a wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from trafficsplit import assets
from trafficsplit.assets import asset


@pytest.mark.parametrize(
    "parts",
    [
        ("locustfiles", "color.py"),
        ("color", "app.py"),
        ("color", "color-blue.yaml"),
        ("istio", "color-istio-gw-canary-pct.yaml"),
        ("istio",),
    ],
)
def test_a_checkout_has_them_beside_src(parts: tuple[str, ...]) -> None:
    assert asset(*parts) == ROOT.joinpath(*parts)
    assert asset(*parts).exists()


def test_a_wheel_has_them_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "istio").mkdir()
    (tmp_path / "istio" / "x.yaml").touch()
    monkeypatch.setattr(assets, "_PACKAGE", tmp_path)
    assert asset("istio", "x.yaml") == tmp_path / "istio" / "x.yaml"
    assert asset("color") == ROOT / "color"
