"""Files that are whole or not there: whoever reads one never sees half of it."""

from __future__ import annotations

from pathlib import Path


def replace_text(file: Path, text: str, aside: Path | None = None) -> None:
    """Write a text beside a file, and rename it into its place. Raises OSError.

    `aside` is for what watches the file's directory. The file's mode and line ends stay.
    """
    aside = aside or file.with_name(f"{file.name}.new")
    aside.write_bytes(text.encode("utf-8"))
    if file.exists():
        aside.chmod(file.stat().st_mode)
    aside.replace(file)
