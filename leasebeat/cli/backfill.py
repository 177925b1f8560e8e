"""`backfill`: run past instants of a schedule that have not run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from leasebeat.cli.exchange import DryRun
from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.moments import moment_ago
from leasebeat.cli.options import COMMON, Common, desk_of, settings_of
from leasebeat.cli.output import note, print_json, print_line
from leasebeat.errors import Refused
from leasebeat.model.instant import DAY, Instant, from_seconds, to_text
from leasebeat.model.schedule import Schedule
from leasebeat.node.judge import judge
from leasebeat.store.desk_backfill import Fires
from leasebeat.triggers import in_window, instants, trigger_for

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["backfill"]

_MOST = 10_000
_LANE = 64  # as long as the column


def backfill(
    name: Annotated[str, Parameter(help="The schedule.")],
    /,
    *,
    start: Annotated[
        str, Parameter(name="--from", help="The first instant, or how long ago: 48h.", metavar="WHEN")
    ],
    end: Annotated[str, Parameter(name="--to", help="All before that.", metavar="WHEN")],
    parallel: Annotated[
        int | None, Parameter(help="How many at once. [1, or what its lane allows]", metavar="N")
    ] = None,
    dry_run: DryRun = False,
    common: Common = COMMON,
) -> int:
    """Run past instants of a schedule that have no run, or one that was missed or skipped.

    By its definition of now, beside its own fires, one after the other unless --parallel is said. What ran,
    runs or waits is left alone, so a second call goes on where the first one broke off.
    """
    if parallel is not None and not 1 <= parallel <= _MOST:
        raise Usage(f"--parallel {parallel}: expected 1 to {_MOST}")
    kept = from_seconds(settings_of(common).retention.succeeded_days * DAY / 1_000_000)
    with desk_of(common) as desk:
        now = desk.now()
        first, last = moment_ago("--from", start, now), moment_ago("--to", end, now)
        if last <= first:
            raise Usage(f"--to {end!r} is not after --from {start!r}")
        schedule, version, enabled = _definition(desk, name)
        if schedule.lane is not None and parallel is not None:
            raise Usage(f"{name!r} has the lane {schedule.lane!r}, which bounds it: leave --parallel out")
        _check_range(desk, first, last, kept)
        fires = _fires(schedule, version, _instants(schedule, first, last))
        todo = desk.backfill_look(fires)
        if not dry_run:
            if schedule.lane is None and (todo.open or todo.reopen):
                desk.set_lane(fires.lane, parallel or 1)
            desk.backfill(fires, todo)
    record: dict[str, object] = {
        "schedule": name,
        "from": to_text(first),
        "to": to_text(last),
        "instants": len(fires.instants),
        "opened": len(todo.open),
        "reopened": len(todo.reopen),
        "left": len(todo.left),
        "spans": [to_text(at) for at in todo.spans],
        "lane": fires.lane,
        "dry_run": dry_run,
    }
    if common.json:
        print_json(record)
    else:
        _tell(record, todo.spans, enabled)
    return DONE


def _definition(desk: Desk, name: str) -> tuple[Schedule, int, bool]:
    """The definition in use, its version, and whether it is enabled. Raises Refused."""
    row = desk.schedule(name)
    newest = next(iter(desk.versions([row["id"]])), None)
    if newest is None or (newest.version, newest.updated_at) != (row["version"], row["updated_at"]):
        raise Refused(f"no node has read {name!r} as it stands yet: try again when one has")
    if newest.problem or newest.definition is None:
        raise Refused(f"{name!r} cannot be used: {newest.problem}; mend it with `leasebeat edit`")
    schedule = judge(json.loads(newest.definition))
    if schedule.route == "all":
        raise Refused(
            f"{name!r} runs on every node of its instant, and which those were is past: run it by hand"
        )
    return schedule, newest.id, newest.enabled


def _check_range(desk: Desk, first: Instant, last: Instant, kept: int) -> None:
    now, role = desk.now(), desk.role()
    watermark: Instant | None = role["watermark"] if role else None
    if watermark is None:
        raise Refused("there is no watermark yet: nothing is past before a node has audited it")
    if last - 1 > watermark:
        raise Refused(
            f"--to {to_text(last)} is above the watermark, {to_text(watermark)}: what is due after it"
            " is still the audit's to open"
        )
    if first < now - kept:
        raise Refused(
            f"--from {to_text(first)} is older than [retention] succeeded_days keeps runs: they would be"
            f" removed as soon as they have run; the oldest is {to_text(now - kept)}"
        )


def _instants(schedule: Schedule, first: Instant, last: Instant) -> list[Instant]:
    found = instants(trigger_for(schedule), first - 1, last - 1, _MOST + 1)
    found = [at for at in found if in_window(schedule, at)]
    if len(found) * schedule.shards > _MOST:
        raise Refused(f"these are more than {_MOST} runs: take a shorter range, and the next one after it")
    return found


def _fires(schedule: Schedule, version: int, found: list[Instant]) -> Fires:
    lane = schedule.lane or f"backfill/{schedule.name}"
    return Fires(
        schedule=schedule.name,
        schedule_id=schedule.id,
        version=version,
        instants=found,
        shards=schedule.shards,
        queue=schedule.queue,
        priority=schedule.priority - 1,
        lane=lane if len(lane) <= _LANE else f"backfill/#{schedule.id}",
    )


def _tell(record: dict[str, object], spans: Sequence[Instant], enabled: bool) -> None:
    would = "would be " if record["dry_run"] else ""
    print_line(
        f"{record['schedule']}: {record['instants']} instants; {record['opened']} runs {would}opened,"
        f" {record['reopened']} {would}opened again, {record['left']} left alone"
    )
    if spans:
        told = ", ".join(map(to_text, spans))
        note(f"not opened: {told}: the row stands for many missed instants, and stays")
    if not enabled:
        note("the schedule is paused: nothing of it starts until `leasebeat resume`")
