"""`show`: one schedule, or one run, with all that belongs to it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from leasebeat.cli.exits import DONE
from leasebeat.cli.fires import RUN_COLUMNS, fire_records, parts_record, run_cells, run_record
from leasebeat.cli.graph import Graph, graph_of, names_in
from leasebeat.cli.moments import key_parts
from leasebeat.cli.options import COMMON, Common, check_count, desk_of
from leasebeat.cli.output import Column, plain, print_facts, print_json, print_line, print_table
from leasebeat.cli.schedules import next_texts, schedule_record
from leasebeat.cli.upcoming import standings
from leasebeat.model.instant import Instant
from leasebeat.model.node import NodeState
from leasebeat.store.session import Record

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["show"]

_BELOW = ("followers", "good_id", "next", "next_at", "nodes", "runs")
"""What is told of a schedule in words of its own."""

_BESIDE = ("attempts", "followers", "parts", "upstreams")
_NODES = [Column("NODE", "fold"), Column("STATE"), Column("RUNNING", right=True), Column("SLOTS", right=True)]
_ATTEMPTS = [
    Column("ATTEMPT", right=True),
    Column("NODE", "cut"),
    Column("OUTCOME"),
    Column("STARTED"),
    Column("ENDED"),
    Column("EXIT", right=True),
    Column("REASON", "cut"),
]


def show(
    name: Annotated[str, Parameter(help="What it is called, or the key of a run.")],
    /,
    *,
    count: Annotated[
        int, Parameter(name=["-n", "--count"], help="How many fires and runs.", metavar="N")
    ] = 5,
    common: Common = COMMON,
) -> int:
    """Show a schedule: its definition, problem, next fires, followers, nodes and last runs. Or one run."""
    check_count(count)
    with desk_of(common) as desk:
        if "@" in name:
            _show_run(_run(desk, name), common)
        else:
            _show_schedule(desk, name, count, common)
    return DONE


# --- a schedule ---------------------------------------------------------------------------------


def _show_schedule(desk: Desk, name: str, count: int, common: Common) -> None:
    row = desk.schedule(name)
    (standing,), now = standings(desk, [row]), desk.now()
    graph, rows = graph_of(desk.schedules()), desk.runs(name, limit=count)
    record = schedule_record(row, standing, now) | {
        "next": next_texts(standing, now, count),
        "nodes": _nodes(desk, row["queue"]),
        "followers": graph.followers.get(name, []),
        "runs": [run_record(run) for run in reversed(rows)],
    }
    if common.json:
        print_json(record)
        return
    _tell(record | {"problem": standing.told}, graph)
    fires = fire_records(desk, lambda limit: desk.runs(name, limit=limit), count)
    _table(RUN_COLUMNS, [run_cells(fire) for fire in reversed(fires)])


def _nodes(desk: Desk, queue: str) -> list[dict[str, object]]:
    """The nodes that serve a queue; `slots`: how many of its runs each may run at once."""
    found: list[dict[str, object]] = []
    for node in desk.nodes():
        limits: dict[str, int | None] = json.loads(node["queues"])
        if node["state"] == NodeState.LIVE and queue in limits and "execute" in json.loads(node["roles"]):
            limit = limits[queue]
            slots = node["slots"] if limit is None else min(limit, node["slots"])
            found.append(
                {"node": node["name"], "state": node["state"], "running": node["running"], "slots": slots}
            )
    return found


def _tell(record: Mapping[str, object], graph: Graph) -> None:
    print_facts({name: value for name, value in record.items() if name not in _BELOW})
    print_line("")
    upcoming = cast("list[str]", record["next"])
    print_line(
        ("next fires" if record["enabled"] else "next fires, were it not paused")
        + ("" if upcoming else ": none")
    )
    for at in upcoming:
        print_line(f"  {at}")
    if lines := graph.lines(str(record["name"])):
        print_line("")
        for line in lines:
            print_line(line)
    nodes = cast("list[dict[str, Any]]", record["nodes"])
    if not nodes:
        print_line("")
        print_line(f"no live node serves its queue {record['queue']}")
    _table(_NODES, [list(node.values()) for node in nodes])


def _table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        print_line("")
        print_table(columns, rows)


# --- a run --------------------------------------------------------------------------------------


def _run(desk: Desk, text: str) -> dict[str, object]:
    """A run with its attempts and its neighbours. The key of a fire of many parts means all of them."""
    name, fire_at, shard = key_parts(text)
    key = desk.run_named(name, fire_at, shard)
    row = desk.run(key)
    whole = row["shards"] > 1 and "#" not in text
    parts = desk.fires(key.schedule_id, fire_at, fire_at) if whole else []
    now = desk.row_of(key.schedule_id)
    graph = graph_of(desk.schedules())
    record = parts_record(desk, row) if whole else run_record(row)
    return record | {
        "attempts": [] if whole else [plain(attempt) for attempt in desk.attempts(key)],
        "parts": [run_record(part) for part in parts],
        "upstreams": _neighbours(desk, names_in(now["after"]) if now else [], fire_at),
        "followers": _neighbours(desk, graph.followers.get(now["name"], []) if now else [], fire_at),
    }


def _neighbours(desk: Desk, names: Sequence[str], fire_at: Instant) -> list[dict[str, object]]:
    """The fires of other schedules at the same instant, each as one."""
    found: list[dict[str, object]] = []
    for name in names:
        for schedule_id in desk.ids_of(name)[-1:]:
            rows = desk.fires(schedule_id, fire_at, fire_at, limit=1)
            found += [_as_one(desk, row) for row in rows]
    return found


def _as_one(desk: Desk, row: Record) -> dict[str, object]:
    return parts_record(desk, row) if row["shards"] > 1 else run_record(row)


def _show_run(record: dict[str, object], common: Common) -> None:
    if common.json:
        print_json(record)
        return
    print_facts({name: value for name, value in record.items() if name not in _BESIDE})
    _table(_ATTEMPTS, [_attempt_cells(each) for each in cast("list[dict[str, Any]]", record["attempts"])])
    if any(each["ended_at"] for each in cast("list[dict[str, Any]]", record["attempts"])):
        print_line(f"output: leasebeat logs {record['key']}")
    for head in ("parts", "upstreams", "followers"):
        runs = cast("list[dict[str, Any]]", record[head])
        if runs:
            print_line("")
            print_line(head)
            print_table(RUN_COLUMNS, [run_cells(run) for run in runs])


def _attempt_cells(attempt: Mapping[str, Any]) -> list[object]:
    names = ("attempt", "node", "outcome", "started_at", "ended_at", "exit_code")
    return [*(attempt[name] for name in names), attempt["reason"] or attempt["reason_code"]]
