"""Processes as /proc shows them: who is whose child, and who carries which marks.

Used by the guardian and by the worker that has lost its guardian. Only the standard library, and
little of it: the guardian has to stay small.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Collection, Iterable, Iterator

_GONE = {errno.ENOENT, errno.ESRCH}
_NOT_OURS = {errno.EACCES, errno.EPERM}


class Process:
    """One look at a process; it may have changed since. `state` is the letter of /proc/PID/stat."""

    __slots__ = ("group", "parent", "pid", "session", "state")

    def __init__(self, pid: int, state: str, parent: int, group: int, session: int) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.group = group
        self.session = session

    @property
    def ended(self) -> bool:
        """Whether it runs no more and only waits to be reaped."""
        return self.state in "ZX"


def look(pid: int) -> Process | None:
    """The process as it is now; None if there is none of that pid."""
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return None
    # The name in parentheses may hold anything, parentheses and blanks too: count from its end.
    state, parent, group, session = text[text.rindex(b")") + 2 :].split(None, 4)[:4]
    return Process(pid, state.decode(), int(parent), int(group), int(session))


def everyone() -> list[int]:
    """The pids of all processes that can be seen from here."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def children(pid: int) -> list[int]:
    """The pids of its children; those that ended and were not reaped too."""
    found: list[int] = []
    for thread in _threads(pid):
        listed = _read(f"/proc/{pid}/task/{thread}/children")
        if listed is None and not _kernel_lists_children():
            return [other for other in everyone() if _parent(other) == pid]
        found.extend(map(int, (listed or b"").split()))
    return found


def below(pid: int) -> Iterator[int]:
    """The pids of all its descendants."""
    rest = children(pid)
    while rest:
        child = rest.pop()
        yield child
        rest.extend(children(child))


def carries(pid: int, marks: Collection[bytes]) -> bool:
    """Whether the environment that it was started with holds each of `marks`, `NAME=value`.

    False for one whose environment may not be read: it changed its user, so it cannot be killed
    from here either.
    """
    if not marks:
        return False
    found = set((_read(f"/proc/{pid}/environ") or b"").split(b"\0"))
    return found.issuperset(marks)


def kill(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send each of them the signal. One that is gone, or may not be killed, is passed over."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError as problem:
            _expect(problem, _GONE | _NOT_OURS)


def kill_group(leader: int, number: int = signal.SIGKILL) -> None:
    """Send the signal to the group, or to the leader alone while it has not made its group yet."""
    try:
        os.killpg(leader, number)
    except OSError as problem:
        _expect(problem, _GONE | _NOT_OURS)
        kill([leader], number)


def _parent(pid: int) -> int | None:
    process = look(pid)
    return process and process.parent


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError as problem:
        _expect(problem, _GONE)
        return []


def _kernel_lists_children() -> bool:
    """Whether the kernel has CONFIG_PROC_CHILDREN; nearly all have."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as problem:
        _expect(problem, _GONE | _NOT_OURS)
        return None


def _expect(problem: OSError, expected: set[int]) -> None:
    """Processes end while they are looked at: that is no error. Anything else is."""
    if problem.errno not in expected:
        raise problem
