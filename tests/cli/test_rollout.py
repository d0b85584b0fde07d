"""The command that walks a release, interrupted."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from trafficsplit.cli.rollout import rollout
from trafficsplit.errors import ExitCode, InputError


class FullDisk:
    """A release whose state cannot be written."""

    where = "green stands at 10 %"

    def write(self) -> None:
        """Refuse."""
        raise InputError("out cannot be written (No space left on device)")


def test_an_interruption_is_one_on_a_full_disk_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def onward() -> int:
        raise KeyboardInterrupt

    walk = SimpleNamespace(release=FullDisk(), onward=onward)
    monkeypatch.setattr(sys.modules["trafficsplit.cli.rollout"], "_walk", lambda settings: walk)
    code = rollout.main(["--steps", "10"], standalone_mode=False)
    assert code == ExitCode.INTERRUPTED
    said = capsys.readouterr().err
    assert said.startswith("interrupted: green stands at 10 %\nnote: out cannot be written")
