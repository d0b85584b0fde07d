"""The systems of the lab, as the tutorial's manifests describe them, and others like them."""

from __future__ import annotations

from pathlib import Path

from trafficsplit.lab import MANIFESTS, System, read_system

CANARY = MANIFESTS[2].read_text()
BLUE = MANIFESTS[0].read_text()


def read(directory: Path, *texts: str) -> System:
    """Write manifests into a directory, and return the system that they describe."""
    files = []
    for number, text in enumerate(texts):
        file = directory / f"manifest{number}.yaml"
        file.write_text(text)
        files.append(file)
    return read_system(files)


def tutorial() -> System:
    """Return the tutorial's own system."""
    return read_system(MANIFESTS)
