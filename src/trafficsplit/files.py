"""Files that are whole or not there: nobody who reads one sees half of it."""

from __future__ import annotations

import contextlib
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write a file that nobody reads yet. Raises OSError, and leaves no half of it then."""
    try:
        file.write_bytes(text.encode("utf-8"))
    except OSError:
        with contextlib.suppress(OSError):
            file.unlink()
        raise


def replace_text(file: Path, text: str, aside: Path | None = None) -> None:
    """Write a text beside a file, and rename it into its place. Raises OSError.

    `aside` is for what watches the file's directory. The file's mode and line ends stay.
    """
    aside = aside or file.with_name(f"{file.name}.new")
    write_whole(aside, text)
    if file.exists():
        aside.chmod(file.stat().st_mode)
    aside.replace(file)
