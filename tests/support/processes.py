"""The processes that a command has started."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil


def processes_of(directory: Path) -> list[psutil.Process]:
    """Return every process that was started for something in this directory."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            files = [f.path for f in process.open_files()] if command else []
        except psutil.Error:
            continue
        if any(str(directory) in text for text in [*command, *files]):
            found.append(process)
    return [p for p in found if p.pid != os.getpid()]


def refuses(address: str) -> bool:
    """Return whether nobody listens at `HOST:PORT`."""
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0
