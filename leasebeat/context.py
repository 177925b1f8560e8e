"""Which run the calling code belongs to."""

from __future__ import annotations

import json
import os
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from leasebeat.errors import NotFound
from leasebeat.model.instant import from_text, to_datetime
from leasebeat.model.upstream import Upstream, fit, parse

if TYPE_CHECKING:
    from leasebeat.executors.base import Launch


@dataclass(frozen=True, slots=True)
class CurrentRun:
    """One attempt, as its task sees it.

    `fence` grows with every start of the run: a store that keeps the largest one it has seen, and
    refuses smaller ones, is safe from an attempt that was given up and does not know it yet.
    `upstream` tells of the runs that this one followed: `key`, `schedule`, `shard`, `shards`,
    `status`, `exit_code` and `result` (or `result_omitted`) of each.
    """

    schedule: str
    schedule_id: int
    run_key: str
    fire_at: datetime  #: aware, in UTC
    attempt: int
    fence: int
    shard: int
    shards: int
    shard_arg: object
    node: str
    node_id: str
    upstream: list[Upstream] = field(default_factory=list[Upstream])


in_thread: ContextVar[Launch] = ContextVar("in_thread")
"""The attempt that this thread of the worker runs, with `python_isolation = "thread"`."""


def current_run() -> CurrentRun:
    """The run that the calling code belongs to.

    Works in `python` tasks (with `python_isolation = "thread"` not in threads that they start
    themselves) and in every process that a task has started, by its environment. Raises NotFound
    anywhere else.
    """
    launch = in_thread.get(None)
    if launch is not None:
        return _from_launch(launch)
    if "LEASEBEAT_RUN_KEY" in os.environ:
        return _from_environment()
    raise NotFound("current_run() was called outside a run: no task of Leasebeat has started this code")


def _from_launch(launch: Launch) -> CurrentRun:
    return CurrentRun(
        schedule=launch.schedule.name,
        schedule_id=launch.key.schedule_id,
        run_key=launch.key_text,
        fire_at=to_datetime(launch.key.fire_at),
        attempt=launch.attempt,
        fence=launch.fence,
        shard=launch.key.shard,
        shards=launch.shards,
        shard_arg=launch.shard_arg,
        node=launch.node_name,
        node_id=launch.node_id,
        upstream=parse(fit(launch.upstream or "[]")),
    )


def _from_environment() -> CurrentRun:
    told = {name.removeprefix("LEASEBEAT_"): value for name, value in os.environ.items()}
    return CurrentRun(
        schedule=told["SCHEDULE"],
        schedule_id=int(told["SCHEDULE_ID"]),
        run_key=told["RUN_KEY"],
        fire_at=to_datetime(from_text(told["FIRE_AT"])),
        attempt=int(told["ATTEMPT"]),
        fence=int(told["FENCE"]),
        shard=int(told["SHARD"]),
        shards=int(told["SHARDS"]),
        shard_arg=json.loads(told.get("SHARD_ARG", "null")),
        node=told["NODE"],
        node_id=told["NODE_ID"],
        upstream=parse(told.get("UPSTREAM", "[]")),
    )
