import errno
import os
from pathlib import Path

import pytest

from trafficsplit.files import replace_text, write_whole


def test_a_text_is_written_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for text in ("", "a\r\nb\n", "ü✓\u2028"):
        write_whole(file, text)
        assert file.read_bytes() == text.encode()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()]
)
def test_no_half_of_a_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def write_half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:3])
        raise error

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(type(error)):
        write_whole(tmp_path / "file", "whole")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_that_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "file", "x")


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o640)
    with file.open() as reader:
        replace_text(file, "new\r\n")
        assert reader.read() == "old"
    assert file.read_bytes() == b"new\r\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    replace_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"


def test_a_watched_directory_sees_no_other_file(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "file").write_text("old")
    aside = tmp_path / "aside"
    replace_text(watched / "file", "new", aside)
    assert (watched / "file").read_text() == "new"
    assert not aside.exists()


def test_where_the_new_text_cannot_be_written_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        replace_text(file, "new")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
