"""One node of the fleet: `python worker.py --help`."""

import sys

from leasebeat.cli.worker import main

if __name__ == "__main__":
    sys.exit(main())
