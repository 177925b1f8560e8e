"""Commands on runs: run, kill, retry, runs, logs."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

from cyclopts import Parameter

from leasebeat.cli.exits import DONE, FAILED, Usage
from leasebeat.cli.fires import RUN_COLUMNS, fire_records, run_cells, run_record
from leasebeat.cli.moments import key_parts, moment_ago
from leasebeat.cli.options import COMMON, Common, check_count, desk_of, flag
from leasebeat.cli.output import cell, note, plain, print_json, print_line, print_table
from leasebeat.cli.select import is_pattern
from leasebeat.cli.text import visible_lines
from leasebeat.cli.upcoming import standings
from leasebeat.errors import DefinitionError, NotFound
from leasebeat.model.instant import Instant
from leasebeat.model.node import NodeState
from leasebeat.model.run import ENDED, RunKey, Status, key_text
from leasebeat.node.judge import judge
from leasebeat.runtime import SystemRuntime
from leasebeat.store.session import Record

if TYPE_CHECKING:
    from leasebeat.store.desk import Desk

__all__ = ["kill", "logs", "retry", "run_now", "runs"]

POLL_S = 0.5
FOLLOWED = 1000

TROUBLE = (Status.FAILED, Status.TIMED_OUT, Status.LOST, Status.MISSED)


Key = Annotated[str, Parameter(help="Key of the run: NAME@INSTANT[#SHARD].", metavar="KEY")]


def run_now(
    name: Annotated[str, Parameter(help="The schedule to run now.")],
    /,
    *,
    args: Annotated[
        str | None, Parameter(help="Overrides its args for this run, a JSON object.", metavar="JSON")
    ] = None,
    wait: Annotated[
        bool, flag("Wait for its end, print what it printed, exit with 1 unless it succeeded.")
    ] = False,
    common: Common = COMMON,
) -> int:
    """Run a schedule now, beside its fires."""
    _check_args(args)
    with desk_of(common) as desk:
        row = desk.schedule(name)
        (standing,) = standings(desk, [row])
        if standing.schedule is None:
            raise DefinitionError(f"{name!r} cannot be run: {standing.told}; mend it with `leasebeat edit`")
        if args is not None and standing.problem is None:
            judge({**row, "args": args})
        key = desk.run_now(name, args=args, requested_by=getpass.getuser())
        if wait:
            return _wait(desk, name, key, common)
        record = run_record(desk.run(key))
    if common.json:
        print_json(record)
    else:
        print_line(str(record["key"]))
    return DONE


def _check_args(args: str | None) -> None:
    try:
        fits = args is None or isinstance(json.loads(args), dict)
    except (ValueError, RecursionError):
        fits = False  # said below, in our words
    if not fits:
        raise Usage(f'--args {args!r}: expected a JSON object, like \'{{"cwd": "/srv"}}\'')


def _wait(desk: Desk, name: str, key: RunKey, common: Common) -> int:
    live = any(node["state"] == NodeState.LIVE for node in desk.nodes())
    note(f"{key_text(name, key)}: waiting{'' if live else ' for a node: none is live'}; ctrl-C leaves it be")
    waiter = SystemRuntime().waiter()
    while (row := desk.run(key))["status"] not in ENDED:
        waiter.wait(POLL_S)
    record, output = run_record(row), desk.output(key, row["attempt"])
    if common.json:
        print_json(record | ({"output": None} if output is None else plain(output)))
    else:
        if output is not None:
            _print_output(record, row["attempt"], output, common)
        note(f"{record['key']}: {record['status']}{_because(record)}")
    return DONE if row["status"] == Status.SUCCEEDED else FAILED


def _because(record: Mapping[str, object]) -> str:
    return f": {record['reason']}" if record["reason"] else ""


def kill(key: Key, /, *, common: Common = COMMON) -> int:
    """Kill a run: what runs is stopped, what waits is closed. Its node does it within seconds."""
    with desk_of(common) as desk:
        found = _find(desk, key)
        if desk.run(found)["status"] != Status.KILLED:
            desk.kill(found, requested_by=getpass.getuser())
        record = run_record(desk.run(found))
    if common.json:
        print_json(record)
    else:
        ended = record["status"] in ENDED
        print_line(f"{record['key']}: {record['status'] if ended else 'asked to end'}")
    return DONE


def retry(key: Key, /, *, common: Common = COMMON) -> int:
    """Open a run that ended otherwise than well again, as its next attempt."""
    with desk_of(common) as desk:
        found = _find(desk, key)
        desk.retry(found, requested_by=getpass.getuser())
        record = run_record(desk.run(found))
    if common.json:
        print_json(record)
    else:
        print_line(f"{record['key']}: {record['status']}")
    return DONE


def _find(desk: Desk, text: str) -> RunKey:
    """The run of a text key, also of a schedule that is gone. Raises NotFound."""
    name, fire_at, shard = key_parts(text)
    return desk.run_named(name, fire_at, shard)


def runs(
    pattern: Annotated[str | None, Parameter(help="A schedule, or a pattern like 'billing/*'.")] = None,
    /,
    *,
    follow: Annotated[bool, flag("Go on and show runs as they change.", ["--follow", "-f"])] = False,
    failed: Annotated[bool, flag("Only failed, timed_out, lost and missed ones.")] = False,
    status: Annotated[
        list[str] | None,
        Parameter(
            help="Only those of this status; may be repeated.",
            choices=[status.value for status in Status],
            negative="",
            metavar="STATUS",
            consume_multiple=False,
        ),
    ] = None,
    since: Annotated[
        str | None, Parameter(help="Only those due since: 1h (ago), or an instant.", metavar="WHEN")
    ] = None,
    shards: Annotated[bool, flag("Each part of a fire by itself, as --json and --follow have them.")] = False,
    count: Annotated[
        int, Parameter(name=["-n", "--count"], help="At most so many, the newest.", metavar="N")
    ] = 50,
    common: Common = COMMON,
) -> int:
    """List runs, the newest last; the parts of a fire as one."""
    check_count(count)
    statuses = [*(status or []), *(TROUBLE if failed else ())]
    with desk_of(common) as desk:
        if pattern is not None and not is_pattern(pattern):
            _check_known(desk, pattern)
        start = None if since is None else moment_ago("--since", since, desk.now())
        look = _Look(desk, pattern, statuses, start)
        if follow:
            return _follow(look, count, common)
        records = look(count) if shards or common.json else look.fires(count)
    if common.json:
        print_json(records)
    else:
        print_table(RUN_COLUMNS, [run_cells(record) for record in records])
    return DONE


def _check_known(desk: Desk, name: str) -> None:
    """Whether a schedule is called so, or was before it was removed. Raises NotFound."""
    if not desk.ids_of(name):
        desk.schedule(name)


@dataclass(frozen=True, slots=True)
class _Look:
    """The runs that `runs` was asked for."""

    desk: Desk
    pattern: str | None
    statuses: Sequence[str]
    since: Instant | None

    def __call__(self, count: int) -> list[dict[str, object]]:
        """The newest `count` of them, oldest first."""
        return [run_record(row) for row in reversed(self._rows(count))]

    def fires(self, count: int) -> list[dict[str, object]]:
        """The newest `count` of their fires, oldest first."""
        return fire_records(self.desk, self._rows, count)[::-1]

    def _rows(self, count: int) -> list[Record]:
        return self.desk.runs(self.pattern, self.statuses, self.since, count)


def _follow(look: _Look, count: int, common: Common) -> NoReturn:
    """Print runs as they come and change, until interrupted; of more than `FOLLOWED` only the newest."""
    waiter = SystemRuntime().waiter()
    records = look(FOLLOWED)
    told = _states(records)
    _print_lines(records[-count:], common)
    while True:
        waiter.wait(POLL_S)
        records = look(FOLLOWED)
        _print_lines([record for record in records if told.get(record["key"]) != _state(record)], common)
        told = _states(records)


def _state(record: Mapping[str, object]) -> tuple[object, object]:
    return record["status"], record["attempt"]


def _states(records: Sequence[Mapping[str, object]]) -> dict[object, tuple[object, object]]:
    return {record["key"]: _state(record) for record in records}


def _print_lines(records: Sequence[Mapping[str, object]], common: Common) -> None:
    for record in records:
        if common.json:
            print_json(record, lines=True)
        else:
            print_line("  ".join(cell(value) for value in run_cells(record) if value not in (None, "")))


def logs(
    what: Annotated[
        str, Parameter(name="WHAT", help="Key of a run, or a schedule: its newest run that began.")
    ],
    /,
    *,
    follow: Annotated[
        bool, flag("Wait for the run's end; attempts are shown as they end.", ["--follow", "-f"])
    ] = False,
    attempt: Annotated[int | None, Parameter(help="That attempt. [the last]", metavar="N")] = None,
    common: Common = COMMON,
) -> int:
    """Show what a run printed. What is kept is the end of it, written when the attempt has ended."""
    with desk_of(common) as desk:
        key = _find(desk, what) if "@" in what else _newest(desk, what)
        if follow:
            return _follow_logs(desk, key, common)
        run = run_record(desk.run(key))
        number = cast("int", run["attempt"]) if attempt is None else attempt
        output = desk.output(key, number)
    if not run["attempt"]:
        raise NotFound(f"{run['key']} {_unbegun(run)}")
    if not 1 <= number <= cast("int", run["attempt"]):
        raise NotFound(
            f"{run['key']} has no attempt {number}; it is {run['status']}, attempt {run['attempt']}"
        )
    _print_output(run, number, output or _nothing(run, number), common)
    return DONE


def _unbegun(run: Mapping[str, object]) -> str:
    if run["status"] not in ENDED:
        return f"is {run['status']} and has not begun: it has no output yet"
    why = run["reason"] or run["reason_code"]
    return f"was {run['status']}{f' ({why})' if why else ''}: it has no output"


def _nothing(run: Mapping[str, object], attempt: int) -> Record:
    """An output without a byte; and why that may be."""
    last = attempt == run["attempt"] and run["status"] == Status.RUNNING
    why = (
        "runs still: what it prints is kept at its end"
        if last
        else "printed nothing, or it is kept no longer"
    )
    note(f"{run['key']}: attempt {attempt} {why}")
    return {"attempt": attempt, "output": b"", "output_bytes": 0}


def _newest(desk: Desk, name: str) -> RunKey:
    _check_known(desk, name)
    for row in desk.runs(name, (), None, FOLLOWED):
        if row["attempt"]:
            return RunKey(row["fire_at"], row["schedule_id"], row["shard"])
    raise NotFound(f"no run of {name!r} has begun yet; `leasebeat runs {name}` shows what there is")


def _follow_logs(desk: Desk, key: RunKey, common: Common) -> int:
    waiter, shown = SystemRuntime().waiter(), 0
    while True:
        run = run_record(desk.run(key))
        for attempt in range(shown + 1, cast("int", run["attempt"]) + 1):
            output = desk.output(key, attempt)
            if output is not None:
                _print_output(run, attempt, output, common)
                shown = attempt
        if run["status"] in ENDED:
            return DONE
        waiter.wait(POLL_S)


def _print_output(run: Mapping[str, object], attempt: int, output: Record, common: Common) -> None:
    said: bytes = output["output"]
    if common.json:
        facts = {name: run[name] for name in ("key", "schedule", "fire_at", "shard", "status", "node")}
        print_json(facts | {"attempt": attempt} | plain(output), lines=True)
        return
    if output["output_bytes"] > len(said):
        note(f"{run['key']}: the last {len(said)} of {output['output_bytes']} bytes of attempt {attempt}")
    if sys.stdout.isatty():
        sys.stdout.write(visible_lines(said.decode(errors="backslashreplace")))
        sys.stdout.flush()
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(said)
        sys.stdout.buffer.flush()
