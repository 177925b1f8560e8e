"""`preview`: when something would fire."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.moments import instant
from leasebeat.cli.options import COMMON, Common, desk_of
from leasebeat.cli.output import Column, print_json, print_table
from leasebeat.cli.upcoming import next_of, next_of_trigger
from leasebeat.model.instant import Instant, from_datetime, to_datetime, to_text
from leasebeat.model.schedule import schedule_from_row
from leasebeat.runtime import SystemRuntime
from leasebeat.triggers import parse

__all__ = ["preview"]

MOST = 10_000


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
    if not 1 <= count <= MOST:
        raise Usage(f"-n {count}: expected 1 to {MOST}")
    begin = None if start is None else instant("--from", start)
    zone, found = (
        (timezone or "UTC", _of_expression(cron, timezone or "UTC", begin, count))
        if cron is not None
        else _of_schedule(name or "", begin, count, common)
    )
    _show(found, zone, common)
    return DONE


def _of_expression(cron: str, timezone: str, begin: Instant | None, count: int) -> list[Instant]:
    trigger = parse(cron, timezone=timezone)
    now = from_datetime(SystemRuntime().wall()) if begin is None else begin
    return next_of_trigger(trigger, now, count)


def _of_schedule(name: str, begin: Instant | None, count: int, common: Common) -> tuple[str, list[Instant]]:
    with desk_of(common) as desk:
        schedule = schedule_from_row(desk.schedule(name))
        return schedule.timezone, next_of(schedule, desk.now() if begin is None else begin, count)


def _show(found: list[Instant], zone: str, common: Common) -> None:
    if common.json:
        print_json([to_text(at) for at in found])
        return
    local = ZoneInfo(zone)
    print_table(
        [Column("UTC"), Column(zone)],
        [
            (to_text(at), to_datetime(at).astimezone(local).strftime("%a %Y-%m-%d %H:%M:%S %z"))
            for at in found
        ],
    )
