from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path

from leasebeat.alerts import AlertEvent, AlertReason, Alerts, CommandDelivery, LogDelivery
from leasebeat.alerts.alerts import INTERVAL_S, QUEUE
from leasebeat.runtime import SystemRuntime

Eventually = Callable[[Callable[[], object]], None]


class StoppedRuntime(SystemRuntime):
    """The machine with a clock that only the test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Kept:
    """A delivery that only remembers."""

    def __init__(self) -> None:
        self.told: deque[tuple[AlertEvent, int]] = deque()

    def deliver(self, event: AlertEvent, held_back: int) -> None:
        self.told.append((event, held_back))


def failed(schedule: str = "backup", reason: AlertReason = AlertReason.FAILED) -> AlertEvent:
    return AlertEvent(reason, at=1_795_000_000_000_000, text=f"{schedule} {reason}", schedule=schedule)


def deliver_all(alerts: Alerts) -> None:
    while alerts.run_once():
        pass


def test_an_event_is_delivered_once() -> None:
    kept = Kept()
    alerts = Alerts(StoppedRuntime(), kept)
    alerts.tell(failed())
    deliver_all(alerts)
    assert [(event.schedule, held) for event, held in kept.told] == [("backup", 0)]


def test_within_a_minute_a_schedule_and_reason_are_told_once_and_the_next_says_how_many_were_held_back() -> (
    None
):
    runtime, kept = StoppedRuntime(), Kept()
    alerts = Alerts(runtime, kept)
    for _ in range(3):
        alerts.tell(failed())
    deliver_all(alerts)
    runtime.now += INTERVAL_S
    alerts.tell(failed())
    deliver_all(alerts)
    assert [held for _, held in kept.told] == [0, 2]


def test_other_schedules_and_other_reasons_are_not_held_back() -> None:
    kept = Kept()
    alerts = Alerts(StoppedRuntime(), kept)
    events = [failed("a"), failed("b"), failed("a", AlertReason.LOST)]
    for event in events:
        alerts.tell(event)
    deliver_all(alerts)
    assert [event for event, _ in kept.told] == events


def test_what_does_not_fit_into_the_queue_is_counted_and_logged(log_lines: list[str]) -> None:
    kept = Kept()
    alerts = Alerts(StoppedRuntime(), kept)
    for number in range(QUEUE + 7):
        alerts.tell(failed(f"job-{number}"))
    deliver_all(alerts)
    assert len(kept.told) == QUEUE
    assert [
        line for line in log_lines if "action=alerts_dropped" in line and "dropped=7" in line
    ] == log_lines


def test_memory_of_quiet_schedules_is_bounded() -> None:
    runtime = StoppedRuntime()
    alerts = Alerts(runtime, Kept())
    for round_ in range(5):
        for number in range(QUEUE):
            alerts.tell(failed(f"job-{round_}-{number}"))
        deliver_all(alerts)
        runtime.now += 2 * INTERVAL_S
    assert len(alerts._quiet) <= QUEUE + 1


def test_close_delivers_what_still_waits() -> None:
    kept = Kept()
    alerts = Alerts(SystemRuntime(), kept)
    alerts.start()
    for number in range(50):
        alerts.tell(failed(f"job-{number}"))
    assert alerts.close(10)
    assert len(kept.told) == 50


def test_a_slow_delivery_does_not_delay_the_teller() -> None:
    runtime = SystemRuntime()
    released = runtime.waiter()

    class Slow:
        def deliver(self, event: AlertEvent, held_back: int) -> None:
            released.wait(30)

    alerts = Alerts(runtime, Slow())
    alerts.start()
    for number in range(20):
        alerts.tell(failed(f"job-{number}"))  # would wait for ten minutes if it waited
    assert not alerts.close(0)
    released.wake()


def test_the_log_delivery_writes_a_line_at_error(log_lines: list[str]) -> None:
    LogDelivery().deliver(failed(), 3)
    (line,) = log_lines
    assert " ERROR " in line
    assert "action=alert reason=failed at=2026-11-18T11:06:40Z schedule=backup held_back=3" in line


def test_the_command_gets_the_event_as_json_on_stdin(tmp_path: Path) -> None:
    CommandDelivery(SystemRuntime(), f"cat > {tmp_path}/event").deliver(failed(), 2)
    assert json.loads((tmp_path / "event").read_text()) == {
        "reason": "failed",
        "at": "2026-11-18T11:06:40Z",
        "text": "backup failed",
        "schedule": "backup",
        "held_back": 2,
    }


def test_the_command_does_not_see_the_settings_of_the_worker(tmp_path: Path) -> None:
    environ = {"LEASEBEAT_STORE__URL": "mysql://u:secret@h/d", "PATH": "/usr/bin:/bin", "MAILTO": "ops"}
    CommandDelivery(SystemRuntime(), f"env > {tmp_path}/env", environ).deliver(failed(), 0)
    seen = (tmp_path / "env").read_text()
    assert "MAILTO=ops" in seen
    assert "LEASEBEAT" not in seen


def test_a_failing_command_is_logged_with_what_it_said(log_lines: list[str]) -> None:
    CommandDelivery(SystemRuntime(), "echo no route to mail; exit 3").deliver(failed(), 0)
    (line,) = log_lines
    assert "action=alert_failed" in line
    assert "exit code 3: no route to mail" in line


def test_a_command_that_hangs_is_killed_with_its_children(
    log_lines: list[str], tmp_path: Path, eventually: Eventually
) -> None:
    pids = tmp_path / "pids"
    line = f"sleep 600 & echo $$ $! > {pids}; exec sleep 600"
    CommandDelivery(SystemRuntime(), line, timeout_s=0.3).deliver(failed(), 0)
    assert "took longer than 0.3 s and was killed" in log_lines[0]
    states = [Path(f"/proc/{pid}/stat") for pid in pids.read_text().split()]
    eventually(lambda: all(not state.exists() or state.read_text().split()[2] == "Z" for state in states))


def test_a_command_that_floods_its_output_is_heard_to_the_end(log_lines: list[str]) -> None:
    flood = "head -c 3000000 /dev/zero | tr '\\0' x; echo the end; exit 1"
    CommandDelivery(SystemRuntime(), flood).deliver(failed(), 0)
    assert "the end" in log_lines[0]
    assert len(log_lines[0]) < 4000


def test_a_daemon_left_by_the_command_does_not_hold_the_queue(log_lines: list[str], tmp_path: Path) -> None:
    runtime = SystemRuntime()
    began = runtime.monotonic()
    line = f"setsid sleep 20 & echo $! > {tmp_path}/pid"
    CommandDelivery(runtime, line, timeout_s=0.5).deliver(failed(), 0)
    assert runtime.monotonic() - began < 15
    assert log_lines == []
