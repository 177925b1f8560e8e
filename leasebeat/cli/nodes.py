"""Commands on nodes: nodes, drain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, cast

from cyclopts import Parameter

from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.options import COMMON, Common, desk_of, flag
from leasebeat.cli.output import Column, plain, print_json, print_line, print_table, seconds
from leasebeat.model.node import NodeState

__all__ = ["drain", "nodes"]

_COLUMNS = [
    Column("NODE", "fold"),
    Column("STATE"),
    Column("BEAT"),
    Column("RUNNING", right=True),
    Column("QUEUES", "cut"),
    Column("VERSION"),
]


def nodes(
    *,
    every: Annotated[bool, flag("Also those that left or were purged.", "--all")] = False,
    common: Common = COMMON,
) -> int:
    """List nodes."""
    with desk_of(common) as desk:
        records = [plain(row) | {"node": row["name"]} for row in desk.nodes(every)]
    if common.json:
        print_json(records)
    else:
        print_table(_COLUMNS, [_cells(record) for record in records])
    return DONE


def _cells(record: Mapping[str, object]) -> list[object]:
    running = f"{record['running']}/{record['slots']}"
    return [
        record["name"],
        record["state"],
        seconds(record["beat_at"]),
        running,
        _queues(record["queues"]),
        record["version"],
    ]


def _queues(queues: object) -> str:
    """The queues as `--queues` takes them: default,heavy:2."""
    named = cast("dict[str, int | None]", queues)
    return ",".join(name if limit is None else f"{name}:{limit}" for name, limit in named.items())


def drain(
    node: Annotated[str, Parameter(help="Name of the node.")],
    /,
    *,
    cordon: Annotated[bool, flag("Take no new work, but stay.")] = False,
    resume: Annotated[bool, flag("Take work again.")] = False,
    common: Common = COMMON,
) -> int:
    """Let a node end what it runs, take nothing new, and leave."""
    if cordon and resume:
        raise Usage("drain: --cordon and --resume are opposites; give one of them")
    state = NodeState.CORDONED if cordon else NodeState.LIVE if resume else NodeState.DRAINING
    with desk_of(common) as desk:
        desk.set_node_state(node, state)
    if common.json:
        print_json({"node": node, "state": state})
    else:
        print_line(f"{node}: {state}")
    return DONE
