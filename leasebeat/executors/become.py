"""How a freshly forked child of the guardian turns into a task's command."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any, NoReturn

CAUSE_START = "start"
"""The cause of an end: it could not be started; the text that follows says why."""

CAUSE_LEASH = "leash"
"""The cause of an end: the deadline had passed."""

OOM_SCORE = 300
"""Added to the worker's own `oom_score_adj`: short of memory, the kernel is to kill tasks before workers."""

_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)

# Blocked rather than ignored: exec hands on what is ignored, and a signal that is sent to a child
# before it has unblocked them waits for it instead of being lost.
BLOCKED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}


def become(
    order: dict[str, Any],
    fds: list[int],
    status_fd: int,
    deadline: float,
    guardian: int,
    join: Callable[[], None] | None,
) -> NoReturn:
    """In the child: turn into the command, or say why not through `status_fd`. Never without the guardian.

    `join` moves it into its cgroup.
    """
    step = "setsid"
    try:
        os.setsid()
        step = "descriptors"
        _place(fds)
        step = "cgroup"
        if join is not None:
            join()
        step = "limits"
        _limit(order["no_new_privs"])
        step = f"user {order['user']!r}"
        _change_user(order["user"])
        step = f"cwd {order['cwd']!r}"
        os.chdir(order["cwd"])
        os.umask(order["umask"])
        step = order["argv"][0]
        _default_signals()
        if os.getppid() != guardian:
            raise OSError(errno.EOWNERDEAD, "the guardian has died")
        if time.clock_gettime(time.CLOCK_BOOTTIME) >= deadline and order["lease"]:
            os.write(status_fd, f"{CAUSE_LEASH}:".encode())
        else:
            os.execve(order["argv"][0], order["argv"], order["env"])
    except (OSError, ValueError) as problem:
        text = problem.strerror if isinstance(problem, OSError) else problem
        os.write(status_fd, f"{CAUSE_START}:{step}: {text}".encode()[:4096])
    finally:
        os._exit(127)


def _place(fds: list[int]) -> None:
    """Make the descriptors 0, 1, 2, ... of the command; all others close at its exec."""
    # Out of the way first: one of them may have the number that another is to get. `status_fd` has
    # not: the guardian's own socket and pipe came before it.
    away = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(fds) + 3) for fd in fds]
    for number, fd in enumerate(away):
        os.dup2(fd, number, inheritable=True)


def prctl(option: int, value: object) -> None:
    """The system call, with no further arguments. Raises OSError."""
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _limit(no_new_privs: bool) -> None:
    """What holds for every task, whoever runs it. Before the user changes: then /proc/self is root's."""
    with open("/proc/self/oom_score_adj", "r+", buffering=1) as file:
        score = min(int(file.read()) + OOM_SCORE, 1000)
        file.seek(0)
        file.write(f"{score}\n")
    # The soft limit alone: a task that is to be debugged may raise it again.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if no_new_privs:
        prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _change_user(user: list[Any] | None) -> None:
    if user is not None:
        uid, gid, groups = user
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    # SIGPIPE and SIGXFSZ are ignored by Python itself, SIGCHLD is handled: exec resets the latter.
    for number in (*BLOCKED, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
