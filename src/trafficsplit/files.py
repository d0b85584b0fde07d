"""Files that are whole or not there: no reader ever sees half of one."""

from __future__ import annotations

import contextlib
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write a file that has no readers yet. Raises OSError, and then leaves no half of it."""
    try:
        file.write_bytes(text.encode("utf-8"))
    except BaseException:  # a signal, too
        with contextlib.suppress(OSError):
            file.unlink()
        raise


def replace_text(file: Path, text: str, aside: Path | None = None) -> None:
    """Write a text beside a file, and rename it into its place. Raises OSError.

    `aside` is where the text is written first, in case the file's directory is being watched. The
    file's mode and line ends stay.
    """
    aside = aside or file.with_name(f"{file.name}.new")
    write_whole(aside, text)
    if file.exists():
        aside.chmod(file.stat().st_mode)
    aside.replace(file)
