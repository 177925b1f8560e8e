"""The kept end of a stream, the ends of processes, and the loop."""

from __future__ import annotations

import os
import queue
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leasebeat.executors.become import CAUSE_LEASH, CAUSE_START
from leasebeat.executors.leash import CAUSE_GUARDIAN, End
from leasebeat.executors.loop import Call, Loop
from leasebeat.executors.output import Tail, read_into
from leasebeat.executors.shell import judge
from leasebeat.model.run import OutcomeKind, ReasonCode
from leasebeat.runtime import SystemRuntime


@given(st.lists(st.binary(max_size=40)), st.integers(1, 20))
def test_a_tail_is_the_end_of_all_that_came(pieces: list[bytes], limit: int) -> None:
    tail = Tail(limit)
    for piece in pieces:
        tail.feed(piece)
        assert len(tail._kept) <= 2 * limit
    assert (tail.kept, tail.size) == (b"".join(pieces)[-limit:], len(b"".join(pieces)))


def test_reading_stops_at_nothing_more_and_at_the_end() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    tail = Tail()
    os.write(write, b"one")
    assert read_into(tail, read)
    os.close(write)
    assert not read_into(tail, read)
    os.close(read)
    assert tail.kept == b"one"


@pytest.mark.parametrize(
    ("end", "stopped", "kind", "reason"),
    [
        (End(0), None, OutcomeKind.SUCCEEDED, None),
        (End(4), None, OutcomeKind.SUCCEEDED, None),
        (End(1), None, OutcomeKind.FAILED, ReasonCode.EXIT_CODE),
        (End(127), None, OutcomeKind.START_FAILED, ReasonCode.START_FAILED),
        (End(-9), None, OutcomeKind.FAILED, ReasonCode.SIGNAL),
        (End(-34), None, OutcomeKind.FAILED, ReasonCode.SIGNAL),
        (End(0), OutcomeKind.TIMED_OUT, OutcomeKind.TIMED_OUT, ReasonCode.TIMEOUT),
        (End(-9), OutcomeKind.KILLED, OutcomeKind.KILLED, ReasonCode.KILL_REQUESTED),
        (End(-9, CAUSE_LEASH), None, OutcomeKind.LOST, ReasonCode.LEASE_LOST),
        (End(-9, CAUSE_LEASH), OutcomeKind.TIMED_OUT, OutcomeKind.LOST, ReasonCode.LEASE_LOST),
        (End(None, CAUSE_GUARDIAN, "gone"), None, OutcomeKind.LOST, ReasonCode.LEASE_LOST),
        (
            End(None, CAUSE_GUARDIAN, "gone"),
            OutcomeKind.KILLED,
            OutcomeKind.KILLED,
            ReasonCode.KILL_REQUESTED,
        ),
        (End(127, CAUSE_START, "cwd"), None, OutcomeKind.START_FAILED, ReasonCode.START_FAILED),
    ],
)
def test_the_end_of_a_process_means(
    end: End, stopped: OutcomeKind | None, kind: OutcomeKind, reason: ReasonCode | None
) -> None:
    outcome = judge(end, stopped, (0, 4))
    assert (outcome.kind, outcome.reason_code) == (kind, reason)
    assert bool(outcome.reason) is (reason is not None)


def test_an_exit_code_of_a_killed_command_says_by_which_signal() -> None:
    assert judge(End(137), None, (0,)).reason.endswith("a command of it was ended by signal 9 (SIGKILL)")


def after(loop: Loop, seconds: float, call: Call) -> None:
    loop.after(seconds, call)


def test_the_loop_runs_calls_in_order_and_timers_by_time() -> None:
    loop, seen = Loop(SystemRuntime()), queue.SimpleQueue[str]()
    for wait in (0.04, 0.02, 0.0):
        loop.call(partial(after, loop, wait, partial(seen.put, f"{wait}")))
    loop.call(partial(seen.put, "at once"))
    said = [seen.get(timeout=5) for _ in range(4)]
    assert [word for word in said if word != "at once"] == ["0.0", "0.02", "0.04"]
    loop.close()


def test_a_cancelled_timer_does_not_run() -> None:
    loop, seen = Loop(SystemRuntime()), queue.SimpleQueue[str]()
    loop.call(lambda: loop.after(0.0, lambda: seen.put("cancelled")).cancel())
    loop.call(partial(after, loop, 0.01, partial(seen.put, "later")))
    assert seen.get(timeout=5) == "later"
    loop.close()


def test_an_error_in_a_call_is_logged_and_the_loop_goes_on(log_lines: list[str]) -> None:
    loop, seen = Loop(SystemRuntime()), queue.SimpleQueue[str]()
    loop.call(partial(divmod, 1, 0))  # pyright: ignore[reportArgumentType]
    loop.call(lambda: seen.put("next"))
    assert seen.get(timeout=5) == "next"
    loop.close()
    assert [line for line in log_lines if "action=loop_error" in line and "ZeroDivisionError" in line]


def test_calls_made_before_close_are_still_run_and_later_ones_are_not() -> None:
    loop, seen = Loop(SystemRuntime()), queue.SimpleQueue[int]()
    for number in range(100):
        loop.call(lambda number=number: seen.put(number))
    loop.close()
    loop.call(lambda: seen.put(-1))
    assert [seen.get(timeout=5) for _ in range(100)] == list(range(100))
    assert seen.empty()


def test_a_loop_that_was_never_used_frees_its_descriptors() -> None:
    before = len(os.listdir("/proc/self/fd"))
    Loop(SystemRuntime()).close()
    assert len(os.listdir("/proc/self/fd")) == before
