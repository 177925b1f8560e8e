"""A child process that runs `python` tasks, one after the other.

Descriptor 3 is a SOCK_SEQPACKET socket to the worker. Each job comes as a message with a file in
memory attached that holds it as JSON; the answers are `{"begun": true}` and the outcome. The
child ends when the socket closes, after SIGTERM, when a job has left processes behind (the guardian
then kills those), and when it has changed what cannot be set back. It has the worker's user, but
nothing of its environment or memory.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from leasebeat.executors import processes, python_call, results

SOCKET_FD = 3


class Stopped(BaseException):
    """SIGTERM has come: the function is left as by any exception, so that it may clean up."""


def main() -> None:
    """Run as `... SETUP`, JSON with `path` (folders to import from) and `init` (a function or "")."""
    signal.signal(signal.SIGTERM, _stop)
    sock = socket.socket(fileno=SOCKET_FD)
    sock.set_inheritable(False)
    setup = json.loads(sys.argv[-1])
    sys.path[:0] = setup["path"]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    try:
        _serve(sock, setup)
    except Stopped:
        sys.exit(128 + signal.SIGTERM)


def _serve(sock: socket.socket, setup: Mapping[str, Any]) -> None:
    environment, bounds = dict(os.environ), _bounds()
    while (job := _next(sock)) is not None:
        answer = _run(job, setup, sock)
        _restore(environment)
        spoilt = _bounds() != bounds or bool(processes.children(os.getpid()))
        answer["last"] = answer["kind"] == "start_failed" or spoilt
        sock.send(json.dumps(answer).encode())


def _stop(number: int, frame: object) -> NoReturn:
    raise Stopped


def _next(sock: socket.socket) -> dict[str, Any] | None:
    data, fds, _, _ = socket.recv_fds(sock, 16, 1)
    if not data:
        return None
    with open(fds[0], "rb") as file:
        file.seek(0)
        return json.load(file)


def _run(job: dict[str, Any], setup: Mapping[str, Any], sock: socket.socket) -> dict[str, Any]:
    """The outcome of one job."""
    try:
        os.environ.update(job["env"])
        os.chdir(job["cwd"])
        if setup["init"]:
            _init(setup["init"])
        function = python_call.load(job["command"])
    except Exception as problem:
        traceback.print_exc()
        return _answer(
            "start_failed", f"{job['command']} could not be started: {python_call.describe(problem)}"
        )
    # The worker may have been stopped since it sent the job, and its lease be over.
    if time.clock_gettime(time.CLOCK_BOOTTIME) >= job["deadline"]:
        return _answer("lost", "not begun: the node's lease was not renewed in time")
    sock.send(b'{"begun": true}')
    return _call(function, job["kwargs"])


def _init(command: str) -> None:
    if command not in _initialised:
        python_call.load(command)()
        _initialised.add(command)


_initialised: set[str] = set()


def _call(function: python_call.Function, kwargs: dict[str, object]) -> dict[str, Any]:
    try:
        returned = python_call.call(function, kwargs)
    except SystemExit as problem:
        return _exited(problem.code)
    except Exception as problem:
        traceback.print_exc()
        return _answer("failed", python_call.describe(problem))
    finally:
        _flush()
    result, reason = results.of_value(returned)
    return {**_answer("succeeded", reason), "result": result}


def _exited(code: object) -> dict[str, Any]:
    status = python_call.exit_status(code)
    if status == 0:
        return _answer("succeeded", "")
    return {**_answer("failed", f"SystemExit: {code}"), "exit_code": status}


def _flush() -> None:
    # The function may have closed or replaced them.
    for stream in (sys.stdout, sys.stderr):
        if not cast("Any", stream).closed:
            stream.flush()


def _restore(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir("/")
    os.umask(0o077)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGTERM, _stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _bounds() -> list[object]:
    """The limits and the priority of this process: lowered, only root could raise them again."""
    return [os.nice(0), *map(resource.getrlimit, _LIMITS)]


_LIMITS = sorted({number for name, number in vars(resource).items() if name.startswith("RLIMIT_")})


def _answer(kind: str, reason: str) -> dict[str, Any]:
    return {"kind": kind, "reason": reason}
