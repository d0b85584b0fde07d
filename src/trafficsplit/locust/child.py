"""Locust as a child of ours: `python -P -m trafficsplit.locust.child DIRECTORY PIPE ARGUMENT…`.

It works in the run's own directory, reads its settings there, and gives what it counted to the
pipe.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trafficsplit.frame import run_framed
from trafficsplit.settings.verify import read_settings


def main() -> int:
    """Run Locust."""
    directory = sys.argv[1]
    descriptor = int(sys.argv[2])
    arguments = sys.argv[3:]
    os.set_inheritable(descriptor, False)
    settings = read_settings(Path(directory))
    from locust.main import main as locust_main  # its patches of sockets come first

    from trafficsplit.locust import patches
    from trafficsplit.locust.parent import Parent, connect

    patches.isolate()
    connect(Parent(settings, directory, descriptor))
    sys.argv = ["locust", *arguments]
    locust_main()
    return 0


if __name__ == "__main__":
    sys.exit(run_framed(main))
