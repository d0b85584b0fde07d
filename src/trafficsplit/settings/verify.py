"""All settings of a verification: gateways, split, limits and load.

A child process reads them from the file that its parent wrote, and parses no options of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.errors import BrokenError
from trafficsplit.settings.load import (
    LoadSettings,
    SendingSettings,
    load_as_plain,
    load_from_plain,
)
from trafficsplit.settings.question import Limits, limits_as_plain, limits_from_plain

SETTINGS = "settings.json"  # in a run's directory


@dataclass(frozen=True)
class VerifySettings:
    """One verification. `hosts` are the gateways' base URLs; `run_id` is empty until it is run.

    Raises InputError for settings whose question makes no sense.
    """

    hosts: tuple[str, ...]
    split: Split
    limits: Limits = Limits()
    load: LoadSettings = LoadSettings()
    sending: SendingSettings = SendingSettings()
    run_id: str = ""

    def __post_init__(self) -> None:
        """Refuse settings that no question can have. Raises InputError."""
        _ = self.question

    @property
    def question(self) -> Question:
        """The question for one gateway."""
        return self.limits.question(self.split, canary=self.load.canary)

    def of(self, split: Split) -> VerifySettings:
        """Return the same verification of another split. Raises InputError."""
        return replace(self, split=split)


def verify_as_plain(settings: VerifySettings) -> dict[str, Any]:
    """Return settings as plain data, for a file."""
    return {
        "hosts": list(settings.hosts),
        "split": dict(settings.split.weights),
        "limits": limits_as_plain(settings.limits),
        "load": load_as_plain(settings.load),
        "sending": vars(settings.sending),
        "run_id": settings.run_id,
    }


def verify_from_plain(plain: Mapping[str, Any]) -> VerifySettings:
    """Return settings from plain data. Raises TypeError, KeyError or ValueError."""
    return VerifySettings(
        hosts=tuple(plain["hosts"]),
        split=Split(plain["split"]),
        limits=limits_from_plain(plain["limits"]),
        load=load_from_plain(plain["load"]),
        sending=SendingSettings(**plain["sending"]),
        run_id=plain["run_id"],
    )


def write_settings(settings: VerifySettings, directory: Path) -> None:
    """Write the file that a child reads. Raises OSError."""
    text = json.dumps(verify_as_plain(settings), indent=2, ensure_ascii=False)
    file = directory / SETTINGS
    file.touch(0o600)  # a header may be a secret
    file.write_text(text + "\n", "utf-8")


def read_settings(directory: Path) -> VerifySettings:
    """Return the settings that `write_settings` wrote. Raises BrokenError."""
    try:
        return verify_from_plain(json.loads((directory / SETTINGS).read_text("utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BrokenError(f"broken: {directory / SETTINGS} cannot be read: {error}") from None
