"""Python tasks: `package.module:function`, in child processes or in threads of the worker."""

from __future__ import annotations

from collections.abc import Mapping

from leasebeat.executors import arguments, python_call
from leasebeat.executors.base import Executor
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop
from leasebeat.executors.options import ExecutorOptions
from leasebeat.model.schedule import Schedule
from leasebeat.runtime import Runtime

_IN_PROCESS: dict[str, arguments.Check] = {
    "kwargs": arguments.keywords,
    "env": arguments.texts_by_name,
    "cwd": arguments.absolute_path,
}
_IN_THREAD: dict[str, arguments.Check] = {"kwargs": arguments.keywords}


def python_executor(options: ExecutorOptions, runtime: Runtime, loop: Loop, leash: GuardianLeash) -> Executor:
    """The executor of the kind `python` that `python_isolation` asks for."""
    if options.python_isolation == "thread":
        from leasebeat.executors.python_threads import PythonThreads

        return PythonThreads(options, runtime, loop, leash)
    from leasebeat.executors.python_pool import PythonPool

    return PythonPool(options, loop, leash)


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
