"""Locust as a child of ours: `python -P -m trafficsplit.locust.child PIPE`.

It imports Locust, and waits for its task: one line of JSON on standard input, with the run's own
directory, where the settings are, and Locust's arguments. The counts go to the pipe.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from trafficsplit.frame import run_framed


def main() -> int:
    """Run Locust when the task has come; return the exit code."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    from locust.main import main as locust_main  # its patches of sockets come first

    from trafficsplit.locust import patches, user  # noqa: F401 — what the locustfile will import
    from trafficsplit.locust.parent import Parent, connect
    from trafficsplit.settings.verify import SETTINGS, read_settings

    task = sys.stdin.readline()
    if not task:  # nothing is to be sent after all
        return 0
    directory, *arguments = json.loads(task)
    os.chdir(directory)
    patches.isolate()
    settings = read_settings(Path(directory))
    (Path(directory) / SETTINGS).unlink(missing_ok=True)  # a header may be a secret
    connect(Parent(settings, directory, descriptor))
    sys.argv = ["locust", *arguments]
    locust_main()
    return 0


if __name__ == "__main__":
    sys.exit(run_framed(main))
