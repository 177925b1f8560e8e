"""`preview`: when something would fire."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.moments import instant
from leasebeat.cli.options import COMMON, Common, check_count, desk_of
from leasebeat.cli.output import Column, print_json, print_line, print_table
from leasebeat.cli.upcoming import next_of, note_hints, why_never, with_days
from leasebeat.model.instant import Instant, from_datetime, to_datetime, to_text
from leasebeat.model.schedule import Schedule, schedule_from_row
from leasebeat.runtime import SystemRuntime

__all__ = ["preview"]


def preview(
    name: Annotated[str | None, Parameter(help="The schedule; or give --cron.")] = None,
    /,
    *,
    cron: Annotated[
        str | None, Parameter(help="An expression to try; needs no store.", metavar="EXPR")
    ] = None,
    timezone: Annotated[
        str | None, Parameter(help="IANA name of the zone of --cron. [default: UTC]", metavar="ZONE")
    ] = None,
    start: Annotated[
        str | None,
        Parameter(
            name="--from", help="First instant to look at, with its offset. [default: now]", metavar="INSTANT"
        ),
    ] = None,
    count: Annotated[int, Parameter(name=["-n", "--count"], help="How many instants.", metavar="N")] = 10,
    common: Common = COMMON,
) -> int:
    """Show when a schedule, or an expression, fires next."""
    if (name is None) == (cron is None):
        raise Usage("preview: expected a schedule's NAME or --cron EXPRESSION, one of the two")
    if timezone is not None and cron is None:
        raise Usage(f"--timezone {timezone!r}: a schedule has its own; it goes with --cron")
    check_count(count)
    begin = None if start is None else instant("--from", start)
    schedule, now = (
        (Schedule(0, "", cron, "", timezone=timezone or "UTC"), from_datetime(SystemRuntime().wall()))
        if cron is not None
        else _of_store(name or "", common)
    )
    _show(schedule, next_of(schedule, now if begin is None else begin, count), common)
    return DONE


def _of_store(name: str, common: Common) -> tuple[Schedule, Instant]:
    with desk_of(common) as desk:
        (row,) = with_days(desk, [desk.schedule(name)])
        return schedule_from_row(row), desk.now()


def _show(schedule: Schedule, found: list[Instant], common: Common) -> None:
    zone = schedule.timezone
    if common.json:
        print_json([to_text(at) for at in found])
        return
    note_hints(schedule.cron)
    if not found:
        print_line(why_never(schedule))
        return
    local = ZoneInfo(zone)
    print_table(
        [Column("UTC"), Column(zone)],
        [
            (to_text(at), to_datetime(at).astimezone(local).strftime("%a %Y-%m-%d %H:%M:%S %z"))
            for at in found
        ],
    )
