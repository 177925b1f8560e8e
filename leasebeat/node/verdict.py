"""What an outcome means for the run, by the policies of its schedule. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from leasebeat.executors.base import Launch
from leasebeat.model.instant import Instant, Micros, from_seconds
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode
from leasebeat.model.schedule import Schedule
from leasebeat.store.base import FinishRow

MOST_TAKE_OVERS = 2
"""A run that was taken over this often without an outcome is closed as `lost` the next time: one
poison job must not kill host after host."""

_LONGEST_RETRY_S = 3600.0

_JITTER = 0.1
"""How much longer than asked for a retry may wait, as a part of it: what failed together, because of
one thing that was down, does not come back together."""


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """How many bytes of the end of what an attempt printed are kept."""

    succeeded: int = 4096
    failed: int = 65536

    def cut(self, outcome: Outcome) -> bytes:
        """What is kept of this one."""
        most = self.succeeded if outcome.kind == OutcomeKind.SUCCEEDED else self.failed
        return outcome.output[-most:] if most else b""


@dataclass(slots=True)
class Held:
    """An attempt that this node holds, from the claim until the store has its outcome."""

    launch: Launch
    queue: str
    failures: int = 0
    take_overs: int = 0
    former_reason: str | None = None
    lapses: int = 0  #: the lease's count when it was started
    started_at: Instant | None = None  #: None until its task was handed to an executor
    ended: bool = False


def finish_row(held: Held, outcome: Outcome, limits: OutputLimits) -> FinishRow:
    """The end of an attempt as the store shall record it: over, or back to the queue."""
    schedule = held.launch.schedule
    again, delay = _again(held, outcome, schedule)
    return FinishRow(
        key=held.launch.key,
        attempt=held.launch.attempt,
        status=_status(outcome.kind),
        again=again,
        delay=delay,
        failed=_counts_as_failure(held, outcome),
        lost=_counts_as_take_over(held, outcome),
        exit_code=outcome.exit_code,
        reason_code=outcome.reason_code,
        reason=outcome.reason or None,
        result=None if again else outcome.result,
        output=limits.cut(outcome),
        output_bytes=outcome.output_bytes,
        started_at=held.started_at,
    )


def _status(kind: OutcomeKind) -> str:
    return "failed" if kind == OutcomeKind.START_FAILED else kind.value


def _again(held: Held, outcome: Outcome, schedule: Schedule) -> tuple[bool, Micros]:
    match outcome.kind:
        case OutcomeKind.SUCCEEDED | OutcomeKind.KILLED:
            return False, 0
        case OutcomeKind.LOST:
            return _goes_back(held, outcome, schedule), 0
        case OutcomeKind.START_FAILED if not _counts_as_failure(held, outcome):
            return True, 0
        case _:
            return _has_retry(held, schedule), retry_delay(schedule, held.failures, _spread(held.launch))


def _goes_back(held: Held, outcome: Outcome, schedule: Schedule) -> bool:
    if outcome.reason_code == ReasonCode.ALREADY_STARTED:  # elsewhere it would run a second time, too
        return False
    if held.started_at is None:  # nothing of it ever ran
        return True
    if outcome.reason_code == ReasonCode.DRAIN:
        return schedule.on_node_loss == "rerun"
    return schedule.on_node_loss == "rerun" and held.take_overs < MOST_TAKE_OVERS


def _counts_as_failure(held: Held, outcome: Outcome) -> bool:
    """The first node that cannot start a task hands it to another without costing a retry."""
    if outcome.kind == OutcomeKind.START_FAILED:
        return held.former_reason == ReasonCode.START_FAILED
    return outcome.kind in (OutcomeKind.FAILED, OutcomeKind.TIMED_OUT)


def _counts_as_take_over(held: Held, outcome: Outcome) -> bool:
    """A started task without an outcome, unless its node was shut down in good order."""
    began = held.started_at is not None
    return began and outcome.kind == OutcomeKind.LOST and outcome.reason_code != ReasonCode.DRAIN


def _has_retry(held: Held, schedule: Schedule) -> bool:
    return schedule.retries < 0 or held.failures < schedule.retries


def retry_delay(schedule: Schedule, failures: int, spread: float = 0.0) -> Micros:
    """Microseconds until the next attempt after `failures` earlier ones: exponential, at most an hour.

    `spread`, from 0 to 1, is how much of the jitter there is.
    """
    try:
        wanted = schedule.retry_delay_s * schedule.retry_backoff**failures
    except OverflowError:
        wanted = _LONGEST_RETRY_S
    return from_seconds(min(_LONGEST_RETRY_S, wanted * (1 + _JITTER * spread)))


def _spread(launch: Launch) -> float:
    """From 0 to 1, the same on every node and at every repetition, by the run and its attempt."""
    digest = blake2b(f"{launch.key_text} {launch.attempt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32
