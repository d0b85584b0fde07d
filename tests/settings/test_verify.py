"""All of a verification, and the file by which a child gets it."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.refusals import attempted
from tests.support.runs import CANARY
from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import BrokenError, InputError
from trafficsplit.settings.load import (
    ConnectionSettings,
    LoadSettings,
    RequestSettings,
    SendingSettings,
)
from trafficsplit.settings.question import Limits
from trafficsplit.settings.verify import (
    SETTINGS,
    VerifySettings,
    read_settings,
    verify_as_plain,
    verify_from_plain,
    write_settings,
)

RICH = VerifySettings(
    hosts=("http://a", "http://b"),
    split=CANARY,
    limits=Limits(tolerance=0.03, alpha=0.05, requests=77, test="fixed"),
    load=LoadSettings(
        request=RequestSettings("/ü", {"Host": "shop"}, "header:x", "session", 2.5),
        connection=ConnectionSettings({"a": ("10.0.0.7",), "b": ()}, "/ca.pem", insecure=True),
        settle=1.5,
        rate=9.0,
        client="stock",
        record=True,
        previous=Split({"blue": 1, "green": 0}),
        canary=CanaryLimits(2.0, None),
    ),
    sending=SendingSettings(users=3, ramp=1.0, processes=2),
    run_id="abc",
)


@pytest.mark.parametrize("one", [RICH, VerifySettings((), CANARY)])
def test_a_child_reads_what_its_parent_wrote(tmp_path: Path, one: VerifySettings) -> None:
    write_settings(one, tmp_path)
    assert read_settings(tmp_path) == one


def test_what_cannot_be_asked_is_refused_when_the_settings_are_made() -> None:
    # Issue 13, fault 1: nothing may be done before that is known.
    with pytest.raises(InputError, match="give less than 25"):
        VerifySettings((), CANARY, Limits(tolerance=0.3))
    with pytest.raises(InputError, match="give a larger --tolerance"):
        VerifySettings((), CANARY, Limits(tolerance=1e-9))


def test_the_same_verification_of_another_split_is_checked_again() -> None:
    wide = VerifySettings((), CANARY, Limits(tolerance=0.1), run_id="abc")
    other = wide.of(Split({"blue": 50, "green": 50}))
    assert other == dataclasses.replace(wide, split=Split({"blue": 50, "green": 50}))
    assert other.question.tolerance == 0.1
    with pytest.raises(InputError, match="give less than 5"):
        wide.of(Split({"blue": 95, "green": 5}))


def test_the_question_is_that_of_the_limits() -> None:
    question = RICH.question
    assert (question.split, question.tolerance, question.requests) == (CANARY, 0.03, 77)


def test_without_a_file_the_tool_is_broken(tmp_path: Path) -> None:
    with pytest.raises(BrokenError, match=f"{SETTINGS} cannot be read: .*No such file"):
        read_settings(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "7", "\udcff"])
def test_a_damaged_file_breaks_the_tool_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / SETTINGS).write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(BrokenError, match=f"^broken: .*{SETTINGS} cannot be read"):
        read_settings(tmp_path)


def places(plain: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every key of nested mappings."""
    if not isinstance(plain, dict):
        return []
    found = []
    for key, value in plain.items():
        found.append((*path, key))
        found += places(value, (*path, key))
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(places(verify_as_plain(RICH))),
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.just([[]]),
)
def test_damage_breaks_the_tool_or_makes_settings(
    tmp_path: Path, path: tuple[str, ...], damage: Any
) -> None:
    plain: Any = copy.deepcopy(verify_as_plain(RICH))
    place = plain
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = damage
    (tmp_path / SETTINGS).write_text(json.dumps(plain), "utf-8")
    found = attempted(lambda: read_settings(tmp_path), BrokenError)
    assert isinstance(found, VerifySettings) or len(str(found).splitlines()) == 1


def test_a_part_that_is_missing_is_an_error_that_the_reader_knows() -> None:
    for key in verify_as_plain(RICH):
        plain = verify_as_plain(RICH)
        del plain[key]
        with pytest.raises((KeyError, TypeError, ValueError)):
            verify_from_plain(plain)
