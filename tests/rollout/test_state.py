"""The state of a release, in a file before each thing that is done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.refusals import attempted
from tests.support.releases import BEFORE, plan, release
from trafficsplit.analysis.run import CanaryLimits
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.rollout.spending import Spent
from trafficsplit.rollout.state import (
    FINISHED,
    GOING_BACK,
    PASSED,
    SETTING,
    STATE,
    VERIFYING,
    Release,
    StepLog,
    read_release,
    unfinished,
)
from trafficsplit.settings.commands import SourceSettings
from trafficsplit.settings.load import (
    ConnectionSettings,
    LoadSettings,
    RequestSettings,
    SendingSettings,
)
from trafficsplit.settings.question import Limits
from trafficsplit.settings.verify import VerifySettings

STEP = StepLog(
    at="2026-11-25T21:00:00.000+00:00",
    weights={"blue": 75.0, "green": 25.0},
    verdict="match",
    reason="because of it",
    exit_code=0,
    shares={"blue": 0.75, "green": None},
    confidence={"blue": [0.7, 0.8]},
    requests=7000,
    errors=3,
    report="01",
    effect={"seconds": 0.1, "unseen": ""},
    effect_text="in force 100 ms after it was set",
    alpha=0.006,
    mismatch_alpha=0.0015,
)
# Everything that can be set is.
FULL = VerifySettings(
    ("http://a", "https://b:8443"),
    Split({"blue": 3, "green": 1}),
    Limits(0.04, 0.002, 0.02, 0.9, 0.05, 20_000, "fixed", 0.004),
    LoadSettings(
        request=RequestSettings("/x", {"Host": "a"}, "header:x", "session", 4.0),
        connection=ConnectionSettings({"a": ("10.0.0.1",), "b": ()}, "/ca.pem", True),
        settle=1.5,
        rate=100.0,
        client="stock",
        record=True,
        previous=Split({"blue": 1, "green": 0}),
        canary=CanaryLimits(1.5, 2.0),
    ),
    SendingSettings(8, 2.0, 2),
)
SOURCE = SourceSettings(
    "virtual_service", "shop/color", "", {"v1": "blue"}, "prod", "istio-system/gw", True
)


def full(directory: Path) -> Release:
    """Return a release in the middle of its way, with every field set."""
    one = release(
        directory,
        source=SOURCE,
        verification=FULL,
        pause=5.0,
        hold=True,
        in_force_within=2.5,
    )
    one.weights = {"blue": 75.0, "green": 25.0}
    one.index = 1
    one.phase = VERIFYING
    one.log = [STEP, replace(STEP, back=True, effect=None)]
    one.spent = Spent(4, 2)
    return one


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    for one in (release(tmp_path), full(tmp_path)):
        one.write()
        assert read_release(tmp_path) == one


def test_a_step_has_the_canarys_weight_and_the_others_share_the_rest() -> None:
    assert plan().weights_at(0) == {"blue": 75.0, "green": 25.0}
    assert plan().weights_at(1) == {"blue": 0.0, "green": 100.0}
    assert plan().weights_at(2) is None


def test_phases_are_in_the_file_as_soon_as_they_are_entered(tmp_path: Path) -> None:
    one = release(tmp_path / "deep" / "down")
    for phase in (SETTING, VERIFYING, PASSED):
        one.enter(phase)
        assert read_release(one.directory).phase == phase
    one.pass_step()
    again = read_release(one.directory)
    assert (again.index, again.next_weights) == (1, {"blue": 0.0, "green": 100.0})


def test_a_verification_is_spent_from_its_beginning_and_a_match_gives_back(
    tmp_path: Path,
) -> None:
    one = release(tmp_path)
    own = Limits(alpha=0.1)
    one.plan = replace(one.plan, verification=replace(one.plan.verification, limits=own))
    assert one.next_verification.limits.alpha == pytest.approx(0.06)
    one.enter(VERIFYING)
    assert read_release(tmp_path).spent == Spent(1, 1)
    assert read_release(tmp_path).next_verification.limits.alpha == pytest.approx(0.03)
    one.note(STEP)
    one.pass_step()
    assert read_release(tmp_path).spent == Spent(1, 0)
    one.enter(VERIFYING)
    one.note(replace(STEP, verdict="inconclusive", exit_code=3))
    one.write()
    assert read_release(tmp_path).spent == Spent(2, 1)


def test_a_state_of_the_first_version_has_spent_what_its_log_says(tmp_path: Path) -> None:
    one = full(tmp_path)
    one.log.append(replace(STEP, verdict="broken"))
    one.write()
    plain = json.loads((tmp_path / STATE).read_text())
    del plain["spent"]
    (tmp_path / STATE).write_text(json.dumps(plain))
    assert read_release(tmp_path).spent == Spent(3, 1)


def test_a_release_that_goes_back_goes_on_going_back_until_it_ends(tmp_path: Path) -> None:
    one = release(tmp_path)
    one.phase = GOING_BACK
    for phase in (SETTING, VERIFYING, PASSED):
        one.enter(phase)
        assert read_release(tmp_path).phase == GOING_BACK
    one.enter(FINISHED)
    assert read_release(tmp_path).phase == FINISHED


def test_only_what_has_not_ended_is_unfinished(tmp_path: Path) -> None:
    assert unfinished(tmp_path) is None
    one = release(tmp_path)
    one.write()
    assert unfinished(tmp_path) == one
    one.enter(FINISHED)
    assert unfinished(tmp_path) is None


def test_where_it_is_and_the_ways_out_are_one_line(tmp_path: Path) -> None:
    one = release(tmp_path)
    assert one.phase == SETTING
    assert one.where == (
        "the gateway may have blue 100 %, green 0 %; go on with --continue, go back with --undo"
    )
    one.enter(VERIFYING)
    assert one.where.startswith("the gateway has blue 100 %, green 0 %; go on")


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written .*: give another --report DIR"):
        release(tmp_path / "file").write()


def test_no_half_of_a_state_takes_the_place_of_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    one = release(tmp_path)
    one.write()
    before = (tmp_path / STATE).read_text()
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    one.weights = {"blue": 0.0, "green": 100.0}
    with pytest.raises(InputError, match="No space left on device"):
        one.write()
    assert (tmp_path / STATE).read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == [STATE]


def test_where_there_is_none_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no rollout in .*: No such file"):
        read_release(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        '"text"',
        "null",
        "{}",
        '{"plan": 5}',
        '{"plan": {}, "log": []}',
        "\udc80",
        "[" * 100_000,
    ],
)
def test_a_damaged_state_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / STATE).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"^the rollout in .* is damaged: ") as refusal:
        read_release(tmp_path)
    assert len(str(refusal.value).splitlines()) == 1


def broken_at(node: object, data: st.DataObject) -> object:
    """Return JSON in which something, somewhere, is something else or missing."""
    odd = st.sampled_from([None, 5, -1.5, "text", [], {}, [1], {"a": 1}, True])
    if isinstance(node, dict) and node and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(node)))
        rest = {name: value for name, value in node.items() if name != key}
        if data.draw(st.booleans()):
            return {**rest, key: broken_at(node[key], data)}
        return rest
    return data.draw(odd)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_state_is_ever_a_traceback(tmp_path: Path, data: st.DataObject) -> None:
    full(tmp_path).write()
    file = tmp_path / STATE
    file.write_text(json.dumps(broken_at(json.loads(file.read_text()), data)))
    found = attempted(lambda: read_release(tmp_path))
    if not isinstance(found, Release):
        assert len(str(found).splitlines()) == 1
        return
    assert found.where
    for index in range(found.index, len(found.plan.steps)):
        assert found.plan.weights_at(index)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"index": 1', '"index": 7'),
        ('"index": 1', '"index": -1'),
        ('"phase": "verifying"', '"phase": "dancing"'),
        ('"pause": 5.0', '"pause": "5"'),
        ('"pause": 5.0', '"pause": -5'),
        ('"in_force_within": 2.5', '"in_force_within": NaN'),
        ('"variant": "green"', '"variant": "red"'),
        ('"green": 0.0', '"green": "none"'),
        ('"begun": 4', '"begun": 1'),
        ('"begun": 4', '"begun": "4"'),
        ('"hold": true,', '"hold": true, "unknown": 1,'),
    ],
)
def test_what_would_be_found_out_in_mid_walk_is_refused_at_once(
    tmp_path: Path, old: str, new: str
) -> None:
    full(tmp_path).write()
    text = (tmp_path / STATE).read_text()
    assert old in text
    (tmp_path / STATE).write_text(text.replace(old, new))
    with pytest.raises(InputError, match="is damaged"):
        read_release(tmp_path)


def test_before_is_what_was_before(tmp_path: Path) -> None:
    one = release(tmp_path)
    one.weights = {"blue": 1.0, "green": 99.0}
    one.write()
    assert read_release(tmp_path).plan.before == BEFORE
