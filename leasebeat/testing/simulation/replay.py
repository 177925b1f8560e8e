"""`scripts/simulate`: run one seed again and tell what happened, in virtual time; or run many."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from leasebeat.logs import configure
from leasebeat.model.instant import to_text
from leasebeat.settings import Level, Log
from leasebeat.testing.simulation.kept import Kept
from leasebeat.testing.simulation.many import simulate_many, simulate_nightly
from leasebeat.testing.simulation.mutations import MUTATIONS
from leasebeat.testing.simulation.seed import Plan, Report, describe, run_seed, shrunk
from leasebeat.testing.simulation.world import World


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if the seeds hold, 1 if one does not."""
    options = _options(arguments)
    if options.nightly:
        return simulate_nightly(options.state, options.minutes, options.jobs)
    if options.seed is None:
        return simulate_many(options.first, options.seeds, options.jobs)
    return _replay(options)


def _replay(options: argparse.Namespace) -> int:
    mutation = MUTATIONS.get(options.mutation)
    plan = replace(mutation.plan if mutation else Plan(), kept=options.only)
    if options.log:
        plan = replace(plan, prepare=_telling(plan, options.log))
    report = run_seed(options.seed, plan)
    report.mutation = options.mutation or ""
    if options.shrink and report.violations:
        report = shrunk(report, plan)
    if options.journal or options.schedule:
        _print_journal(report, options.schedule)
    print(describe(report, most=50))
    print(", ".join(f"{count} {what}" for what, count in report.totals.items()))
    print(f"journal {report.digest}, {report.seconds:.2f} s of CPU")
    return 1 if report.violations else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", help="this one alone")
    parser.add_argument("--seeds", type=int, default=100, help="so many, where none is named")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--nightly", action="store_true", help="a million seeds of this date, or on with them"
    )
    parser.add_argument("--minutes", type=float, default=480.0, help="the time limit of --nightly")
    parser.add_argument("--state", type=Path, default=Path("build/nightly.json"), help="where it goes on")
    parser.add_argument("--shrink", action="store_true", help="with as little of the seed as still fails")
    parser.add_argument("--only", type=Kept.parse, default=Kept(), help="that part of the seed")
    parser.add_argument(
        "--mutation", choices=sorted(MUTATIONS), help="with one rule of the protocol taken out"
    )
    parser.add_argument("--log", choices=("DEBUG", "INFO", "WARNING", "ERROR"), help="the nodes' log")
    parser.add_argument("--journal", action="store_true", help="everything that was committed, begun or done")
    parser.add_argument("--schedule", type=int, help="the journal of one schedule (and of nodes and faults)")
    return parser.parse_args(arguments)


def _telling(plan: Plan, level: Level) -> Callable[[World], None]:
    """The plan's preparation, and the nodes' log among the entries of the journal."""

    def prepare(world: World) -> None:
        plan.prepare(world)

        def sink(line: str) -> None:
            world.journal.append(f"{world.kernel.current!r}: {line.split(' ', 1)[1].strip()}")

        configure(Log(level=level), sink=sink)

    return prepare


def _print_journal(report: Report, schedule: int | None) -> None:
    at = 0
    for entry in report.journal:
        at = getattr(entry, "at", at)
        key = getattr(entry, "key", None)
        of = getattr(entry, "schedule_id", key.schedule_id if key is not None else None)
        if schedule is None or of in (schedule, None):
            print(to_text(at), entry)


if __name__ == "__main__":
    sys.exit(main())
