"""What the `command` and `args` of a row must be like, by its kind, on whatever host.

The verdict on a row asks here, so that what no host can run is a problem row and never a run that
fails. What one host forbids (`[node] allow_*`) is its executors' to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from leasebeat.executors import arguments, python_call, targets, urls
from leasebeat.model.schedule import Schedule

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

_LIMITS = {
    "memory_mb": arguments.within(4, 16_777_216),
    "pids_max": arguments.within(1, 1_000_000),
    "cpu_pct": arguments.within(1, 100_000),
}

ARGS: Mapping[str, Mapping[str, arguments.Check]] = {
    "shell": {
        "env": arguments.texts_by_name,
        "cwd": arguments.absolute_path,
        "stdin": arguments.text,
        "success_codes": arguments.codes,
        "leftovers": arguments.one_of("kill", "leave"),
        **_LIMITS,
    },
    "python": {
        "kwargs": arguments.keywords,
        "env": arguments.texts_by_name,
        "cwd": arguments.absolute_path,
        **_LIMITS,
    },
    "http": {
        "method": arguments.one_of(*METHODS),
        "headers": arguments.headers,
        "body": arguments.body,
        "success_codes": arguments.codes,
    },
    "publish": {
        "message": arguments.anything,
        "maxlen": arguments.count,
    },
}
"""The keys of `args` that each kind knows, and what may stand behind them."""


def problems(schedule: Schedule) -> Iterator[str]:
    """What makes the row unusable for its kind, one sentence each."""
    if schedule.kind not in ARGS:
        return
    yield from arguments.problems_of_args(schedule.args, ARGS[schedule.kind])
    if "maxlen" in schedule.args and not schedule.command.startswith("stream:"):
        yield "args.maxlen is known for streams only; readers shorten a list, and a channel keeps nothing"
    if expected := _expected_command(schedule.kind, schedule.command):
        yield f"command = {schedule.command!r}: {expected}"


def _expected_command(kind: str, command: str) -> str | None:
    if not command.strip() or "\0" in command:
        return "it is empty; write what to run"
    if kind == "python" and not python_call.COMMAND.fullmatch(command):
        return "expected package.module:function"
    if kind == "publish":
        return targets.problem_of(command)
    return urls.problem_of(command, "*") if kind == "http" else None
