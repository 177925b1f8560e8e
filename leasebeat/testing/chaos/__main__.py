"""`scripts/chaos`: ill-treat a fleet of real workers by a seed, and tell what became of it."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from leasebeat.testing.chaos.ground import Plan
from leasebeat.testing.chaos.ring import run
from leasebeat.testing.servers import sweep

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 passed, 1 something was found, 2 too little happened, 3 take-overs were late."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _told_to_end)
    plan = Plan(
        options.seed,
        coordinator=options.coordinator,
        seconds=round(options.minutes * 60),
        nodes=options.nodes,
        schedules=options.schedules,
    )
    folder = Path(tempfile.mkdtemp(prefix="lb-chaos-"))
    try:
        report = run(folder, plan, options.plot)
    finally:
        if not options.keep:
            sweep(folder)
    print("\n".join(report.lines()), flush=True)
    return {"passed": 0, "FAILED": 1, "INVALID": 2, "LATE": 3}[report.verdict]


def _told_to_end(number: int, frame: object) -> NoReturn:
    """As ctrl-C: nothing of it is left then, either."""
    del frame
    sys.exit(128 + number)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults come (10)")
    parser.add_argument("--seed", type=int, default=1, help="draws the faults (1)")
    parser.add_argument("--coordinator", choices=("store", "zookeeper"), default="store")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a picture of it, as SVG")
    parser.add_argument("--keep", action="store_true", help="leave the workers' logs and the evidence")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
