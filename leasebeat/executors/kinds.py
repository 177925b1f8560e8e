"""The executors of a host, by kind."""

from __future__ import annotations

from leasebeat.executors.base import Executor
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop
from leasebeat.executors.options import ExecutorOptions
from leasebeat.runtime import Runtime

__all__ = ["open_executors"]


def open_executors(
    options: ExecutorOptions, runtime: Runtime, loop: Loop, leash: GuardianLeash
) -> dict[str, Executor]:
    """The executors of this host by kind; libraries that they need are imported at first use."""
    from leasebeat.executors.http import HttpExecutor
    from leasebeat.executors.python_pool import PythonPool
    from leasebeat.executors.python_threads import PythonThreads
    from leasebeat.executors.shell import ShellExecutor

    shell = ShellExecutor(options, loop, leash)
    shell.sweep()
    in_threads = options.python_isolation == "thread"
    return {
        "shell": shell,
        "python": PythonThreads(options, runtime, loop, leash)
        if in_threads
        else PythonPool(options, loop, leash),
        "http": HttpExecutor(options, runtime, loop, leash),
    }
