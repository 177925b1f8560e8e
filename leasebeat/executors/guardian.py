"""The guardian: the small process that starts the tasks of a worker and outlives it long enough to kill them.

Protocol, over one SOCK_SEQPACKET socket, each message a JSON list:

    worker -> guardian   ["spawn", token, order]      with stdin, stdout, stderr (and more) attached
                         ["deadline", boottime]       leashed tasks may live until then
                         ["leash", token, leashed]    from now on this one is leashed, or is not
                         ["stop", token, grace]       SIGTERM to the group, SIGKILL after `grace` seconds
                         ["tie", owner, tied]         leashed work runs in the worker itself, or no more
    guardian -> worker   ["ready", pid]
                         ["started", token, pid]
                         ["ended", token, {"status", "error", "cause", "stuck", "limit"}]

The guardian alone forks, so there is no moment at which a task exists that it does not know. Being a
child subreaper it inherits whatever a task leaves behind, daemons with sessions of their own too,
and so can find and kill them; a task that has limits is in a cgroup as well, which none of its processes
can leave. It kills

* a task that is to be stopped, and what is left of one whose first process has ended;
* every leashed task when the deadline has passed, whether the worker is dead, stopped or starved;
* the worker itself, while leashed work runs in its own threads: soon after the deadline, for a worker
  that can still act gives that work up by itself;
* everything when the worker is gone: its socket has closed, or it is no longer our parent.

Nothing starts past the deadline: the child looks at the clock as its last act before exec.

It has one thread and never waits for anything but its socket and SIGCHLD, in a session of its own
and with the signals of terminals and service managers blocked. All clocks here are CLOCK_BOOTTIME,
which runs on while the machine is suspended.
"""

from __future__ import annotations

import array
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

from leasebeat.executors import processes
from leasebeat.executors.become import BLOCKED, CAUSE_LEASH, CAUSE_START, become, prctl
from leasebeat.executors.cgroup import Group

MESSAGE_BYTES = 200_000
"""The largest message: what a socket of the default size holds."""

TICK_S = 0.25
"""How often the clock and the worker are looked at."""

HURRY_S = 0.02
"""The same while something is being killed."""

GIVE_UP_S = 5.0
"""How long after SIGKILL an end is reported although processes are left (in uninterruptible sleep)."""

TIE_GRACE_S = 0.5
"""How long after the deadline the worker itself is killed. A third of the margin that leases have."""

CAUSE_EXIT = "exit"
"""The cause of an end: it ended by itself, or was stopped on request."""

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


class Task:
    """One started command: its first process, which leads a session, and all that comes from it."""

    __slots__ = (
        "cause", "group", "kill_at", "killed_at", "leashed", "leave", "marks", "pid", "status",
        "status_fd", "token",
    )  # fmt: skip

    def __init__(
        self, token: int, pid: int, status_fd: int, order: dict[str, Any], group: Group | None
    ) -> None:
        self.token = token
        self.pid = pid
        self.status_fd = status_fd
        self.group = group
        self.leashed: bool = order["leashed"]
        self.leave: bool = order["leave"]
        self.marks = frozenset(f"{name}={order['env'][name]}".encode() for name in order["marks"])
        self.status: int | None = None  #: exit code or -signal of the first process, once it has ended
        self.cause = CAUSE_EXIT
        self.kill_at: float | None = None  #: when SIGKILL follows
        self.killed_at: float | None = None  #: when SIGKILL was first sent

    def condemn(self, at: float, cause: str | None = None) -> None:
        """SIGKILL it at `at`, or earlier where that was decided before."""
        self.kill_at = at if self.kill_at is None else min(at, self.kill_at)
        self.cause = cause or self.cause


class Guardian:
    """The loop. Every method runs in the one thread."""

    def __init__(self, sock: socket.socket, worker: int, wake_fd: int) -> None:
        self._sock = sock
        self._worker = worker
        self._wake_fd = wake_fd
        self._tasks: dict[int, Task] = {}
        self._left: set[frozenset[bytes]] = set()  #: marks of ended tasks whose leftovers stay
        self._deadline = 0.0
        self._expired = False  #: strays have been looked for since the deadline passed
        self._outbox: deque[bytes] = deque()
        self._connected = True
        self._ties: set[str] = set()
        self._full: list[Group] = []  #: cgroups of ended tasks in which somebody is left

    def run(self) -> None:
        """Serve until the worker is gone, then kill what is left."""
        self._report("ready", os.getpid())
        # The worker's death closes its socket; a process that it forked may still hold a copy.
        while self._connected and os.getppid() == self._worker:
            self._wait()
            self._reap()
            self._enforce()
        self._kill_everything()

    # -- messages

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | (select.POLLOUT if self._outbox else 0))
        poll.register(self._wake_fd, select.POLLIN)
        for fd, events in poll.poll(1000 * self._patience()):
            if fd == self._wake_fd:
                os.read(fd, 4096)
            elif events & ~select.POLLOUT:
                self._read()
        self._send()

    def _patience(self) -> float:
        """Seconds until the next thing is due; ends of processes and messages are noticed at once."""
        now = _now()
        due = [
            HURRY_S if t.killed_at else max(t.kill_at - now, 0.0) for t in self._tasks.values() if t.kill_at
        ]
        return min([TICK_S, *due])

    def _read(self) -> None:
        """Take in what the worker has sent, a bounded part of it: the clock has to be looked at too."""
        for _ in range(32):
            try:
                data, fds = _receive(self._sock)
            except BlockingIOError:
                return
            except OSError:  # reset: the worker died with messages of ours unread
                data, fds = b"", []
            if not data:
                self._connected = False
                return
            self._obey(json.loads(data), fds)

    def _obey(self, message: list[Any], fds: list[int]) -> None:
        what, *rest = message
        if what == "deadline":
            self._deadline, self._expired = rest[0], False
        elif what == "spawn":
            self._spawn(rest[0], rest[1], fds)
        elif what == "tie":
            (self._ties.add if rest[1] else self._ties.discard)(rest[0])
        elif (task := self._tasks.get(rest[0])) is None:
            return  # it has ended, and the worker is about to read so
        elif what == "leash":
            task.leashed = rest[1]
        elif what == "stop":
            self._stop(task, rest[1])

    def _report(self, *message: object) -> None:
        self._outbox.append(json.dumps(message).encode())
        self._send()

    def _send(self) -> None:
        """Send what the socket takes. A stopped worker reads nothing, and the clock must not wait for it."""
        while self._outbox and self._connected:
            try:
                self._sock.send(self._outbox[0])
            except BlockingIOError:
                return
            except OSError:  # nobody is there to read it
                self._connected = False
                return
            self._outbox.popleft()

    # -- starting and stopping

    def _spawn(self, token: int, order: dict[str, Any], fds: list[int]) -> None:
        group = Group(order["group"]) if order["group"] else None
        try:
            pid, status_fd = self._fork(order, fds, group)
        except OSError as problem:
            self._report("ended", token, _end(None, CAUSE_START, f"the guardian cannot start it: {problem}"))
        else:
            self._tasks[token] = Task(token, pid, status_fd, order, group)
            self._report("started", token, pid)
        finally:
            for fd in fds:
                os.close(fd)

    def _fork(self, order: dict[str, Any], fds: list[int], group: Group | None) -> tuple[int, int]:
        """Start the child; its pid, and the descriptor through which it says why it could not start."""
        if len(fds) != order["fds"]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if group is not None:
            group.make()
        status_fd, child_fd = os.pipe()
        guardian = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(status_fd)
            os.close(child_fd)
            self._discard(group)
            raise
        if pid == 0:
            become(order, fds, child_fd, self._deadline, guardian, group and group.join)
        os.close(child_fd)
        return pid, status_fd

    def _stop(self, task: Task, grace: float) -> None:
        if grace > 0 and task.status is None:
            processes.kill_group(task.pid, signal.SIGTERM)
            processes.kill_group(task.pid, signal.SIGCONT)
        task.leave = False
        task.condemn(_now() + grace)
        self._settle(task)

    # -- ends

    def _reap(self) -> None:
        for task in list(self._tasks.values()):
            if task.status is None:
                self._notice_end(task)
            if task.status is not None or (task.kill_at is not None and _now() >= task.kill_at):
                self._settle(task)
        for pid in self._orphans():
            os.waitpid(pid, os.WNOHANG)
        self._full = [group for group in self._full if not group.remove()]

    def _notice_end(self, task: Task) -> None:
        # Not reaped yet: as a zombie it keeps its pid, and with it its group's number, from being
        # given to a stranger whom we would then kill.
        info = os.waitid(os.P_PID, task.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is not None:
            exited = info.si_code == os.CLD_EXITED
            task.status = info.si_status if exited else -info.si_status

    def _settle(self, task: Task) -> None:
        """Bring an ended or condemned task nearer to its end; report it once nothing of it is left."""
        now = _now()
        rest = self._family(task)
        if task.status is not None and task.kill_at is None:
            if task.leave and rest:
                self._leave(task.marks)
                rest = []
            task.condemn(now)
        if rest and task.kill_at and now >= task.kill_at:
            task.killed_at = task.killed_at or now
            if task.group is not None:
                task.group.seal()
            processes.kill_group(task.pid)
            processes.kill(rest)
        tired = task.killed_at is not None and now > task.killed_at + GIVE_UP_S
        if task.status is not None and (not rest or tired):
            self._close(task, len(rest))

    def _leave(self, marks: frozenset[bytes]) -> None:
        """Remember what is to be left alone, and forget what has ended meanwhile."""
        living = list(processes.below(os.getpid()))
        known = {*self._left, marks}
        self._left = {one for one in known if any(processes.carries(pid, one) for pid in living)}

    def _close(self, task: Task, stuck: int) -> None:
        os.waitpid(task.pid, 0)
        error = _drain(task.status_fd).decode(errors="replace")
        cause, _, text = error.partition(":")
        del self._tasks[task.token]
        limit = task.group.told() if task.group else ""
        self._discard(task.group)
        self._report("ended", task.token, _end(task.status, cause or task.cause, text, stuck, limit))

    def _discard(self, group: Group | None) -> None:
        if group is not None and not group.remove():
            self._full.append(group)

    def _enforce(self) -> None:
        """Kill what is leashed once the deadline has passed."""
        now = _now()
        if now < self._deadline:
            return
        if self._ties and now >= self._deadline + TIE_GRACE_S:
            processes.kill([self._worker])  # still our parent, so no stranger has its pid
        leashed = [task for task in self._tasks.values() if task.leashed]
        for task in leashed:
            if task.kill_at is None or task.kill_at > now:
                task.condemn(now, CAUSE_LEASH)
                self._settle(task)
        if leashed or not self._expired:
            self._expired = True
            processes.kill(self._strays())

    def _kill_everything(self) -> None:
        for task in self._tasks.values():
            processes.kill_group(task.pid)  # not reaped yet, so the number is still its own
            if task.group is not None:
                task.group.seal()
                self._full.append(task.group)
        pause = HURRY_S
        self._tasks.clear()
        while rest := self._strays():
            processes.kill(rest)
            select.select([], [], [], pause)
            for pid in self._orphans():
                os.waitpid(pid, os.WNOHANG)
            pause = min(2 * pause, 1.0)
        for group in self._full:
            group.remove()

    # -- who belongs to whom

    def _orphans(self) -> list[int]:
        """Our children that we did not start ourselves: what tasks have left behind."""
        known = {task.pid for task in self._tasks.values()}
        return [pid for pid in processes.children(os.getpid()) if pid not in known]

    def _family(self, task: Task) -> list[int]:
        """The living processes of a task, without its first one once that has ended."""
        inside = task.group.pids() if task.group else ()
        found = self._claimed([(task.pid, True), *((pid, False) for pid in self._orphans())], task)
        return list({*found, *(pid for pid in inside if not _ended(pid))})

    def _claimed(self, rest: list[tuple[int, bool]], task: Task) -> list[int]:
        found: list[int] = []
        while rest:
            pid, ours = rest.pop()
            process = processes.look(pid)
            if process is None:
                continue
            ours = ours or task.pid in (process.session, process.group) or processes.carries(pid, task.marks)
            if ours and not process.ended:
                found.append(pid)
            rest.extend((child, ours) for child in processes.children(pid))
        return found

    def _strays(self) -> list[int]:
        """Living descendants of ours that no unleashed task and no `leftovers = leave` accounts for."""
        spared = {pid for task in self._tasks.values() if not task.leashed for pid in self._family(task)}
        return [
            pid
            for pid in processes.below(os.getpid())
            if pid not in spared and not self._is_left(pid) and not _ended(pid)
        ]

    def _is_left(self, pid: int) -> bool:
        return any(processes.carries(pid, marks) for marks in self._left)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _end(
    status: int | None, cause: str, error: str = "", stuck: int = 0, limit: str = ""
) -> dict[str, object]:
    return {"status": status, "cause": cause, "error": error, "stuck": stuck, "limit": limit}


def _ended(pid: int) -> bool:
    process = processes.look(pid)
    return process is None or process.ended


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came with it, closed on exec."""
    fds = array.array("i")
    space = socket.CMSG_LEN(16 * fds.itemsize)
    data, ancillary, _, _ = sock.recvmsg(MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    for _, _, sent in ancillary:
        fds.frombytes(sent[: len(sent) - len(sent) % fds.itemsize])
    return data, list(fds)


def _drain(fd: int) -> bytes:
    """What a child that could not become its command has written. Closes `fd`."""
    with open(fd, "rb", buffering=0) as pipe:
        return pipe.read(4096) or b""


def _wake_on_child() -> int:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _only_wake)
    return read


def _only_wake(number: int, frame: object) -> None:
    """Without a handler the signal would not reach the wake-up descriptor."""


def main() -> None:
    """Run as `... SOCKET_FD WORKER_PID LOCK_FD`; the last is -1 where there is no lock file.

    The lock file is only held, not used: while the guardian lives nobody else can take it.
    """
    socket_fd, worker, lock_fd = map(int, sys.argv[-3:])
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    for fd in (socket_fd, lock_fd):
        if fd >= 0:
            os.set_inheritable(fd, False)
    prctl(_PR_SET_NAME, b"leasebeat-guard")
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    sock = socket.socket(fileno=socket_fd)
    sock.setblocking(False)
    os.chdir("/")
    Guardian(sock, worker, _wake_on_child()).run()
