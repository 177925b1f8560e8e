"""Schedules: what to run, when, and under which policies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from leasebeat.errors import DefinitionError
from leasebeat.model.instant import Instant

Kind = Literal["shell", "python", "http", "publish"]
Overlap = Literal["skip", "wait", "replace", "allow"]
Misfire = Literal["once", "all", "skip"]
OnNodeLoss = Literal["rerun", "fail", "finish"]
AfterRule = Literal["success", "done", "failure"]
Dst = Literal["cron", "skip", "both"]

DEFAULT_TIMEOUT_S: dict[str, float] = {"shell": 86400.0, "python": 86400.0, "http": 60.0, "publish": 60.0}


@dataclass(frozen=True, slots=True)
class Schedule:
    """One row of `schedules`, as people wrote it; names and defaults are the table's.

    `args`, `shard_args`, `after` and `alert` are parsed JSON. `starts_at` and `ends_at` are instants.
    `calendar_days` is no column: the node that records a version writes into it what the table `calendars`
    says, ISO dates by effect (`exclude`, `add`), in order; None where nobody has looked.
    """

    id: int
    name: str
    cron: str
    command: str
    description: str = ""
    owner: str = ""
    kind: Kind = "shell"
    args: Mapping[str, object] = field(default_factory=dict[str, object])
    timezone: str = "UTC"
    enabled: bool = True
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    calendar: str | None = None
    dst: Dst = "cron"
    jitter_s: float = 0.0
    queue: str = "default"
    priority: int = 0
    route: str = "sticky"
    shards: int = 1
    shard_args: tuple[object, ...] | None = None
    overlap: Overlap = "skip"
    lane: str | None = None
    misfire: Misfire = "once"
    misfire_grace_s: float = 3600.0
    timeout_s: float | None = None
    retries: int = 0
    retry_delay_s: float = 10.0
    retry_backoff: float = 2.0
    on_node_loss: OnNodeLoss = "rerun"
    after: tuple[str, ...] = ()
    after_rule: AfterRule = "success"
    run_as: str | None = None
    alert: Mapping[str, object] | None = None
    calendar_days: Mapping[str, Sequence[str]] | None = None

    @property
    def timeout(self) -> float | None:
        """Seconds that an attempt may take; None for as long as it likes."""
        limit = DEFAULT_TIMEOUT_S[self.kind] if self.timeout_s is None else self.timeout_s
        return limit or None

    def serial(self, shard: int = 0) -> str | None:
        """The text that only one open run of a shard may hold; None where runs may overlap."""
        return None if self.overlap == "allow" else f"{self.id}:{shard}"

    def serial_on(self, node: str) -> str | None:
        """The same for `route = all`: one run on each node, by the node's name."""
        return None if self.overlap == "allow" else f"{self.id}@{node}"

    @property
    def node_name(self) -> str | None:
        """The node that `route = node:NAME` names."""
        return self.route[5:] if self.route.startswith("node:") else None


RowDict = Mapping[str, object]
"""A row as the store gives it: instants as int, JSON columns as text, everything else plain."""

PEOPLES_COLUMNS: tuple[str, ...] = tuple(
    name for name in Schedule.__dataclass_fields__ if name not in ("id", "calendar_days")
)
"""The columns of `schedules` that people write; the version is a hash of exactly these."""


def schedule_from_row(row: RowDict) -> Schedule:
    """The schedule that a row (or the `definition` of a `schedule_history` row) describes.

    Only shapes are looked at here: whether its words can be used is for `triggers` and
    `node.refusals`. Raises DefinitionError, all problems in one message.
    """
    values: dict[str, object] = {}
    problems: list[str] = []
    for name in ("id", *PEOPLES_COLUMNS, "calendar_days"):
        if row.get(name) is None:
            continue
        try:
            values[name] = _READERS.get(name, _as_is)(row[name])
        except (TypeError, ValueError) as problem:
            problems.append(f"{name} = {row[name]!r}: {problem}")
    problems.extend(f"{name} is missing" for name in ("id", "name", "cron", "command") if name not in values)
    if problems:
        raise DefinitionError("; ".join(problems))
    return Schedule(**values)  # pyright: ignore[reportArgumentType]


def _as_is(value: object) -> object:
    return value


def _json(value: object) -> object:
    if not isinstance(value, str | bytes):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as problem:
        raise ValueError(f"not valid JSON ({problem})") from problem


def _json_object(value: object) -> object:
    parsed = _json(value)
    if not isinstance(parsed, dict):
        raise ValueError('expected a JSON object, like {"cwd": "/srv"}')
    return cast("dict[str, object]", parsed)


def _json_list(value: object) -> object:
    parsed = _json(value)
    if not isinstance(parsed, list):
        raise ValueError('expected a JSON list, like ["a", "b"]')
    return tuple(cast("list[object]", parsed))


def _names(value: object) -> object:
    names = cast("tuple[object, ...]", _json_list(value))
    if not all(isinstance(name, str) for name in names):
        raise ValueError('expected a JSON list of schedule names, like ["extract"]')
    return names


def _days(value: object) -> object:
    days = cast("Mapping[str, Sequence[str]]", _json_object(value))
    return {effect: tuple(sorted(texts)) for effect, texts in days.items()}


def _number(value: object) -> object:
    return float(cast("str", value))


def _whole(value: object) -> object:
    return int(cast("str", value))


_READERS = {
    "id": _whole,
    "args": _json_object,
    "alert": _json_object,
    "calendar_days": _days,
    "shard_args": _json_list,
    "after": _names,
    "enabled": bool,
    "priority": _whole,
    "shards": _whole,
    "retries": _whole,
    "jitter_s": _number,
    "misfire_grace_s": _number,
    "timeout_s": _number,
    "retry_delay_s": _number,
    "retry_backoff": _number,
}
