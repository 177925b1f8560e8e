from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from leasebeat.alerts import AlertEvent, Alerts, CommandDelivery, LogDelivery, Routes
from leasebeat.alerts.alerts import INTERVAL_S, QUEUE
from leasebeat.alerts.mail import Mailer
from leasebeat.app import _teller
from leasebeat.model.alert import AlertReason, AlertRule, rule_of
from leasebeat.node.node import Notice
from leasebeat.runtime import SystemRuntime
from leasebeat.testing.trials.cases import proves

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


# --- what a schedule says about its own alerts ---------------------------------------------------


def about(schedule: str, rule: AlertRule, reason: AlertReason = AlertReason.FAILED) -> AlertEvent:
    return replace(failed(schedule, reason), rule=rule)


def told_of(*events: AlertEvent) -> list[tuple[str | None, str]]:
    kept = Kept()
    alerts = Alerts(StoppedRuntime(), kept)
    for event in events:
        alerts.tell(event)
    deliver_all(alerts)
    return [(event.schedule, event.reason.value) for event, _ in kept.told]


@proves("alert", "off")
def test_nobody_is_told_of_a_schedule_that_is_off() -> None:
    assert told_of(about("a", AlertRule(off=True)), about("b", AlertRule())) == [("b", "failed")]


def test_only_the_reasons_that_a_schedule_names_are_told() -> None:
    rule = rule_of({"on": ["lost", "missed"]})
    assert told_of(*(about("a", rule, reason) for reason in list(AlertReason)[:5])) == [
        ("a", "lost"),
        ("a", "missed"),
    ]


def test_without_a_word_about_it_every_reason_is_told() -> None:
    assert rule_of(None) == rule_of({}) == AlertRule()
    assert len(told_of(*(about("a", AlertRule(), reason) for reason in AlertReason))) == 7


def test_the_command_of_a_schedule_takes_the_place_of_the_hosts_own(tmp_path: Path) -> None:
    kept = Kept()
    routes = Routes(SystemRuntime(), kept, allows=lambda command: command.startswith("cat "))
    routes.deliver(about("a", AlertRule(command=f"cat > {tmp_path}/event")), 3)
    routes.deliver(about("b", AlertRule()), 0)
    told = json.loads((tmp_path / "event").read_text())
    assert (told["schedule"], told["held_back"], "rule" in told) == ("a", 3, False)
    assert [event.schedule for event, _ in kept.told] == ["b"]


def test_a_command_that_the_host_does_not_allow_is_not_run_and_the_hosts_own_way_is_taken(
    tmp_path: Path, log_lines: list[str]
) -> None:
    kept = Kept()
    Routes(SystemRuntime(), kept, allows=lambda _: False).deliver(
        about("a", AlertRule(command=f"touch {tmp_path}/ran")), 0
    )
    assert not (tmp_path / "ran").exists()
    assert len(kept.told) == 1
    assert "is not covered by [node] allow_commands of this host" in log_lines[0]


def sendmail(folder: Path, line: str) -> Mailer:
    """A host whose `sendmail` is a script."""
    program = folder / "sendmail"
    program.write_text(f"#!/bin/sh\n{line}\n")
    program.chmod(0o755)
    return Mailer(SystemRuntime(), {"PATH": f"{folder}:/usr/bin:/bin"})


@proves("alert", "mail")
def test_a_letter_goes_through_the_hosts_sendmail(tmp_path: Path) -> None:
    kept = Kept()
    mailer = sendmail(tmp_path, f'echo "$@" > {tmp_path}/args; cat > {tmp_path}/letter')
    routes = Routes(SystemRuntime(), kept, lambda _: True, mailer)
    event = replace(
        about("a", AlertRule(mail="ops@example.com, root")), text="Grüße \ud800\n.\nfrom exit code 3"
    )
    routes.deliver(event, 2)
    letter = message_from_bytes((tmp_path / "letter").read_bytes(), policy=policy.default)
    assert (letter["To"], letter["Subject"]) == ("ops@example.com, root", "Leasebeat: a: failed")
    assert (tmp_path / "args").read_text() == "-t -i\n"
    body = letter.get_content().splitlines()
    assert body[:3] == ["Grüße ?", ".", "from exit code 3"]
    assert {"schedule: a", "reason: failed", "held_back: 2"} <= set(body)
    assert not kept.told


@pytest.mark.parametrize(("line", "problem"), [("exit 75", "exit code 75"), ("", "has no sendmail")])
def test_a_letter_that_cannot_be_sent_is_told_in_the_hosts_own_way(
    line: str, problem: str, tmp_path: Path, log_lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept()
    monkeypatch.setattr("leasebeat.alerts.mail._FOLDERS", "")
    mailer = sendmail(tmp_path, line) if line else Mailer(SystemRuntime(), {"PATH": str(tmp_path)})
    Routes(SystemRuntime(), kept, lambda _: True, mailer).deliver(about("a", AlertRule(mail="root")), 0)
    assert problem in log_lines[0]
    assert len(kept.told) == 1


def test_what_a_node_notices_becomes_an_event_with_the_rule_of_its_schedule() -> None:
    kept = Kept()
    alerts = Alerts(SystemRuntime(), kept)
    tell = _teller(alerts, SystemRuntime())
    tell(Notice("failed", "a", "exit code 3", "a@2026-11-20T03:00:00Z", 2, 3, {"mail": "root"}))
    tell(Notice("purged", "web1", "gone"))
    tell(Notice("queue", "heavy", "the oldest waits for 400 s"))
    deliver_all(alerts)
    events = [event for event, _ in kept.told]
    assert [(event.schedule, event.node, event.queue) for event in events] == [
        ("a", None, None),
        (None, "web1", None),
        (None, None, "heavy"),
    ]
    assert (events[0].key, events[0].attempt, events[0].exit_code) == ("a@2026-11-20T03:00:00Z", 2, 3)
    assert [event.rule.mail for event in events] == ["root", "", ""]
