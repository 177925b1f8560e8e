"""The columns of `schedules` as options, and what their texts mean."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated

from cyclopts import Parameter

from leasebeat import values
from leasebeat.cli.exits import Usage
from leasebeat.cli.moments import readable
from leasebeat.model.schedule import PEOPLES_COLUMNS, AfterRule, Dst, Kind, Misfire, OnNodeLoss, Overlap
from leasebeat.store.session import SqlValue

__all__ = ["COLUMNS", "Columns", "assignments", "read"]


def _column(text: str, metavar: str = "TEXT") -> Parameter:
    return Parameter(help=text, metavar=metavar)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a schedule but its name, cron and command. None is what was not said.

    Numbers are kept as texts until `read`, so that options and `--set` are read by the same rules.
    """

    kind: Annotated[Kind | None, Parameter(help="What runs the command. [shell]")] = None
    args: Annotated[str | None, _column('Details by kind, like \'{"cwd": "/srv"}\'.', "JSON")] = None
    description: Annotated[str | None, _column("What it is for.")] = None
    owner: Annotated[str | None, _column("Who looks after it.")] = None
    timezone: Annotated[str | None, _column("IANA name of the zone of the expression.", "ZONE")] = None
    enabled: Annotated[str | None, _column("no: paused. [yes]", "yes|no")] = None
    starts_at: Annotated[str | None, _column("Nothing fires before.", "INSTANT")] = None
    ends_at: Annotated[str | None, _column("Nothing fires from then on.", "INSTANT")] = None
    calendar: Annotated[str | None, _column("Calendar of dates left out or added.", "NAME")] = None
    dst: Annotated[Dst | None, Parameter(help="What a change of the clocks does. [cron]")] = None
    jitter_s: Annotated[str | None, _column("Delay the start by up to so many seconds.", "S")] = None
    queue: Annotated[str | None, _column("Which nodes may run it. [default]", "NAME")] = None
    priority: Annotated[str | None, _column("Higher is started first. [0]", "N")] = None
    route: Annotated[str | None, _column("sticky, spread, any, all or node:NAME. [sticky]", "ROUTE")] = None
    shards: Annotated[str | None, _column("Into how many parts a fire is split. [1]", "N")] = None
    shard_args: Annotated[str | None, _column("A parameter for each shard, a list.", "JSON")] = None
    overlap: Annotated[Overlap | None, Parameter(help="While an earlier run is open. [skip]")] = None
    lane: Annotated[str | None, _column("Lane that bounds how many run at once.", "NAME")] = None
    misfire: Annotated[Misfire | None, Parameter(help="What becomes of missed instants. [once]")] = None
    misfire_grace_s: Annotated[str | None, _column("Start deadline in seconds. [3600]", "S")] = None
    timeout_s: Annotated[str | None, _column("Longest attempt in seconds, 0 = none. [by kind]", "S")] = None
    retries: Annotated[str | None, _column("Further attempts after failures, -1 = no end. [0]", "N")] = None
    retry_delay_s: Annotated[str | None, _column("Seconds before the first retry. [10]", "S")] = None
    retry_backoff: Annotated[str | None, _column("Factor from each delay to the next. [2]", "X")] = None
    on_node_loss: Annotated[OnNodeLoss | None, Parameter(help="When its node goes away. [rerun]")] = None
    after: Annotated[str | None, _column("Names of schedules that it follows, a list.", "JSON")] = None
    after_rule: Annotated[AfterRule | None, Parameter(help="When they ended how. [success]")] = None
    run_as: Annotated[str | None, _column("User that it runs as. [the worker's]", "USER")] = None
    alert: Annotated[str | None, _column("Who is told when it fails.", "JSON")] = None

    def given(self) -> dict[str, str]:
        """The columns that were said."""
        said = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in said.items() if value is not None}


COLUMNS = Columns()


def assignments(pairs: Iterable[str]) -> dict[str, str]:
    """`--set COLUMN=VALUE ...` by column. Raises Usage."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name not in PEOPLES_COLUMNS:
            raise Usage(
                f"--set {pair!r}: expected COLUMN=VALUE; the columns are {', '.join(PEOPLES_COLUMNS)}"
            )
        found[name] = value
    return found


def read(texts: Mapping[str, str]) -> dict[str, SqlValue]:
    """What the table shall hold; empty text is NULL where a column may be. Raises Usage, all in one."""
    found: dict[str, SqlValue] = {}
    problems: list[str] = []
    for name, text in texts.items():
        try:
            found[name] = None if text == "" and name in _NULLABLE else _READERS.get(name, str)(text)
        except (ValueError, OverflowError) as problem:
            problems.append(f"{name} = {text!r}: {problem}")
    if problems:
        raise Usage("; ".join(problems))
    return found


_NAME = re.compile(r"[\w./-]{1,128}")
_NULLABLE = frozenset(
    [
        "args",
        "starts_at",
        "ends_at",
        "calendar",
        "shard_args",
        "lane",
        "timeout_s",
        "after",
        "run_as",
        "alert",
    ]
)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("expected 1 to 128 letters or digits of any script and . _ / -")
    return text


def _whole(text: str) -> int:
    number = values.whole(text)
    if not -(2**31) <= number < 2**31:
        raise ValueError("expected a whole number of at most 32 bits")
    return number


def _json(kind: type, expected: str) -> Callable[[str], str]:
    """A reader of JSON text that holds a `kind`."""

    def text_of(text: str) -> str:
        try:
            fits = isinstance(json.loads(text), kind)
        except (ValueError, RecursionError):
            fits = False  # said below, in our words
        if not fits:
            raise ValueError(f"expected {expected}")
        return text

    return text_of


_READERS: dict[str, Callable[[str], SqlValue]] = {
    "name": _name,
    "args": _json(dict, 'a JSON object, like {"cwd": "/srv"}'),
    "enabled": values.flag,
    "starts_at": readable,
    "ends_at": readable,
    "jitter_s": values.number,
    "priority": _whole,
    "shards": _whole,
    "shard_args": _json(list, 'a JSON list, like ["eu", "us"]'),
    "misfire_grace_s": values.number,
    "timeout_s": values.number,
    "retries": _whole,
    "retry_delay_s": values.number,
    "retry_backoff": values.number,
    "after": _json(list, 'a JSON list of schedule names, like ["extract"]'),
    "alert": _json(dict, "a JSON object"),
}
