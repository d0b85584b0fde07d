"""One verification in a process of its own: `python -P -m trafficsplit.gate.worker REPORT`.

The request comes on standard input, parsed already. If this process breaks, the gate goes on.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from trafficsplit.errors import BrokenError
from trafficsplit.frame import run_framed
from trafficsplit.gate.requests import verification_from_plain
from trafficsplit.report.publish import Clock, Saying, exit_code
from trafficsplit.verification import Occasion, verify
from trafficsplit.weights.sources import source_of

REQUEST = "asked.json"  # in a report's directory: what was asked, without secrets


def main() -> int:
    """Verify, and write the report; return the exit code."""
    began = time.monotonic()
    report = Path(sys.argv[1])
    try:
        verification = verification_from_plain(json.load(sys.stdin))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BrokenError(f"broken: the request cannot be read: {error}") from None
    occasion = Occasion(
        clock=Clock(began),
        report=report,
        saying=Saying(quiet=True, github=False),
        # Weights that change meanwhile make it no verdict.
        source=source_of(verification.source, verification.probe),
    )
    return exit_code(verify(verification.settings, occasion))


if __name__ == "__main__":
    sys.exit(run_framed(main))
