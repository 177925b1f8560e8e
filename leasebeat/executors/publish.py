"""Publishing: one message into a stream, a list or a channel of the fleet's own Redis.

Each message has a connection of its own, so that what was refused before anything was sent can be
told from what may have arrived. A message that was sent cannot be taken back, and an attempt whose
answer was lost may be repeated: `run_key` and `fence` are how a reader tells.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol, cast

from leasebeat.errors import GateUnavailable, LeasebeatError
from leasebeat.executors import arguments, rules, targets
from leasebeat.executors.base import Done, Launch
from leasebeat.executors.crew import Crew, Job
from leasebeat.executors.environment import resolve
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop
from leasebeat.executors.options import ExecutorOptions
from leasebeat.executors.shell import not_started
from leasebeat.model import upstream
from leasebeat.model.instant import to_text
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.runtime import Runtime

MOST_THREADS = 4

_CHECKS = rules.ARGS["publish"]


class Line(Protocol):
    """A connection to Redis. Its errors are GateUnavailable."""

    def call(self, *command: str | int) -> object:
        """Send a command and read its reply, once."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


Connect = Callable[[str], Line]
"""A new connection, to the server that has the key or channel of that name.

Raises GateUnavailable; SettingsError where the URL cannot be used.
"""


class PublishExecutor:
    """Runs schedules of the kind `publish` (base.Executor). `connect` is None where the host has no Redis."""

    def __init__(
        self,
        options: ExecutorOptions,
        runtime: Runtime,
        loop: Loop,
        leash: GuardianLeash,
        connect: Connect | None,
    ) -> None:
        self._options = options
        self._connect = connect
        most = min(options.slots, MOST_THREADS)
        self._crew = Crew("publish", most, runtime, loop, leash, self._run)

    def refuse(self, schedule: Schedule) -> str | None:
        """Why this host does not run it, as sentences; None if it does."""
        problems = list(rules.problems(schedule))
        if "publish" not in self._options.allow_kinds:
            problems.append("kind = 'publish' is not among [node] allow_kinds of this host")
        if self._connect is None:
            problems.append("kind = 'publish' needs Redis, and [redis] url of this host is empty")
        if schedule.run_as is not None:
            problems.append(f"run_as = {schedule.run_as!r} means nothing for a publish task: leave it empty")
        return "; ".join(problems) or None

    def start(self, launch: Launch, done: Done) -> None:
        """Start the attempt and return at once. With all threads busy it waits; its time-out does not."""
        self._crew.start(launch, done)

    def stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        """Wait for it no longer; its outcome is `kind`."""
        del grace_s
        self._crew.stop(launch_id, kind)

    def renew(self) -> None:
        """Nothing is cached."""

    def close(self) -> None:
        """Let the threads end."""
        self._crew.close()

    # -- in the threads

    def _run(self, job: Job) -> Outcome:
        assert self._connect is not None, "refused by `refuse`"
        try:
            command = _command(job.launch)
            line = self._connect(str(command[1]))
        except (LeasebeatError, ValueError) as problem:
            return not_started(f"nothing was published: {problem}")
        try:
            if (refused := self._crew.begin(job)) is not None:
                return refused
            return _published(line.call(*command))
        except GateUnavailable as problem:
            text = f"{problem}; unless Redis itself refused the message, it may have arrived"
            return Outcome(OutcomeKind.FAILED, reason_code=ReasonCode.EXCEPTION, reason=text)
        finally:
            line.close()


def _published(answer: object) -> Outcome:
    """The id in the stream, the length of the list, or the number of receivers."""
    told = answer.decode() if isinstance(answer, bytes) else answer
    return Outcome(OutcomeKind.SUCCEEDED, result=json.dumps(told))


def _command(launch: Launch) -> tuple[str | int, ...]:
    """What is said to Redis. Raises StartFailed where that cannot be worked out."""
    arguments.insist(launch.args, _CHECKS)
    target, text = targets.parse(launch.schedule.command), _message(launch)
    assert target is not None, "refused by `refuse`"
    if target.form == "list":
        return "RPUSH", target.name, text
    if target.form == "channel":
        return "PUBLISH", target.name, text
    most = cast("int | None", launch.args.get("maxlen"))
    bound = () if most is None else ("MAXLEN", "~", most)
    fields = ("message", text, "run_key", launch.key_text, "attempt", launch.attempt, "fence", launch.fence)
    return "XADD", target.name, *bound, "*", *fields


def _message(launch: Launch) -> str:
    """Text as it is, all else as JSON. Raises ValueError for text with halves of characters."""
    given = resolve(launch.args["message"], "args.message") if "message" in launch.args else _told(launch)
    text = given if isinstance(given, str) else json.dumps(given)
    return text.encode().decode()


def _told(launch: Launch) -> dict[str, object]:
    told: dict[str, object] = {
        "schedule": launch.schedule.name,
        "run_key": launch.key_text,
        "fire_at": to_text(launch.key.fire_at),
        "attempt": launch.attempt,
        "fence": launch.fence,
        "shard": launch.key.shard,
        "shards": launch.shards,
        "shard_arg": launch.shard_arg,
    }
    if launch.upstream is not None:
        told["upstream"] = upstream.parse(upstream.fit(launch.upstream))
    return told
