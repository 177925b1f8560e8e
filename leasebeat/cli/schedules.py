"""Commands on schedules: add, edit, list, pause, resume, remove."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from leasebeat.cli.columns import COLUMNS, Columns, assignments, read
from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.moments import length
from leasebeat.cli.options import COMMON, Common, desk_of, flag
from leasebeat.cli.output import Column, note, plain, print_json, print_line, print_table, seconds
from leasebeat.cli.queues import pause_queues
from leasebeat.cli.select import is_pattern, named
from leasebeat.cli.upcoming import Standing, next_of, note_hints, standings, why_never
from leasebeat.errors import Refused
from leasebeat.model.instant import SECOND, Instant, to_text
from leasebeat.node.judge import judge
from leasebeat.store.session import Record

if TYPE_CHECKING:
    from leasebeat.model.schedule import Schedule
    from leasebeat.store.desk import Desk

__all__ = ["add", "edit", "list_", "next_texts", "pause", "remove", "resume", "schedule_record"]

_COLUMNS = [Column("NAME", "fold"), Column("CRON", "cut"), Column("NEXT"), Column("LAST"), Column("STATUS")]

Name = Annotated[str, Parameter(help="What it is called.")]
Names = Annotated[str, Parameter(help="Names, or patterns like 'billing/*'.")]
Cron = Annotated[
    str | None, Parameter(help="When: '0 3 * * *', '@every 90s', '@manual', ...", metavar="EXPR")
]
Command = Annotated[
    str | None,
    Parameter(help="What: a shell line, module:function or URL.", metavar="TEXT", allow_leading_hyphen=True),
]


def add(
    name: Name,
    /,
    *,
    cron: Cron = None,
    command: Command = None,
    delay: Annotated[
        str | None,
        Parameter(name="--in", help="Once, after that time, instead of --cron: 20s.", metavar="LENGTH"),
    ] = None,
    replace: Annotated[bool, flag("Put it in the place of the one that is there.")] = False,
    columns: Columns = COLUMNS,
    common: Common = COMMON,
) -> int:
    """Add a schedule."""
    if (cron is None) == (delay is None) or command is None:
        raise Usage("add: expected NAME --cron EXPR --command TEXT, or --in LENGTH in place of --cron")
    with desk_of(common) as desk:
        when = cron if delay is None else _once(desk.now() + length("--in", delay))
        values = read({"name": name, "cron": when or "", "command": command, **columns.given()})
        _check_graph(desk, judge({"id": 0, **values}))
        desk.add(values, replace=replace)
        _tell(desk, name, "added", common)
    return DONE


def _check_graph(desk: Desk, wanted: Schedule) -> None:
    """Refuse a follower that can never follow; names may be written before what they name."""
    if not wanted.after:
        return
    from leasebeat.node.graph import graph_between

    rows = desk.schedules()
    among = {one.id: one for each in standings(desk, rows) if (one := each.schedule) is not None}
    among = {number: one for number, one in among.items() if one.name != wanted.name} | {wanted.id: wanted}
    unknown = [name for name in wanted.after if name not in {row["name"] for row in rows} - {wanted.name}]
    problem = graph_between(among).problems.get(wanted.id)
    if problem and not unknown:
        raise Refused(problem)
    for name in unknown:
        note(f"note: no schedule is called {name!r} yet: until there is one, this does not run")


def _once(at: Instant) -> str:
    """The expression of an instant, on the next whole second."""
    return f"@at {to_text(-(-at // SECOND) * SECOND)}"


def edit(
    name: Name,
    /,
    *,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set", help="A column's new value; empty: NULL.", metavar="COLUMN=VALUE", negative=""
        ),
    ] = None,
    cron: Cron = None,
    command: Command = None,
    columns: Columns = COLUMNS,
    common: Common = COMMON,
) -> int:
    """Change columns of a schedule; what is not named stays as it is.

    Without a column it opens $VISUAL or $EDITOR on the whole row, as TOML.
    """
    said = {"cron": cron, "command": command}
    texts = (
        assignments(set_ or []) | columns.given() | {k: text for k, text in said.items() if text is not None}
    )
    if not texts:
        return _edit_by_hand(name, common)
    values = read(texts)
    with desk_of(common) as desk:
        row = desk.schedule(name)
        wanted = judge({**row, **values})
        if "after" in values:
            _check_graph(desk, wanted)
        desk.edit(name, values, row["version"])
        _tell(desk, str(values.get("name", name)), "changed", common)
    return DONE


def _edit_by_hand(name: str, common: Common) -> int:
    from leasebeat.cli.editor import edit_by_hand

    with desk_of(common) as desk:
        told = edit_by_hand(desk, name)
        _tell(desk, told or name, "changed" if told else "nothing changed about", common)
    return DONE


def _tell(desk: Desk, name: str, done: str, common: Common) -> None:
    row = desk.schedule(name)
    (standing,) = standings(desk, [row])
    record = schedule_record(row, standing, desk.now())
    if common.json:
        print_json(record)
    else:
        print_line(f"{done} {name}; {_when(record, standing)}")
        note_hints(row["cron"])


def _when(record: Mapping[str, object], standing: Standing) -> str:
    if not record["enabled"]:
        return "it is paused"
    if standing.told:
        return standing.told
    return f"next at {record['next_at']}" if record["next_at"] else why_never(standing.schedule)


def schedule_record(row: Record, standing: Standing, now: Instant) -> dict[str, object]:
    """A schedule as JSON has it, and when what is in force fires next."""
    first = next_texts(standing, now, 1) if row["enabled"] else []
    return plain(row) | {
        "problem": standing.problem,
        "good_id": standing.good_id,
        "next_at": first[0] if first else None,
    }


def next_texts(standing: Standing, now: Instant, count: int) -> list[str]:
    """When what is in force fires next."""
    return [to_text(at) for at in next_of(standing.schedule, now, count)] if standing.schedule else []


def list_(
    pattern: Annotated[str | None, Parameter(help="Only these, like 'billing/*'.")] = None,
    /,
    *,
    common: Common = COMMON,
) -> int:
    """List schedules: when they fire next, how they ended last, what is wrong with them."""
    with desk_of(common) as desk:
        rows = desk.schedules(pattern)
        if pattern is not None and not rows and not is_pattern(pattern):
            desk.schedule(pattern)  # says that there is none
        standing, now = standings(desk, rows), desk.now()
    records = [schedule_record(row, one, now) for row, one in zip(rows, standing, strict=True)]
    if common.json:
        print_json(records)
        return DONE
    print_table(_COLUMNS, [_cells(record) for record in records])
    for row, one in zip(rows, standing, strict=True):
        if one.problem:
            print_line(f"{row['name']}: {one.told}")
    return DONE


def _cells(record: Mapping[str, object]) -> list[object]:
    status = record["last_status"] if record["enabled"] else "paused"
    return [
        record["name"],
        record["cron"],
        seconds(record["next_at"]),
        seconds(record["last_at"]),
        "problem" if record["problem"] else status,
    ]


def pause(
    *names: Names,
    queue: Annotated[
        list[str] | None,
        Parameter(name="--queue", help="A queue instead: it goes on filling.", metavar="NAME", negative=""),
    ] = None,
    every: Annotated[bool, flag("Every schedule.", "--all")] = False,
    kill: Annotated[bool, flag("Also kill what runs or waits of them.")] = False,
    common: Common = COMMON,
) -> int:
    """Pause schedules: nothing of them fires until `resume`. Or queues: nothing of them starts."""
    if queue:
        _check_queues(names, every, kill)
        return pause_queues(queue, True, common)
    with desk_of(common) as desk:
        return _enable(desk, names, every, False, kill, common)


def resume(
    *names: Names,
    queue: Annotated[
        list[str] | None, Parameter(name="--queue", help="A queue instead.", metavar="NAME", negative="")
    ] = None,
    every: Annotated[bool, flag("Every schedule.", "--all")] = False,
    common: Common = COMMON,
) -> int:
    """Resume paused schedules; what they would have fired meanwhile stays undone. Or paused queues."""
    if queue:
        _check_queues(names, every, False)
        return pause_queues(queue, False, common)
    with desk_of(common) as desk:
        return _enable(desk, names, every, True, False, common)


def _check_queues(names: Sequence[str], every: bool, kill: bool) -> None:
    if names or every or kill:
        raise Usage("--queue stands alone: pause schedules, and kill their runs, with a command of its own")


def _enable(desk: Desk, words: Sequence[str], every: bool, enabled: bool, kill: bool, common: Common) -> int:
    before = {str(row["name"]): bool(row["enabled"]) for row in desk.schedules()}
    chosen = named(words, every, list(before))
    count = desk.enable(chosen, enabled)  # counted by the store: others may be doing the same now
    killed = desk.kill_of(chosen, requested_by=getpass.getuser()) if kill else 0
    if common.json:
        changed = {name for name in chosen if before[name] != enabled} if count else set[str]()
        print_json([{"name": name, "enabled": enabled, "changed": name in changed} for name in chosen])
    else:
        state = "resumed" if enabled else "paused"
        print_line(
            f"{state} {count} of {len(chosen)} schedules" + (f", killed {killed} runs" if kill else "")
        )
    return DONE


def remove(
    *names: Annotated[str, Parameter(help="Names; patterns are not taken.")], common: Common = COMMON
) -> int:
    """Remove schedules; their runs stay on record until retention takes them."""
    if not names:
        raise Usage("remove: expected the NAME of a schedule")
    with desk_of(common) as desk:
        desk.remove(names)
    if common.json:
        print_json([{"name": name} for name in names])
    else:
        print_line(f"removed {', '.join(names)}")
    return DONE
