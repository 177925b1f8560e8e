"""`scripts/simulate`: run one seed again and tell what happened, in virtual time."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from leasebeat.logs import configure
from leasebeat.model.instant import to_text
from leasebeat.settings import Level, Log
from leasebeat.testing.simulation.mutations import MUTATIONS
from leasebeat.testing.simulation.seed import Plan, Report, describe, run_seed
from leasebeat.testing.simulation.world import World


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if the seed holds, 1 if it does not."""
    options = _options(arguments)
    mutation = MUTATIONS.get(options.mutation)
    plan = mutation.plan if mutation else Plan()
    if options.log:
        plan = replace(plan, prepare=_telling(plan, options.log))
    report = run_seed(options.seed, plan)
    if options.journal or options.schedule:
        _print_journal(report, options.schedule)
    print(describe(report, most=50))
    print(", ".join(f"{count} {what}" for what, count in report.totals.items()))
    print(f"journal {report.digest}, {report.seconds:.2f} s of CPU")
    return 1 if report.violations else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("seed", type=int)
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
