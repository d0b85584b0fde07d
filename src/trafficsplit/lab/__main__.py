"""`python -m lab DIRECTORY ACCESS_LOG MANIFEST…`: own a lab until told to stop; see `lab.up`."""

import sys
from pathlib import Path

from lab.background import own

if __name__ == "__main__":
    sys.exit(own(Path(sys.argv[1]), [Path(name) for name in sys.argv[3:]], sys.argv[2]))
