"""Shell tasks: `/bin/sh -c COMMAND`, each in a session of its own.

The end of the shell is the end of the run. What it has left behind is killed (`leftovers = leave`:
left alone; such a process should have its own output, for nobody reads the pipe any more). Output,
both streams in one, is read as fast as it comes, whatever it is, and its last 64 KiB are kept.
"""

from __future__ import annotations

import glob
import json
import os
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

from leasebeat import logs
from leasebeat.errors import LeasebeatError, StartFailed
from leasebeat.executors import arguments, results, rules
from leasebeat.executors.base import RESULT_BYTES, Done, Launch
from leasebeat.executors.become import CAUSE_LEASH, CAUSE_START
from leasebeat.executors.environment import (
    MARKS,
    Account,
    account_of,
    base_environment,
    home_of,
    read_regular,
    resolve,
    resolve_each,
    task_variables,
    user_of,
)
from leasebeat.executors.guardian import MESSAGE_BYTES
from leasebeat.executors.leash import CAUSE_GUARDIAN, End, GuardianLeash, Order
from leasebeat.executors.loop import Loop, Timer
from leasebeat.executors.options import ExecutorOptions
from leasebeat.executors.output import Tail, read_into
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.model.schedule import Schedule

LINGER_S = 0.5
"""How long after a task's end its output is read on, where something still holds it open."""

NOT_STARTED = frozenset({126, 127})
"""Exit codes by which a shell says that it could not run the command or did not find it."""

_WITHOUT_RESULT = frozenset({OutcomeKind.START_FAILED, OutcomeKind.LOST})
"""A task that never began has none, and that of one that others take up again is theirs to write."""

_CHECKS = rules.ARGS["shell"]

_OTHER_BYTES = 8192
"""Bytes of such a message besides the command and the large variables."""

STOP_REASONS = {
    OutcomeKind.TIMED_OUT: ReasonCode.TIMEOUT,
    OutcomeKind.KILLED: ReasonCode.KILL_REQUESTED,
    OutcomeKind.LOST: ReasonCode.LEASE_LOST,
}


@dataclass(slots=True, eq=False)
class _Run:
    """A task in the loop. Only its thread touches it."""

    launch: Launch
    done: Done
    account: Account
    result_path: str
    order: Order
    output_fd: int
    tail: Tail = field(default_factory=Tail)
    token: int = 0
    end: End | None = None
    stopped: OutcomeKind | None = None  #: why it was told to stop
    timer: Timer | None = None


class ShellExecutor:
    """Runs schedules of the kind `shell` (base.Executor)."""

    def __init__(self, options: ExecutorOptions, loop: Loop, leash: GuardianLeash) -> None:
        self._options = options
        self._loop = loop
        self._leash = leash
        self._runs: dict[tuple[RunKey, int], _Run] = {}

    def refuse(self, schedule: Schedule) -> str | None:
        """Why this host does not run it, as sentences; None if it does."""
        problems = list(arguments.problems_of_args(schedule.args, _CHECKS))
        if "shell" not in self._options.allow_kinds:
            problems.append("kind = 'shell' is not among [node] allow_kinds of this host")
        if not schedule.command.strip() or "\0" in schedule.command:
            problems.append(f"command = {schedule.command!r}: expected a shell command")
        elif not arguments.command_is_allowed(schedule.command, self._options.allow_commands):
            problems.append(
                f"command = {schedule.command!r} is not covered by [node] allow_commands of this host"
            )
        problem = arguments.problem_of_user(schedule.run_as, self._options.allow_users)
        return "; ".join(filter(None, [*problems, problem, self._leash.home.lacks(schedule.args)])) or None

    def start(self, launch: Launch, done: Done) -> None:
        """Start the attempt and return at once."""
        try:
            run = self._prepare(launch, done)
        except (LeasebeatError, OSError, ValueError) as problem:
            done(launch, not_started(str(problem)))
        else:
            self._loop.call(partial(self._launch, run))

    def stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        """SIGTERM to its group, SIGKILL to all that is left after `grace_s`; its outcome will be `kind`."""
        self._loop.call(partial(self._stop, launch_id, kind, grace_s))

    def renew(self) -> None:
        """Nothing is cached."""

    def close(self) -> None:
        """Nothing is held: loop and leash are closed by who made them."""

    def sweep(self) -> None:
        """Remove the result files of a predecessor that was killed. Once the leash has a guardian."""
        if (dead := self._leash.predecessor) is None:
            return
        for folder in {Path(tempfile.gettempdir()), self._options.state_dir or Path(tempfile.gettempdir())}:
            for path in folder.glob(f"{glob.escape(_prefix(dead))}*.json"):
                _remove(path)

    # -- before the start, in the caller's thread

    def _prepare(self, launch: Launch, done: Done) -> _Run:
        args = launch.args
        arguments.insist(args, _CHECKS)
        if problem := self._leash.home.lacks(args):
            raise StartFailed(problem)
        account = account_of(launch.schedule.run_as)
        own = _variables(resolve_each(cast("Mapping[str, object]", args.get("env", {})), "args.env"))
        environment = {**base_environment(account), **own}
        environment |= task_variables(launch, _room(launch.schedule.command, environment))
        text = resolve(args.get("stdin"), "args.stdin")
        result_path = self._result_file(account, launch.node_id)
        environment["LEASEBEAT_RESULT"] = result_path
        output_fd, child_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(output_fd, False)
        order = Order(
            argv=("/bin/sh", "-c", launch.schedule.command),
            env=environment,
            cwd=str(args.get("cwd") or home_of(account)),
            fds=(_stdin(cast("str | None", text)), child_fd, child_fd),
            marks=MARKS,
            user=user_of(account),
            leashed=launch.leashed,
            limits=self._leash.home.limits(args),
            leave=args.get("leftovers") == "leave",
        )
        return _Run(launch, done, account, result_path, order, output_fd)

    def _result_file(self, account: Account, node_id: str) -> str:
        # Another user could not reach a file in the worker's own folder.
        own = account.uid == os.geteuid()
        fd, path = tempfile.mkstemp(".json", _prefix(node_id), self._options.state_dir if own else None)
        if not own:
            os.fchown(fd, account.uid, account.gid)
        os.close(fd)
        return path

    # -- in the loop's thread

    def _launch(self, run: _Run) -> None:
        try:
            run.token = self._leash.spawn(run.order, partial(self._ended, run))
        except StartFailed as problem:
            os.close(run.output_fd)
            self._report(run, not_started(str(problem)))
            return
        finally:
            for fd in set(run.order.fds):
                os.close(fd)
        self._runs[run.launch.id] = run
        self._loop.watch(run.output_fd, partial(self._readable, run))
        if (limit := run.launch.schedule.timeout) is not None:
            run.timer = self._loop.after(limit, partial(self._timed_out, run))

    def _timed_out(self, run: _Run) -> None:
        self._stop(run.launch.id, OutcomeKind.TIMED_OUT, self._options.kill_grace_s)

    def _stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        run = self._runs.get(launch_id)
        if run is None or run.end is not None:
            return
        run.stopped = run.stopped or kind
        self._leash.stop(run.token, grace_s)

    def _readable(self, run: _Run) -> None:
        if not read_into(run.tail, run.output_fd):
            self._stop_reading(run)
            if run.end is not None:
                self._finish(run)

    def _ended(self, run: _Run, end: End) -> None:
        run.end = end
        if run.timer is not None:
            run.timer.cancel()
        if run.output_fd < 0 or not read_into(run.tail, run.output_fd):
            self._finish(run)
        else:
            # Something has the other end open, or there was too much to read at once.
            run.timer = self._loop.after(LINGER_S, partial(self._finish, run))

    def _stop_reading(self, run: _Run) -> None:
        if run.output_fd >= 0:
            self._loop.unwatch(run.output_fd)
            os.close(run.output_fd)
            run.output_fd = -1

    def _finish(self, run: _Run) -> None:
        if self._runs.pop(run.launch.id, None) is None:
            return
        if run.timer is not None:
            run.timer.cancel()
        self._stop_reading(run)
        self._report(run, _outcome(run))

    def _report(self, run: _Run, outcome: Outcome) -> None:
        _remove(run.result_path)
        run.done(run.launch, outcome)


def _prefix(node_id: str) -> str:
    return f"leasebeat-{node_id}-"


def not_started(reason: str) -> Outcome:
    """The outcome of an attempt that never began."""
    return Outcome(OutcomeKind.START_FAILED, reason_code=ReasonCode.START_FAILED, reason=reason)


def judge(end: End, stopped: OutcomeKind | None, success_codes: tuple[int, ...]) -> Outcome:
    """What the end of a child process means, without what it printed."""
    outcome = _judge(end, stopped, success_codes)
    if not end.limit or outcome.kind is OutcomeKind.SUCCEEDED:
        return outcome
    return replace(outcome, reason=f"{end.limit}; {outcome.reason}")


def _judge(end: End, stopped: OutcomeKind | None, success_codes: tuple[int, ...]) -> Outcome:
    code = end.status if end.status is not None and end.status >= 0 else None
    if end.cause == CAUSE_START:
        return not_started(end.error)
    if end.cause == CAUSE_LEASH:
        text = "killed by the guardian: the node's lease was not renewed in time"
        return Outcome(OutcomeKind.LOST, code, ReasonCode.LEASE_LOST, text)
    if stopped is not None:
        return Outcome(stopped, code, STOP_REASONS.get(stopped), _stop_text(stopped, end))
    if end.cause == CAUSE_GUARDIAN:
        return Outcome(OutcomeKind.LOST, code, ReasonCode.LEASE_LOST, end.error)
    if code in success_codes:
        return Outcome(OutcomeKind.SUCCEEDED, code)
    if code in NOT_STARTED:
        text = f"exit code {code}: the command was not found or could not be run"
        return Outcome(OutcomeKind.START_FAILED, code, ReasonCode.START_FAILED, text)
    if code is None:
        text = f"ended by {_signal_name(-(end.status or 0))}, which Leasebeat did not send"
        return Outcome(OutcomeKind.FAILED, None, ReasonCode.SIGNAL, text)
    return Outcome(OutcomeKind.FAILED, code, ReasonCode.EXIT_CODE, _exit_text(code, success_codes))


def _outcome(run: _Run) -> Outcome:
    assert run.end is not None
    codes = tuple(cast("list[int]", run.launch.args.get("success_codes", (0,))))
    outcome = judge(run.end, run.stopped, codes)
    result, problem = (None, "") if outcome.kind in _WITHOUT_RESULT else _result(run)
    reason = "; ".join(filter(None, (outcome.reason, problem)))
    return Outcome(
        outcome.kind, outcome.exit_code, outcome.reason_code, reason, run.tail.kept, run.tail.size, result
    )


def _result(run: _Run) -> tuple[str | None, str]:
    """What the task wrote into its result file, and what is wrong with it. The file is hostile."""
    # It may have become a link to a secret, a pipe without a writer, or somebody else's file.
    try:
        data = read_regular(run.result_path, RESULT_BYTES + 1, os.O_NOFOLLOW, owner=run.account.uid)
    except OSError as problem:
        return None, f"the result was not kept: its file cannot be read: {problem.strerror}"
    if data is None:
        return None, "the result was not kept: its file was replaced by something that is no file of its user"
    return results.check(data)


def _remove(path: str | Path) -> None:
    """Remove a result file. The task may have removed it, or have put a folder in its place."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as problem:
        text = "a result file could not be removed"
        logs.event("WARNING", "result_file_left", text, path=str(path), problem=problem.strerror)


def _room(command: str, environment: Mapping[str, str]) -> int:
    """Bytes that are left for `LEASEBEAT_UPSTREAM` in the message to the guardian."""
    return MESSAGE_BYTES - len(json.dumps([command, environment])) - _OTHER_BYTES


def _variables(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _stdin(text: str | None) -> int:
    """A descriptor to read it from: a file in memory, so that nobody has to feed a pipe."""
    if text is None:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    fd = os.memfd_create("stdin")
    with open(fd, "wb", closefd=False) as file:
        file.write(text.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _exit_text(code: int, success_codes: tuple[int, ...]) -> str:
    hint = f": a command of it was ended by {_signal_name(code - 128)}" if 128 < code < 193 else ""
    return f"exit code {code}, expected {' or '.join(map(str, success_codes))}{hint}"


def _stop_text(kind: OutcomeKind, end: End) -> str:
    status = end.status or 0
    how = f"ended by {_signal_name(-status)}" if status < 0 else f"exit code {status}"
    left = f"; {end.stuck} of its processes do not end" if end.stuck else ""
    return f"stopped: {kind.value.replace('_', ' ')}; {how}{left}"
