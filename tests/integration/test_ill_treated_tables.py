"""People's hands in the tables while a worker runs: what is nonsense, what is moved, and what is gone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from leasebeat.model.instant import SECOND
from leasebeat.testing.fleet import Fleet, until, utc
from leasebeat.testing.private import PrivateSqlite, value

pytestmark = pytest.mark.slow

EACH_SECOND = {"cron": "* * * * * *", "command": "echo $LEASEBEAT_RUN_KEY old >>$EVIDENCE"}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path, PrivateSqlite(tmp_path), node_beat_s=1, node_kill_grace_s=1, node_slots=4) as made:
        made.start("a")
        made.await_live("a")
        yield made


def lines(fleet: Fleet, mark: str = "") -> list[str]:
    return [line for line in fleet.evidence.read_text().splitlines() if mark in line]


def more(fleet: Fleet, mark: str, count: int = 2) -> None:
    """So many more of these have run."""
    before = len(lines(fleet, mark))
    until(lambda: len(lines(fleet, mark)) >= before + count, 20, f"{mark} runs on\n{fleet.tails()}")


def edit(fleet: Fleet, name: str, column: str, text: str) -> None:
    fleet.store.rows(f"UPDATE schedules SET {column} = '{text}' WHERE name = '{name}'")


def problem(fleet: Fleet, name: str) -> str:
    found = fleet.store.rows(f"SELECT problem FROM schedule_list WHERE name = '{name}'")
    return str(found[0]["problem"] or "")


def run_now(fleet: Fleet, name: str, args: str | None = None) -> None:
    told = "NULL" if args is None else f"'{args}'"
    fleet.store.rows(
        f"INSERT INTO runs (schedule_id, args) SELECT id, {told} FROM schedules WHERE name = '{name}'"
    )


def status(fleet: Fleet, name: str) -> str:
    found = fleet.store.rows(f"SELECT status FROM run_list WHERE schedule = '{name}'")
    return str(found[0]["status"]) if found else ""


@pytest.mark.fault(78, 79)
def test_rows_that_mean_nothing_are_told_and_run_on_as_they_were_and_so_do_the_others(fleet: Fleet) -> None:
    nonsense = {
        "minute-1": ("cron", "60 * * * * *"),
        "friday-2": ("cron", "0 0 * * fri#9"),
        "args-3": ("args", '{"env": 7}'),
        "after-4": ("after", '["nobody"]'),
    }
    fleet.schedule(*({"name": name, **EACH_SECOND} for name in [*nonsense, "well-5"]))
    until(lambda: all(lines(fleet, name) for name in nonsense), 20, f"all run\n{fleet.tails()}")
    for name, (column, text) in nonsense.items():
        edit(fleet, name, column, text)
    until(lambda: all(problem(fleet, name) for name in nonsense), 20, f"they are told\n{fleet.tails()}")
    for name in [*nonsense, "well-5"]:
        more(fleet, name)
    assert problem(fleet, "well-5") == ""


@pytest.mark.fault(79)
def test_what_is_no_json_is_refused_by_the_table(fleet: Fleet) -> None:
    fleet.schedule({"name": "hurt-1", **EACH_SECOND})
    for column in ("args", "after", "alert", "shard_args"):
        with pytest.raises(Exception, match="constraint failed"):
            edit(fleet, "hurt-1", column, "{bad")
    assert problem(fleet, "hurt-1") == ""


@pytest.mark.fault(80)
def test_a_run_that_was_opened_runs_as_it_was_opened_and_the_next_one_as_the_row_says_now(
    fleet: Fleet,
) -> None:
    fleet.store.rows("INSERT INTO lanes (name, size) VALUES ('one', 1)")
    blocker = {
        "cron": "@manual",
        "lane": "one",
        "command": f"until [ -e {fleet.folder}/go ]; do sleep 0.1; done",
    }
    fleet.schedule({"name": "blocker-1", **blocker}, {"name": "job-2", **EACH_SECOND, "enabled": 0})
    run_now(fleet, "blocker-1")
    until(lambda: status(fleet, "blocker-1") == "running", 20, f"the lane is full\n{fleet.tails()}")
    fleet.store.rows("UPDATE schedules SET enabled = 1, lane = 'one', overlap = 'skip' WHERE name = 'job-2'")
    until(lambda: status(fleet, "job-2") == "queued", 20, f"a run waits\n{fleet.tails()}")
    edit(fleet, "job-2", "command", "echo $LEASEBEAT_RUN_KEY new >>$EVIDENCE")
    (fleet.folder / "go").touch()
    more(fleet, "new", 1)
    assert [line.rpartition(" ")[2] for line in lines(fleet)][:2] == ["old", "new"]


@pytest.mark.fault(81)
def test_what_runs_ends_when_its_row_goes_and_nothing_more_begins(fleet: Fleet) -> None:
    wait = (
        f"echo begun >>$EVIDENCE; until [ -e {fleet.folder}/go ]; do sleep 0.1; done; echo ended >>$EVIDENCE"
    )
    fleet.schedule(*({"name": name, "command": wait, "overlap": "skip"} for name in ("gone-1", "paused-2")))
    more(fleet, "begun", 2)
    fleet.store.rows(
        "DELETE FROM schedules WHERE name = 'gone-1'",
        "UPDATE schedules SET enabled = 0 WHERE name = 'paused-2'",
    )
    last = fleet.store.now()
    (fleet.folder / "go").touch()
    until(lambda: fleet.settled(last + 4 * SECOND), 30, f"all is accounted for\n{fleet.tails()}")
    assert lines(fleet) == ["begun", "begun", "ended", "ended"]
    assert fleet.counts()["succeeded"] == 2
    late = f"SELECT COUNT(*) FROM runs WHERE fire_at > '{utc(last + 2 * SECOND)}'"
    assert value(fleet.store, late) == 0


@pytest.mark.fault(82)
def test_a_row_and_a_watermark_that_are_set_back_repeat_nothing(fleet: Fleet) -> None:
    fleet.schedule({"name": "job-1", **EACH_SECOND})
    more(fleet, "job-1", 4)
    (row,) = fleet.store.rows("SELECT * FROM schedules")
    copied = {name: found for name, found in row.items() if name not in ("version", "created_at")}
    names = ", ".join(copied)
    values = ", ".join("NULL" if v is None else repr(v) for v in copied.values())
    fleet.store.rows("DELETE FROM schedules")
    until(
        lambda: value(fleet.store, "SELECT MAX(deleted) FROM schedule_history"), 20, "it is seen to be gone"
    )
    fleet.store.rows(
        f"INSERT INTO schedules ({names}) VALUES ({values})",
        f"UPDATE roles SET watermark = '{utc(fleet.store.now() - 600 * SECOND)}'",
    )
    more(fleet, "job-1", 3)
    until(lambda: fleet.settled(fleet.store.now() - 5 * SECOND), 30, f"the audit is done\n{fleet.tails()}")
    assert len(lines(fleet)) == len(set(lines(fleet)))
    first = min(lines(fleet)).split("@")[1].split("Z")[0].replace("T", " ")
    assert value(fleet.store, f"SELECT COUNT(*) FROM runs WHERE fire_at < '{first}'") == 0


# what was mended once, and must stay so


def test_the_auditors_row_comes_back_when_somebody_deletes_it(fleet: Fleet) -> None:
    fleet.schedule({"name": "job-1", **EACH_SECOND})
    more(fleet, "job-1")
    fleet.store.rows("DELETE FROM roles")
    until(lambda: fleet.store.rows("SELECT * FROM roles"), 20, f"somebody leads again\n{fleet.tails()}")
    until(lambda: fleet.settled(fleet.store.now() - 5 * SECOND), 20, f"and audits\n{fleet.tails()}")
    more(fleet, "job-1")


def test_fires_go_on_when_somebody_deletes_the_recorded_versions(fleet: Fleet) -> None:
    fleet.schedule({"name": "job-1", **EACH_SECOND})
    more(fleet, "job-1")
    fleet.store.rows("DELETE FROM schedule_history")
    more(fleet, "job-1", 3)
    assert value(fleet.store, "SELECT COUNT(*) FROM schedule_history") == 1


def test_runs_put_in_by_hand_with_args_that_mean_nothing_fail_alone(fleet: Fleet) -> None:
    manual = {"cron": "@manual", "command": "echo ran >>$EVIDENCE", "overlap": "allow"}
    wrong = {"wrong-1": '{"env": 7}', "unknown-2": '{"unknown": 1}'}
    fleet.schedule(*({"name": name, **manual} for name in [*wrong, "well-3"]))
    for name, args in wrong.items():
        run_now(fleet, name, args)
    run_now(fleet, "well-3")
    until(lambda: fleet.counts() == {"failed": 2, "succeeded": 1}, 30, f"they end\n{fleet.tails()}")
    assert lines(fleet) == ["ran"]
    reasons = fleet.store.rows("SELECT reason FROM runs WHERE status = 'failed'")
    assert ["args" in row["reason"] for row in reasons] == [True, True]


def test_a_worker_whose_store_vanished_leaves_all_the_same(fleet: Fleet) -> None:
    fleet.schedule({"name": "job-1", "cron": "@manual", "command": "echo begun >>$EVIDENCE; sleep 600"})
    run_now(fleet, "job-1")
    more(fleet, "begun", 1)
    for path in fleet.folder.glob("*.db*"):
        path.rename(path.with_name(f"away-{path.name}"))
    fleet["a"].signal(signal.SIGTERM)
    until(lambda: fleet["a"].said("node_draining"), 20, "it drains")
    fleet["a"].signal(signal.SIGTERM)
    assert fleet["a"].wait(30) == 0
    assert fleet["a"].said("left_unsaid")
    assert fleet.task_pids() == []


def test_a_draining_node_that_somebody_resumes_goes_on_draining(fleet: Fleet) -> None:
    wait = f"echo begun >>$EVIDENCE; until [ -e {fleet.folder}/go ]; do sleep 0.1; done"
    fleet.schedule({"name": "job-1", "cron": "@manual", "command": wait})
    run_now(fleet, "job-1")
    more(fleet, "begun", 1)
    state = "SELECT state FROM nodes"
    fleet["a"].signal(signal.SIGTERM)
    until(lambda: value(fleet.store, state) == "draining", 20, "it drains")
    fleet.store.rows("UPDATE nodes SET state = 'live'")
    until(lambda: value(fleet.store, state) == "draining", 20, f"it says so again\n{fleet.tails()}")
    (fleet.folder / "go").touch()
    assert fleet["a"].wait(30) == 0
    assert (value(fleet.store, state), fleet.counts()) == ("left", {"succeeded": 1})


# who is who


@pytest.mark.fault(61)
def test_a_worker_under_a_new_name_gets_the_work_of_the_old_one_after_its_purge(fleet: Fleet) -> None:
    again = "echo begun >>$EVIDENCE; [ $LEASEBEAT_ATTEMPT = 1 ] && sleep 600; echo again >>$EVIDENCE"
    fleet.schedule({"name": "job-1", "cron": "@manual", "command": again})
    run_now(fleet, "job-1")
    more(fleet, "begun", 1)
    fleet["a"].kill()
    fleet.add("renamed", node_state_dir=fleet.folder / "a.state")
    fleet.start("renamed")
    until(lambda: status(fleet, "job-1") == "succeeded", 30, f"it runs again\n{fleet.tails()}")
    assert lines(fleet) == ["begun", "begun", "again"]
    states = {row["name"]: row["state"] for row in fleet.store.rows("SELECT name, state FROM nodes")}
    assert states == {"a": "purged", "renamed": "live"}


@pytest.mark.fault(61)
def test_a_dead_worker_is_not_taken_for_alive_because_its_pid_is_somebody_elses_now(fleet: Fleet) -> None:
    fleet["a"].kill()
    fleet.store.rows(f"UPDATE nodes SET pid = 1, beat_at = '{utc(fleet.store.now())}'")
    fleet.start("a")
    fleet.await_live("a")
    assert fleet["a"].said("predecessor_purged")
