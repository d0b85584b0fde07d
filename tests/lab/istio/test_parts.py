"""The real programs: pinned, built once, and named where they are missing."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from trafficsplit.errors import LabError
from trafficsplit.lab.istio import parts

KEYS = next(part for part in parts.PARTS if part.module == "keys")
GO = """#!/bin/sh
# Stands for Go: it writes what it is asked to build, or fails.
[ -z "$GO_FAILS" ] || { echo "no space left" >&2; exit 1; }
while [ "$1" != -o ]; do shift; done
echo built > "$2keys"
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def _own_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text(GO)
    go.chmod(go.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_every_module_pins_its_versions_and_hashes() -> None:
    for part in parts.PARTS:
        folder = parts.MODULES / part.module
        assert (folder / "go.mod").exists()
        if part.module != "keys":  # which needs nothing but Go itself
            assert " h1:" in (folder / "go.sum").read_text("utf-8")


def test_what_is_not_built_is_named_with_the_way_out() -> None:
    with pytest.raises(LabError, match=r"kube-apiserver.*: trafficsplit lab build, once"):
        parts.check_built()
    with pytest.raises(LabError, match="pilot-discovery has not been built"):
        parts.program("pilot-discovery")
    assert len(parts.missing(all_of_them=True)) == len(parts.PARTS)
    assert "flagger" not in [part.module for part in parts.missing()]


@pytest.mark.usefixtures("_own_go")
def test_a_part_is_built_once() -> None:
    told: list[tuple[str, float]] = []
    for _ in range(2):
        parts.build([KEYS], lambda what, seconds: told.append((what, seconds)))
    assert told == [("1/1 keys", 0)]
    assert parts.program("keys").read_text() == "built\n"
    assert sorted(file.name for file in parts.home().iterdir()) == ["bin", "lock", "logs"]


@pytest.mark.usefixtures("_own_go")
def test_a_build_that_fails_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GO_FAILS", "1")
    with pytest.raises(LabError, match="go build of keys failed: no space left"):
        parts.build([KEYS], lambda *_: None)
    assert KEYS in parts.missing()
    assert not (parts.home() / "keys.new").exists()


def test_without_go_there_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="built by Go, which is not on PATH"):
        parts.build([KEYS], lambda *_: None)


def test_other_versions_have_another_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = parts.home()
    monkeypatch.setattr(parts, "MODULES", tmp_path)
    assert parts.home() != before
    assert parts.home().parent == before.parent
