"""`forecast`: what the schedules are about to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import Parameter

from leasebeat.cli.asked import asked
from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.moments import is_length, length
from leasebeat.cli.options import COMMON, Common, desk_of
from leasebeat.cli.output import Column, plain, print_json, print_line, print_table
from leasebeat.cli.upcoming import standings
from leasebeat.explain import forecast as ahead
from leasebeat.explain.forecast import Taken, TooMany, taken_of
from leasebeat.model.instant import DAY, SECOND, Instant, Micros, to_text
from leasebeat.store.session import Record
from leasebeat.triggers.zones import zone

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["forecast"]

_LONGEST: Micros = 400 * DAY
_ROWS = 48
"""So many lines the load of a queue is told in, unless --by says otherwise."""
_SHOWN = 200
_STEPS: tuple[Micros, ...] = tuple(60 * SECOND * minutes for minutes in (1, 5, 15, 60, 360, 1440, 10080))

_LOAD = [Column("FROM"), Column("QUEUE", "fold"), Column("RUNS", right=True)]
_PEAKS = [
    Column("QUEUE", "fold"),
    Column("MOST AT ONCE", right=True),
    Column("SLOTS", right=True),
    Column("AT"),
]
_OVERLAPS = [
    Column("SCHEDULE", "fold"),
    Column("OVERLAP"),
    Column("P95", right=True),
    Column("SHORTEST GAP", right=True),
    Column("FIRES", right=True),
]
_CLOCKS = [Column("AT"), Column("SCHEDULE", "fold"), Column("TIMEZONE"), Column("WHAT")]
_CALENDARS = [
    Column("DAY"),
    Column("SCHEDULE", "fold"),
    Column("CALENDAR"),
    Column("WHAT"),
    Column("FIRES", right=True),
]


@dataclass(frozen=True, slots=True)
class _Range:
    begin: Instant
    end: Instant
    step: Micros


def forecast(
    pattern: Annotated[str | None, Parameter(help="Only these schedules, like 'billing/*'.")] = None,
    /,
    *,
    start: Annotated[
        str, Parameter(name="--from", help="First instant; as `explain` reads them, in UTC.", metavar="WHEN")
    ] = "",
    end: Annotated[
        str, Parameter(name="--to", help="Last instant, or a length of time: 7d.", metavar="WHEN")
    ] = "24h",
    by: Annotated[
        str | None, Parameter(help="Load by so much time: 1m. [as fits a screen]", metavar="LENGTH")
    ] = None,
    common: Common = COMMON,
) -> int:
    """Show what is to come: load by queue, peaks, likely overlaps, and what clocks and calendars do."""
    with desk_of(common) as desk:
        span = _range(start, end, by, desk.now())
        found = _forecast(desk, pattern, span)
    if common.json:
        print_json(found)
    else:
        _tell(found)
    return DONE


def _range(start: str, end: str, by: str | None, now: Instant) -> _Range:
    utc = zone("UTC")
    begin = asked(start, utc, now).begin if start else now
    last = begin + length("--to", end) if is_length(end) else asked(end, utc, now).end
    if not begin < last <= begin + _LONGEST:
        raise Usage(
            f"--to {end!r}: expected an instant after --from, {to_text(begin)}, and within 400 days of it"
        )
    fits = next((step for step in _STEPS if (last - begin) // step <= _ROWS), _STEPS[-1])
    step = fits if by is None else length("--by", by)
    if step < SECOND:
        raise Usage(f"--by {by!r}: expected one second at least")
    return _Range(begin // step * step if by is None else begin, last, step)


def _forecast(desk: Desk, pattern: str | None, span: _Range) -> dict[str, object]:
    rows = desk.schedules(pattern)
    found = [one.schedule for one in standings(desk, rows) if one.schedule is not None]
    schedules = {each.name: each for each in found if each.enabled}
    try:
        fires = ahead.fires_of(schedules.values(), span.begin, span.end)
    except TooMany as problem:
        raise Usage(
            f"more than {ahead.MOST} fires lie in that time; name a shorter one, or a pattern"
        ) from problem
    taken = _taken(desk, rows, fires)
    slots = {row["queue"]: row["slots"] for row in desk.queues()}
    return {
        "from_at": to_text(span.begin),
        "to_at": to_text(span.end),
        "step_s": span.step / SECOND,
        "fires": sum(map(len, fires.values())),
        "schedules": len(fires),
        "load": [plain(asdict(each)) for each in ahead.loads(fires, schedules, span.begin, span.step)],
        "peaks": [
            plain(asdict(each)) | {"slots": slots.get(each.queue, 0)}
            for each in ahead.peaks(fires, schedules, taken)
        ],
        "overlaps": [asdict(each) for each in ahead.overlaps(fires, schedules, taken)],
        "clocks": [
            plain(asdict(each)) for each in ahead.clock_effects(schedules.values(), span.begin, span.end)
        ],
        "calendars": [
            asdict(each) for each in ahead.calendar_effects(schedules.values(), span.begin, span.end)
        ],
    }


def _taken(desk: Desk, rows: Sequence[Record], fires: Mapping[str, object]) -> dict[str, Taken]:
    return {row["name"]: taken_of(desk.durations(row["id"])) for row in rows if row["name"] in fires}


# --- for people ---------------------------------------------------------------------------------


def _tell(found: Mapping[str, object]) -> None:
    begin, end = found["from_at"], found["to_at"]
    print_line(f"{begin} to {end}: {found['fires']} fires of {found['schedules']} schedules")
    _table("", _LOAD, found["load"], ("at", "queue", "fires"))
    _table(
        "peaks, if runs take as long as usual", _PEAKS, found["peaks"], ("queue", "at_once", "slots", "at")
    )
    names = ("schedule", "overlap", "p95_s", "shortest_s", "fires")
    _table("runs that may still be open at the next instant", _OVERLAPS, found["overlaps"], names)
    _table("clock changes", _CLOCKS, found["clocks"], ("at", "schedule", "timezone", "what"))
    _table("calendars", _CALENDARS, found["calendars"], ("day", "schedule", "calendar", "what", "fires"))


def _table(head: str, columns: Sequence[Column], found: object, names: Sequence[str]) -> None:
    rows = [[row[name] for name in names] for row in cast("list[dict[str, object]]", found)]
    if not rows:
        return
    print_line("")
    if head:
        print_line(head)
    print_table(columns, rows[:_SHOWN])
    if len(rows) > _SHOWN:
        print_line(f"and {len(rows) - _SHOWN} more: --json has all")
