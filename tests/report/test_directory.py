"""Where a report goes: whole or not at all, and never mixed with another run's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trafficsplit.errors import InputError
from trafficsplit.load.parquet import RECORDING
from trafficsplit.report.directory import (
    ASIDE,
    FILES,
    REPORTS,
    VERDICT,
    ReportDirectory,
    directory_name,
    report_directory,
)


def tree(directory: Path) -> dict[str, str]:
    """Return the text of every file beneath a directory, by its path."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(directory))] = path.read_text()
    return found


def written(report: ReportDirectory, **texts: str) -> None:
    for name, text in texts.items():
        (report.aside / name.replace("_", ".")).write_text(text)


def test_nothing_stands_in_its_place_before_the_report_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with report_directory(target) as report:
        written(report, verdict_json="new", tally_csv="new")
        assert [path.name for path in target.iterdir()] == [report.aside.name]
        assert report.aside.name.startswith(ASIDE)
        assert report.put_in_place("ignored") == target
    assert tree(target) == {"tally.csv": "new", "verdict.json": "new"}


def test_the_verdict_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        moved.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    with report_directory(tmp_path / "r") as report:
        written(report, verdict_json="x", zzz_txt="x", aaa_txt="x")
        report.put_in_place("ignored")
    assert len(moved) == 3
    assert moved[-1] == VERDICT


def test_a_second_run_into_the_same_directory_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "r"
    with report_directory(target) as report:
        written(report, verdict_json="first")
        with (
            pytest.raises(InputError, match=r"another run is writing into .*: give another"),
            report_directory(target),
        ):
            raise AssertionError("two runs at once")
        report.put_in_place("ignored")
    assert tree(target) == {"verdict.json": "first"}
    # The first has ended.
    with report_directory(target) as report:
        written(report, verdict_json="second")
        report.put_in_place("ignored")
    assert tree(target) == {"verdict.json": "second"}


def test_a_run_of_another_process_is_respected_too(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from trafficsplit.report.directory import report_directory\n"
        "with report_directory(Path(sys.argv[1])): pass"
    )
    with report_directory(tmp_path / "r"):
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "r")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert "another run is writing into" in other.stderr


def earlier(target: Path) -> None:
    """Let an earlier run have left its files, beside one of somebody else's."""
    target.mkdir()
    for name in FILES:
        (target / name).write_text("old")
    (target / RECORDING).mkdir()
    (target / RECORDING / "part.parquet").write_text("old")
    (target / "notes.txt").write_text("mine")


def test_a_run_without_a_report_leaves_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    # Issue 13, fault 6: rollout read a stale verdict.json as the step's.
    target = tmp_path / "r"
    earlier(target)

    def run() -> None:
        with report_directory(target) as report:
            written(report, settings_json="x")
            raise KeyError("it broke")

    with pytest.raises(KeyError):
        run()
    assert tree(target) == {"notes.txt": "mine"}


def test_a_new_report_takes_an_earlier_ones_place_whole(tmp_path: Path) -> None:
    target = tmp_path / "r"
    earlier(target)
    with report_directory(target) as report:
        assert tree(target) == {"notes.txt": "mine"}
        written(report, verdict_json="new")
        report.put_in_place("ignored")
    assert tree(target) == {"notes.txt": "mine", "verdict.json": "new"}


def test_what_is_judged_stays_until_its_report_is_there(tmp_path: Path) -> None:
    target = tmp_path / "r"
    earlier(target)
    before = tree(target)
    with report_directory(target, keep=True) as report:
        written(report, verdict_json="new")
        assert {name: text for name, text in tree(target).items() if ASIDE not in name} == before
        report.put_in_place("ignored")
    recording = f"{RECORDING}{os.sep}part.parquet"
    assert tree(target) == {"notes.txt": "mine", "verdict.json": "new", recording: "old"}


def test_where_what_is_judged_gets_no_report_it_stays(tmp_path: Path) -> None:
    target = tmp_path / "r"
    earlier(target)
    before = tree(target)
    with report_directory(target, keep=True):
        pass
    assert tree(target) == before


def test_a_new_recording_takes_the_old_ones_place(tmp_path: Path) -> None:
    target = tmp_path / "r"
    earlier(target)
    with report_directory(target, keep=True) as report:
        (report.aside / RECORDING).mkdir()
        (report.aside / RECORDING / "other.parquet").write_text("new")
        report.put_in_place("ignored")
    assert tree(target) == {"notes.txt": "mine", f"{RECORDING}{os.sep}other.parquet": "new"}


def test_empty_directories_are_not_left(tmp_path: Path) -> None:
    with report_directory(tmp_path / "r"):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with report_directory(tmp_path / "mine"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert list((tmp_path / "mine").iterdir()) == []


def test_what_may_explain_a_failure_is_left(tmp_path: Path) -> None:
    with report_directory(tmp_path / "r") as report:
        written(report, locust_log="Traceback", settings_json="x")
    assert (report.aside / "locust.log").read_text() == "Traceback"


# --- directories that are named by the verdict ---


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("at_home")
def test_a_report_without_a_place_is_named_by_its_verdict() -> None:
    places = []
    for number in range(3):
        with report_directory(None) as report:
            written(report, verdict_json=str(number))
            places.append(report.put_in_place("20260101T000000Z-match"))
    assert [str(place) for place in places] == [
        str(REPORTS / "20260101T000000Z-match"),
        str(REPORTS / "20260101T000000Z-match-2"),
        str(REPORTS / "20260101T000000Z-match-3"),
    ]
    assert tree(places[1]) == {"verdict.json": "1"}


@pytest.mark.usefixtures("at_home")
def test_others_may_read_a_report_as_they_may_read_other_files() -> None:
    before = os.umask(0o022)
    try:
        with report_directory(None) as report:
            written(report, verdict_json="x")
            place = report.put_in_place("name")
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o755


@pytest.mark.usefixtures("at_home")
def test_two_runs_without_a_place_do_not_meet() -> None:
    with report_directory(None) as one, report_directory(None) as other:
        assert one.aside != other.aside
        written(one, verdict_json="one")
        written(other, verdict_json="other")
        assert one.put_in_place("name") != other.put_in_place("name")
    assert tree(REPORTS / "name") == {"verdict.json": "one"}


@pytest.mark.usefixtures("at_home")
def test_a_run_that_ends_without_a_report_leaves_no_directory_of_its_own() -> None:
    with report_directory(None):
        pass
    assert list(REPORTS.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with (
        pytest.raises(InputError, match=f"^{file}.* cannot be written .*: give another --report"),
        report_directory(file / "r"),
    ):
        raise AssertionError("it was written")


def test_a_name_has_the_start_in_utc() -> None:
    name = directory_name("2026-11-25T21:00:00.123Z", "match")
    assert name == "20261125T210000Z-match"
