"""The executors of a host, by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leasebeat.executors.base import Executor
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop
from leasebeat.executors.options import ExecutorOptions
from leasebeat.runtime import Runtime

if TYPE_CHECKING:
    from leasebeat.executors.publish import Connect

__all__ = ["open_executors"]


def open_executors(
    options: ExecutorOptions,
    runtime: Runtime,
    loop: Loop,
    leash: GuardianLeash,
    connect: Connect | None = None,
) -> dict[str, Executor]:
    """The executors of this host by kind; libraries that they need are imported at first use.

    `connect` makes a connection to the fleet's Redis; None where there is none.
    """
    from leasebeat.executors.http import HttpExecutor
    from leasebeat.executors.publish import PublishExecutor
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
        "publish": PublishExecutor(options, runtime, loop, leash, connect),
    }
