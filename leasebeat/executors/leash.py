"""The worker's end of the guardian: starts it, has it start child processes, hears of their ends.

States: no guardian (before the first `restore`, or after it died) or one guardian, told by its own
message that it is ready. When it dies its socket closes; then the worker itself kills what the
guardian had started, because until a new guardian is there nobody else can. If worker and guardian
are killed at once, tasks live on: the next worker that takes the same lock file kills them, by the
node id in their environment and by their cgroups, before it goes on.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import math
import os
import select
import socket
import subprocess
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from leasebeat import logs
from leasebeat.errors import Refused, StartFailed
from leasebeat.executors import guardian, processes
from leasebeat.executors.cgroup_home import Home, prefix
from leasebeat.executors.loop import Loop
from leasebeat.runtime import Runtime

_READY_S = 10.0
_ROOM_S = 2.0
_ROOT = Path(__file__).parents[2]
_MAIN = "import sys; sys.path.append({root!r}); from leasebeat.executors.guardian import main; main()"

CAUSE_GUARDIAN = "guardian"
"""The child was killed because its guardian had died."""


@dataclass(frozen=True, slots=True)
class Order:
    """A child process to be started. `fds` become its descriptors 0, 1, 2, ...; it gets no others.

    `marks` name the variables of `env` that, taken together, no other task has: by them the guardian
    knows what the child has left behind. `user` is (uid, gid, groups), None for the worker's own.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    fds: Sequence[int]
    marks: Sequence[str]
    user: tuple[int, int, Sequence[int]] | None = None
    leashed: bool = True  #: dies at the deadline
    lease: bool = True  #: does not start past the deadline
    limits: Mapping[str, int] = field(default_factory=dict[str, int])  #: as in `args`; none: no cgroup
    leave: bool = False  #: what it leaves behind when it ends by itself is left alone


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended. `status`: exit code, or minus the signal; `cause`: a `CAUSE_*` of the guardian."""

    status: int | None
    cause: str = guardian.CAUSE_EXIT
    error: str = ""
    stuck: int = 0  #: processes of it that SIGKILL has not ended
    limit: str = ""  #: which limits it met, for people


Ended = Callable[[End], None]


@dataclass(slots=True)
class _Child:
    ended: Ended
    node_id: str
    pid: int = 0
    kill_at: float = math.inf  #: when its grace ends, seconds of CLOCK_BOOTTIME, once it was told to stop


class GuardianLeash:
    """The guardian, as base.Leash and as the way to start child processes.

    `lock_path` is a file that worker and guardian hold together (flock): who can take it knows that
    both are gone. `restore` starts the first guardian as well. `no_new_privs`: no child gains rights by a
    set-user-id program.
    """

    def __init__(
        self,
        runtime: Runtime,
        loop: Loop,
        lock_path: Path | None = None,
        no_new_privs: bool = True,
        home: Home | None = None,
    ) -> None:
        self._runtime = runtime
        self._loop = loop
        self._no_new_privs = no_new_privs
        self.home = home or Home()
        self._lock_path = lock_path
        self._lock_fd = -1
        self._deadline = 0.0
        self._unsent = False
        self._changing = runtime.lock()
        self._ties: set[str] = set()
        self._tying = runtime.lock()
        self._tokens = itertools.count(1)
        self._children: dict[int, _Child] = {}
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.predecessor: str | None = None
        """The node id that the lock file held when it was taken."""

    @property
    def deadline(self) -> float:
        """Until when leashed tasks may live, seconds of CLOCK_BOOTTIME; 0.0 before the first beat."""
        return self._deadline

    @property
    def guardian_pid(self) -> int | None:
        """The guardian's pid while it lives."""
        return self._process.pid if self._sock is not None and self._process is not None else None

    def alive(self) -> bool:
        """Whether the guardian is there. Without one nothing is started."""
        return self._sock is not None

    def restore(self) -> None:
        """Start a guardian if there is none. Raises StartFailed; Refused if another worker has the lock."""
        # While the loop still kills what the dead guardian left, it would kill what a new one starts too.
        with self._changing:
            if self._sock is None:
                self._take_lock()
                sock = self._connect()
                self._install(sock)
                self._loop.call(partial(self._loop.watch, sock.fileno(), partial(self._read, sock)))
        self._send_deadline()

    def sign(self, node_id: str) -> None:
        """Write the node's id into the lock file, for whoever takes it next."""
        if self._lock_fd >= 0:
            os.ftruncate(self._lock_fd, 0)
            os.pwrite(self._lock_fd, node_id.encode(), 0)

    def renew(self, deadline: float) -> None:
        """Leashed tasks may live until `deadline`, seconds of CLOCK_BOOTTIME. Never blocks; never raises."""
        self._deadline = deadline
        self._send_deadline()

    def spawn(self, order: Order, ended: Ended) -> int:
        """Have a child started; its token. `ended` is called once, in the loop's thread, never from here.

        The caller closes its copies of `order.fds`. Raises StartFailed when there is no guardian, or
        when command and environment are too large for it.
        """
        token = next(self._tokens)
        node_id = order.env["LEASEBEAT_NODE_ID"]
        group = self.home.plan(f"{prefix(node_id)}{os.getpid()}.{token}", order.limits)
        body = {**_order(order), "no_new_privs": self._no_new_privs, "group": group}
        message = _encode("spawn", token, body)
        if len(message) > guardian.MESSAGE_BYTES:
            raise StartFailed(
                f"command and environment take {len(message):,} bytes, more than {guardian.MESSAGE_BYTES:,}"
                " that can be handed on: put large values into files"
            )
        self._children[token] = _Child(ended, node_id)
        try:
            self._send(message, order.fds)
        except OSError as problem:
            # The loop may have seen the guardian's end first and have told `ended` already.
            if self._children.pop(token, None) is not None:
                raise StartFailed(f"the guardian process does not answer: {problem}") from problem
        return token

    def stop(self, token: int, grace_s: float) -> None:
        """SIGTERM to the child's group, SIGKILL to all that is left of it after `grace_s`; 0: at once.

        Told again, it counts only where it shortens what is left of the grace: programs take a second
        SIGTERM for impatience, and break off their cleaning up.
        """
        child, kill_at = self._children.get(token), self._runtime.boottime() + grace_s
        if child is not None and kill_at < child.kill_at:
            child.kill_at = kill_at
            self._tell("stop", token, grace_s)

    def leash(self, token: int, leashed: bool) -> None:
        """From now on the child dies at the deadline, or does not."""
        self._tell("leash", token, leashed)

    def tie(self, owner: str, tied: bool) -> None:
        """From now on the worker itself is killed at the deadline, or is not as far as `owner` goes."""
        # Also while there is no guardian: the next one is told.
        with self._tying:
            (self._ties.add if tied else self._ties.discard)(owner)
            self._tell("tie", owner, tied)

    def close(self) -> None:
        """Let the guardian end; it kills what is left. Waits for its end at most 5 s."""
        sock, process = self._sock, self._process
        self._sock = None
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
        if process is not None:
            _wait_for(process)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    # -- the guardian's life

    def _take_lock(self) -> None:
        if self._lock_path is None or self._lock_fd >= 0:
            return
        fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            os.close(fd)
            raise Refused(
                f"{self._lock_path} is held by another worker, or by its guardian that is still killing what"
                " it left; one worker per state directory: wait for its end, or give this one its own"
            ) from problem
        self._lock_fd = fd
        self.predecessor = os.pread(fd, 64, 0).decode(errors="replace").strip() or None
        if self.predecessor is not None:
            self._hunt({self.predecessor}, set())

    def _connect(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = self._start(theirs)
            _await_ready(ours)
        except (OSError, ValueError) as problem:
            ours.close()
            if self._process is not None:
                _wait_for(self._process)
            raise StartFailed(f"the guardian process could not be started: {problem}") from problem
        ours.setblocking(False)
        return ours

    def _install(self, sock: socket.socket) -> None:
        """Tell a new guardian what its predecessor knew, then let everybody talk to it.

        The ties come after the deadline, without which they would be overdue. Whoever ties or lets go
        at this moment waits, so that the guardian hears of it after what is told here. Should it die
        meanwhile, its socket says so to the loop as at any other time.
        """
        with self._tying:
            self._sock = sock
            self._tell("deadline", self._deadline)
            for owner in sorted(self._ties):
                self._tell("tie", owner, True)

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        command = _MAIN.format(root=str(_ROOT))
        numbers = [theirs.fileno(), os.getpid(), self._lock_fd]
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", command, *map(str, numbers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={"LANG": "C.UTF-8"},  # not the worker's own: it may hold passwords
            pass_fds=[fd for fd in (theirs.fileno(), self._lock_fd) if fd >= 0],
            start_new_session=True,  # Ctrl-C on the worker's terminal is not for it
        )

    def _read(self, sock: socket.socket) -> None:
        while True:
            try:
                data = sock.recv(guardian.MESSAGE_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""
            if not data:
                self._lost(sock)
                return
            self._hear(*json.loads(data))
        if self._unsent:
            # The queue was full of requests, and each of them is answered: there is room again.
            self._send_deadline()

    def _hear(self, what: str, token: int, body: Any) -> None:
        if what == "started" and token in self._children:
            self._children[token].pid = body
        elif what == "ended" and (child := self._children.pop(token, None)) is not None:
            end = End(**body)
            if end.stuck:
                logs.event(
                    "WARNING", "task_stuck", "SIGKILL did not end processes of a task", count=end.stuck
                )
            child.ended(end)

    def _lost(self, sock: socket.socket) -> None:
        """The guardian is gone: do its work, then tell everybody."""
        self._loop.unwatch(sock.fileno())
        with self._changing:
            expected, self._sock = self._sock is None, None
            sock.close()
            children, self._children = self._children, {}
            if not expected:
                self._mourn(list(children.values()))
        for child in children.values():
            child.ended(End(None, CAUSE_GUARDIAN, "its guardian process died, so it was killed"))

    def _mourn(self, children: list[_Child]) -> None:
        logs.event("ERROR", "guardian_lost", "the guardian process has died", tasks=len(children))
        if self._process is not None:
            _wait_for(self._process)
        self._hunt({child.node_id for child in children}, {child.pid for child in children if child.pid})

    def _hunt(self, nodes: set[str], leaders: set[int]) -> None:
        """Kill all that is of these nodes or of a session in `leaders`, until nothing is; 5 s at most."""
        marks = {f"LEASEBEAT_NODE_ID={node}".encode() for node in nodes}
        waiter, end = self._runtime.waiter(), self._runtime.monotonic() + 5.0
        while (
            found := [pid for pid in processes.everyone() if _hunted(pid, marks, leaders)]
        ) or not self._swept(nodes):
            if self._runtime.monotonic() > end:
                logs.event("ERROR", "hunt_failed", "SIGKILL did not end processes of tasks", pids=found)
                return
            processes.kill(found)
            waiter.wait(0.02)

    def _swept(self, nodes: set[str]) -> bool:
        left = [node for node in nodes if not self.home.sweep(node)]
        return not left

    # -- sending

    def _tell(self, *message: object) -> None:
        try:
            self._send(_encode(*message), ())
        except OSError as problem:
            # The child is dying with the guardian; the loop tells its executor.
            logs.event("DEBUG", "guardian_gone", f"not told: {message[0]}", problem=problem)

    def _send_deadline(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            sock.send(_encode("deadline", self._deadline), socket.MSG_DONTWAIT)
            self._unsent = False
        except BlockingIOError:
            self._unsent = True
        except OSError as problem:
            logs.event("DEBUG", "guardian_gone", "not told: deadline", problem=problem)

    def _send(self, message: bytes, fds: Sequence[int]) -> None:
        sock = self._sock
        if sock is None:
            raise BrokenPipeError("there is no guardian process")
        attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        while True:
            try:
                sock.sendmsg([message], attached)
                return
            except BlockingIOError:
                self._await_room(sock)

    def _await_room(self, sock: socket.socket) -> None:
        """Wait until the guardian has read something: it needs about a millisecond for each start."""
        if not select.select([], [sock], [], _ROOM_S)[1] and self._process is not None:
            # Stopped or hung, and so no guardian: killed, its end is seen and dealt with as any other.
            self._process.kill()
            raise TimeoutError(f"it has read nothing for {_ROOM_S:.0f} s")


def _order(order: Order) -> dict[str, object]:
    return {
        "argv": list(order.argv),
        "env": dict(order.env),
        "cwd": order.cwd,
        "umask": 0o077,
        "user": order.user,
        "marks": list(order.marks),
        "leashed": order.leashed,
        "lease": order.lease,
        "leave": order.leave,
        "fds": len(order.fds),
    }


def _encode(*message: object) -> bytes:
    return json.dumps(message).encode()


def _await_ready(sock: socket.socket) -> None:
    sock.settimeout(_READY_S)
    if not sock.recv(4096):
        raise OSError("it ended at once; what it printed on standard error says why")


def _hunted(pid: int, marks: set[bytes], leaders: set[int]) -> bool:
    process = processes.look(pid)
    if process is None or process.ended or pid == os.getpid():
        return False
    return process.session in leaders or any(processes.carries(pid, [mark]) for mark in marks)


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        logs.event("WARNING", "guardian_busy", "the guardian is still killing tasks", pid=process.pid)
