"""`python -P -m trafficsplit.lab DIRECTORY ACCESS_LOG MANIFEST…`: own a lab until SIGTERM comes."""

import sys
from pathlib import Path

from trafficsplit.frame import run_framed
from trafficsplit.lab.background import own


def main() -> int:
    """Own the lab that `lab.up` asks for; return the exit code."""
    directory, access_log, *manifests = sys.argv[1:]
    return own(Path(directory), list(map(Path, manifests)), access_log)


if __name__ == "__main__":
    sys.exit(run_framed(main))
