"""The loop of the executors: its one thread must outlive whatever it is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from leasebeat import logs
from leasebeat.executors.loop import Loop
from leasebeat.runtime import SystemRuntime
from leasebeat.settings import Log


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(SystemRuntime())
    yield made
    made.close()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    written: list[str] = []
    logs.configure(Log(level="ERROR"), sink=written.append)
    yield written
    logs.configure(Log())


def served(loop: Loop, count: int = 2) -> list[int]:
    """What the loop has done of `count` calls, one after the other."""
    done: SimpleQueue[int] = SimpleQueue()
    answers: list[int] = []
    for number in range(count):
        loop.call(lambda number=number: done.put(number))
        answers.append(done.get(timeout=5))
    return answers


@pytest.mark.parametrize("days", [25, 30, 365_000])
def test_a_timer_further_away_than_the_system_can_wait_does_not_end_the_loop(loop: Loop, days: int) -> None:
    loop.call(lambda: loop.after(days * 86_400, lambda: None) and None)
    assert served(loop) == [0, 1]


@pytest.mark.parametrize("problem", [ValueError("of no use"), SystemExit("of no use"), KeyboardInterrupt()])
def test_whatever_a_call_raises_is_logged_and_the_loop_goes_on(
    loop: Loop, lines: list[str], problem: BaseException
) -> None:
    def fails() -> None:
        raise problem

    loop.call(fails)
    assert served(loop) == [0, 1]
    assert [type(problem).__name__ in line and "loop_error" in line for line in lines] == [True]


def test_an_error_of_the_loop_itself_is_logged_and_calls_and_timers_go_on(
    loop: Loop, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leasebeat.executors.loop.MOST_PATIENCE_S", float(sys.maxsize))
    timer: SimpleQueue[str] = SimpleQueue()
    loop.call(lambda: loop.after(1e12, lambda: None) and None)
    assert served(loop) == [0, 1]
    loop.call(lambda: loop.after(0.01, lambda: timer.put("rung")) and None)
    assert timer.get(timeout=5) == "rung"
    assert any("OverflowError" in line for line in lines)
