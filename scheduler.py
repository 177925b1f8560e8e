"""The command line: `python scheduler.py --help`."""

import sys

from leasebeat.cli import main

if __name__ == "__main__":
    sys.exit(main())
