"""People's commands on schedules, on both dialects."""

from __future__ import annotations

import pytest

from leasebeat.errors import NotFound, Refused
from leasebeat.model.instant import from_text
from leasebeat.testing.trials.cases import proves
from tests.contract.desk_bench import JOB, Office


def test_a_schedule_gets_the_tables_defaults(office: Office) -> None:
    office.desk.add(JOB)
    row = office.desk.schedule("job")
    assert (row["cron"], row["command"], row["kind"]) == ("0 3 * * *", "true", "shell")
    assert (row["enabled"], row["timezone"], row["overlap"], row["misfire_grace_s"]) == (
        1,
        "UTC",
        "skip",
        3600,
    )
    assert (row["problem"], row["last_status"], row["last_at"]) == (None, None, None)


@proves("created_at", "time")
def test_instants_come_back_as_they_were_given(office: Office) -> None:
    starts, ends = from_text("2026-12-24T18:00:00.000001Z"), from_text("2027-01-01T00:00:00Z")
    office.desk.add({**JOB, "starts_at": starts, "ends_at": ends})
    row = office.desk.schedule("job")
    assert (row["starts_at"], row["ends_at"], row["created_at"]) == (starts, ends, office.bench.now)


def test_a_taken_name_is_refused(office: Office) -> None:
    office.desk.add(JOB)
    with pytest.raises(Refused, match="there is a schedule 'job' already"):
        office.desk.add(JOB)
    assert len(office.desk.schedules()) == 1


def test_a_replaced_schedule_keeps_its_id_and_goes_back_to_the_defaults(office: Office) -> None:
    first = office.desk.add({**JOB, "queue": "heavy", "retries": 3})
    made = office.bench.now
    office.pass_time(60)
    assert office.desk.add({**JOB, "command": "false"}, replace=True) == first
    row = office.desk.schedule("job")
    assert (row["command"], row["queue"], row["retries"], row["created_at"]) == ("false", "default", 0, made)
    assert row["updated_at"] == office.bench.now


def test_replace_adds_what_is_not_there(office: Office) -> None:
    office.desk.add(JOB, replace=True)
    assert office.desk.schedule("job")["cron"] == "0 3 * * *"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "perl"},
        {"overlap": "maybe"},
        {"shards": 0},
        {"retries": -2},
        {"args": "[1]"},
        {"name": "no spaces"},
        {"cron": ""},
        {"queue": "ünlisted"},
        {"route": "node:"},
        {"ends_at": 0, "starts_at": 1},
    ],
)
def test_the_table_refuses_what_it_cannot_mean(office: Office, change: dict[str, str | int]) -> None:
    office.desk.add(JOB)
    with pytest.raises(Refused):
        office.desk.edit("job", change)
    assert office.desk.schedule("job")["version"] == office.desk.schedules()[0]["version"]
    with pytest.raises(Refused):
        office.desk.add({**JOB, "name": "other", **change})
    assert [row["name"] for row in office.desk.schedules()] == ["job"]


def test_an_unknown_column_is_refused_by_name(office: Office) -> None:
    office.desk.add(JOB)
    with pytest.raises(Refused, match="no such column: colour"):
        office.desk.edit("job", {"colour": "red"})


def test_an_edit_changes_what_it_names_and_the_version(office: Office) -> None:
    office.desk.add({**JOB, "owner": "ops"})
    before = office.desk.schedule("job")
    office.pass_time(1)
    assert office.desk.edit("job", {"cron": "0 4 * * *", "enabled": False})
    after = office.desk.schedule("job")
    assert (after["cron"], after["enabled"], after["owner"]) == ("0 4 * * *", 0, "ops")
    assert after["version"] != before["version"]
    assert after["updated_at"] == office.bench.now


def test_an_edit_to_what_is_there_changes_nothing(office: Office) -> None:
    office.desk.add(JOB)
    before = office.desk.schedule("job")
    office.pass_time(1)
    assert not office.desk.edit("job", {"cron": "0 3 * * *", "enabled": True})
    assert office.desk.schedule("job") == before


def test_an_edit_of_an_older_version_is_refused(office: Office) -> None:
    office.desk.add(JOB)
    seen = office.desk.schedule("job")["version"]
    office.desk.edit("job", {"owner": "somebody"})
    with pytest.raises(Refused, match="changed by somebody else"):
        office.desk.edit("job", {"owner": "me"}, seen)
    assert office.desk.schedule("job")["owner"] == "somebody"


def test_a_schedule_can_be_renamed_but_not_over_another(office: Office) -> None:
    first = office.desk.add(JOB)
    office.desk.add({**JOB, "name": "other"})
    assert office.desk.edit("job", {"name": "größer/1"})
    assert office.desk.schedule("größer/1")["id"] == first
    with pytest.raises(Refused, match="there is a schedule 'other' already"):
        office.desk.edit("größer/1", {"name": "other"})


def test_nodes_see_every_edit_by_the_digest(office: Office) -> None:
    seen = {office.bench.store.look_at_schedules().digest}
    office.desk.add(JOB)
    seen.add(office.bench.store.look_at_schedules().digest)
    office.desk.edit("job", {"cron": "0 4 * * *"})
    seen.add(office.bench.store.look_at_schedules().digest)
    office.desk.enable(["job"], False)
    seen.add(office.bench.store.look_at_schedules().digest)
    assert len(seen) == 4


def test_schedules_are_removed_all_or_none(office: Office) -> None:
    for name in ("a", "b", "c"):
        office.desk.add({**JOB, "name": name})
    with pytest.raises(NotFound, match="'x'"):
        office.desk.remove(["a", "x"])
    assert [row["name"] for row in office.desk.schedules()] == ["a", "b", "c"]
    office.desk.remove(["a", "c"])
    assert [row["name"] for row in office.desk.schedules()] == ["b"]


def test_pausing_counts_what_it_changes(office: Office) -> None:
    for name in ("a", "b", "c"):
        office.desk.add({**JOB, "name": name})
    assert office.desk.enable(["a", "b"], False) == 2
    version = office.desk.schedule("a")["version"]
    assert office.desk.enable(["a", "b", "c"], False) == 1
    assert office.desk.schedule("a")["version"] == version
    assert office.desk.enable(["a", "b", "c"], True) == 3


def test_schedules_are_listed_by_name_and_pattern(office: Office) -> None:
    for name in ("billing/b", "a", "billing/a", "Billing/c"):
        office.desk.add({**JOB, "name": name})
    assert [row["name"] for row in office.desk.schedules("billing/*")] == ["billing/a", "billing/b"]
    assert len(office.desk.schedules()) == 4


def test_a_list_tells_problems_and_the_last_run(office: Office) -> None:
    office.bench.join()
    key = office.run_that_ended(7)
    office.bench.put_schedule(7, cron="never")
    office.bench.see(7, problem="cron 'never' cannot be read")
    office.bench.store.report_problems([7])
    (row,) = office.desk.schedules()
    assert (row["problem"], row["last_status"], row["last_at"]) == (
        "cron 'never' cannot be read",
        "failed",
        key.fire_at,
    )
    (problem,) = office.desk.problems()
    assert (problem["schedule"], problem["problem"]) == ("s7", "cron 'never' cannot be read")
    assert problem["good_id"] > 0


def test_an_unknown_name_is_not_found(office: Office) -> None:
    with pytest.raises(NotFound, match="no schedule is called 'nothing'"):
        office.desk.schedule("nothing")
    with pytest.raises(NotFound):
        office.desk.edit("nothing", {"owner": "me"})


def test_what_commands_changed_is_on_record_and_what_changed_nothing_is_not(office: Office) -> None:
    office.desk.add(JOB)
    assert office.desk.edit("job", {"retries": 3, "owner": "ops"})
    assert not office.desk.edit("job", {"retries": 3})
    office.desk.enable(["job"], False)
    assert office.desk.enable(["job"], False) == 0
    office.desk.remove(["job"])
    done = office.desk.activity("job")
    assert [(row["what"], row["detail"]) for row in reversed(done)] == [
        ("add", "0 3 * * *: true"),
        ("edit", "retries, owner"),
        ("pause", ""),
        ("remove", ""),
    ]
    assert {(row["who"], row["at"]) for row in done} == {("somebody", office.bench.now)}


def test_json_with_other_blanks_and_another_order_is_no_change(office: Office) -> None:
    office.desk.add({**JOB, "args": '{"cwd": "/srv", "env": {"A": "1"}}'})
    assert not office.desk.edit("job", {"args": '{"env":{"A":"1"},"cwd":"/srv"}'})
    assert office.desk.edit("job", {"args": '{"env":{"A":1},"cwd":"/srv"}'})
