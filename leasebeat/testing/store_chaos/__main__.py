"""`scripts/chaos-store`: ill-treat a fleet by a seed once more, and tell what became of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from leasebeat.logs import configure
from leasebeat.model.instant import to_text
from leasebeat.settings import Log
from leasebeat.testing.servers import MariaDB, Redis, sweep
from leasebeat.testing.store_chaos.mutations import MUTATIONS
from leasebeat.testing.store_chaos.ring import Plan, Report, describe, run_seed


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if all seeds hold, 1 if one does not."""
    options = _options(arguments)
    plan = MUTATIONS[options.mutation].plan if options.mutation else Plan()
    if options.seconds:
        plan = replace(plan, seconds=options.seconds)
    if options.log:
        configure(Log(level=options.log))
    failed = False
    for seed in options.seeds:
        folder = Path(tempfile.mkdtemp(prefix="lb-chaos-"))
        try:
            with MariaDB(folder) as mariadb, Redis(folder) as redis:
                report = run_seed(seed, mariadb, redis, plan)
        finally:
            sweep(folder)
        failed = failed or bool(report.violations)
        if options.journal or options.schedule:
            _print_journal(report, options.schedule)
        print(describe(report, most=50), flush=True)
    return int(failed)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos-store", description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+", metavar="SEED")
    parser.add_argument("--seconds", type=float, help="how long the fleet is ill-treated (18)")
    parser.add_argument("--mutation", choices=sorted(MUTATIONS), help="with a rule of the protocol taken out")
    parser.add_argument("--log", choices=("DEBUG", "INFO", "WARNING", "ERROR"), help="the nodes' log")
    parser.add_argument("--journal", action="store_true", help="everything that was committed or begun")
    parser.add_argument("--schedule", type=int, help="the journal of one schedule (and of nodes)")
    return parser.parse_args(arguments)


def _print_journal(report: Report, schedule: int | None) -> None:
    for entry in report.journal:
        key = getattr(entry, "key", None)
        of = getattr(entry, "schedule_id", key.schedule_id if key is not None else None)
        if schedule is None or of in (schedule, None):
            print(to_text(entry.at), entry)


if __name__ == "__main__":
    sys.exit(main())
