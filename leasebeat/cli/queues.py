"""Commands on queues and lanes: queues, lanes, lane; and `pause` and `resume` of queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from leasebeat.cli.exits import DONE, Usage
from leasebeat.cli.options import COMMON, Common, desk_of
from leasebeat.cli.output import Column, print_json, print_line, print_table

__all__ = ["lane", "lanes", "pause_queues", "queues"]

_QUEUES = [
    Column("QUEUE", "fold"),
    Column("PAUSED"),
    Column("QUEUED", right=True),
    Column("READY", right=True),
    Column("OLDEST", right=True),
    Column("RUNNING", right=True),
    Column("NODES", right=True),
    Column("SLOTS", right=True),
]
_LANES = [
    Column("LANE", "fold"),
    Column("SIZE", right=True),
    Column("RUNNING", right=True),
    Column("WAITING", right=True),
]

_LONGEST, _LARGEST = 64, 1_000_000


def queues(*, common: Common = COMMON) -> int:
    """List queues: what waits in each, since when the oldest might have started, and who serves it."""
    with desk_of(common) as desk:
        records = desk.queues()
    if common.json:
        print_json(records)
        return DONE
    print_table(
        _QUEUES,
        [
            [
                row["queue"],
                "paused" if row["paused"] else "",
                row["queued"],
                row["ready"],
                "" if row["oldest_wait_s"] is None else f"{row['oldest_wait_s']:.0f}s",
                row["running"],
                row["nodes"],
                row["slots"],
            ]
            for row in records
        ],
    )
    return DONE


def lanes(*, common: Common = COMMON) -> int:
    """List lanes: how many runs each lets run at once, how many do, and how many wait."""
    with desk_of(common) as desk:
        records = desk.lanes()
    if common.json:
        print_json(records)
    else:
        print_table(_LANES, [[row["name"], row["size"], row["running"], row["waiting"]] for row in records])
    return DONE


def lane(
    name: Annotated[str, Parameter(help="Name of the lane, as schedules have it.")],
    /,
    *,
    size: Annotated[int, Parameter(help="How many of its runs may run at once.", metavar="N")],
    common: Common = COMMON,
) -> int:
    """Set how many runs a lane lets run at once. What runs already goes on."""
    if not 1 <= len(name) <= _LONGEST:
        raise Usage(f"{name!r}: expected a name of 1 to {_LONGEST} characters")
    if not 1 <= size <= _LARGEST:
        raise Usage(f"--size {size}: expected 1 to {_LARGEST}")
    with desk_of(common) as desk:
        changed = desk.set_lane(name, size)
    if common.json:
        print_json({"name": name, "size": size, "changed": changed})
    else:
        print_line(f"lane {name}: size {size}" + ("" if changed else ", as before"))
    return DONE


def pause_queues(names: Sequence[str], paused: bool, common: Common) -> int:
    """Pause queues, or resume them."""
    with desk_of(common) as desk:
        count = desk.pause_queues(names, paused)
    state = "paused" if paused else "resumed"
    if common.json:
        print_json([{"queue": name, "paused": paused} for name in names])
    else:
        print_line(f"{state} {count} of {len(names)} queues")
    return DONE
