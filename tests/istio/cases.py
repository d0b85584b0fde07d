"""Print tests/cases/istiod.json, made anew from a running istiod: `python -m tests.istio.cases`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.istio.conftest import open_each
from tests.support.istio import cluster
from tests.support.istiod_cases import istiod, recorded


def main() -> None:
    """Start a cluster, apply the files in turn, and print what istiod makes of each request."""
    found = []
    with tempfile.TemporaryDirectory() as directory, cluster(Path(directory)) as istio:
        open_each(istio, 1)
        with istiod(istio, "istio-system/gateway-0:admin") as made:
            for number, (file, cases) in enumerate(recorded().items(), 1):
                print(f"{number} {file}", file=sys.stderr)
                found += made.cases_of(file, cases)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
