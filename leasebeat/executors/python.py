"""What both ways of running Python tasks ask of a row: `package.module:function` and its args."""

from __future__ import annotations

from collections.abc import Mapping

from leasebeat.executors import arguments, python_call, rules
from leasebeat.executors.options import ExecutorOptions
from leasebeat.model.schedule import Schedule

_IN_PROCESS = rules.ARGS["python"]
_IN_THREAD = {"kwargs": arguments.keywords}


def refuse(schedule: Schedule, options: ExecutorOptions) -> str | None:
    """Why this host does not run it, as sentences; None if it does."""
    problems = [*arguments.problems_of_args(schedule.args, _checks(options)), *_problems(schedule, options)]
    return "; ".join(problems) or None


def insist(args: Mapping[str, object], options: ExecutorOptions) -> None:
    """Raise StartFailed unless the run's own `args` can be used."""
    if args:
        arguments.insist(args, _checks(options))


def _checks(options: ExecutorOptions) -> Mapping[str, arguments.Check]:
    # Environment and folder belong to the whole process.
    return _IN_THREAD if options.python_isolation == "thread" else _IN_PROCESS


def _problems(schedule: Schedule, options: ExecutorOptions) -> list[str]:
    problems: list[str] = []
    module = schedule.command.partition(":")[0]
    if "python" not in options.allow_kinds:
        problems.append("kind = 'python' is not among [node] allow_kinds of this host")
    if not python_call.COMMAND.fullmatch(schedule.command):
        problems.append(f"command = {schedule.command!r}: expected package.module:function")
    elif not arguments.module_is_allowed(module, options.allow_modules):
        problems.append(f"command = {schedule.command!r} is not covered by [node] allow_modules of this host")
    if schedule.run_as not in (None, arguments.own_user()):
        problems.append(
            f"run_as = {schedule.run_as!r}: python tasks run as the worker's own user; use a shell task"
        )
    return problems
