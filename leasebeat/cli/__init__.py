"""The command line: `leasebeat ...`, the same as `python scheduler.py ...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code.

    The worker starts without the libraries of the other commands, so that it is there at once and
    stays small.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["worker"]:
        from leasebeat.cli import worker

        return worker.main(words[1:])
    from leasebeat.cli import commands

    return commands.run(words)
