"""backfill, on real stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.commands import Commands

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)


def hours_ago(hours: int, sep: str = "T") -> str:
    return (NOW - timedelta(hours=hours)).isoformat(sep) + ("Z" if sep == "T" else "")


def hourly(lb: Commands, *words: str) -> None:
    """A schedule that a node has read, below a watermark of this hour."""
    lb.json("add", "job", "--cron", "@hourly", "--command", "true", *words)
    lb.let_a_node_read()
    lb.sql(f"UPDATE roles SET watermark = '{NOW.isoformat(' ')}.000000'")


def backfill(lb: Commands, first: int, last: int, *words: str) -> Any:
    return lb.json("backfill", "job", "--from", hours_ago(first), "--to", hours_ago(last), *words)


def test_every_instant_of_the_range_is_opened_once(lb: Commands) -> None:
    hourly(lb)
    lb.put_run("job", hours_ago(3, " "), "succeeded")
    lb.put_run("job", hours_ago(2, " "), "missed")
    dry = backfill(lb, 4, 0, "--dry-run")
    assert (dry["instants"], dry["opened"], dry["reopened"], dry["left"]) == (4, 2, 1, 1)
    assert lb.sql("SELECT COUNT(*) FROM runs") == [(2,)]
    assert backfill(lb, 4, 0, "--parallel", "2")["lane"] == "backfill/job"
    again = backfill(lb, 4, 0)
    assert (again["opened"], again["reopened"], again["left"]) == (0, 0, 4)
    rows = lb.sql("SELECT origin, status, lane FROM runs ORDER BY fire_at")
    opened = ("backfill", "queued", "backfill/job")
    assert rows == [opened, ("trigger", "succeeded", None), opened, opened]
    assert lb.json("lanes")[0]["size"] == 2


def test_a_range_is_refused_where_it_is_not_past_or_long_past(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    hourly(lb)
    words = ("backfill", "job", "--from", hours_ago(4), "--to")
    above = lb(*words, hours_ago(-2))
    assert (above.code, "is above the watermark" in above.err) == (4, True)
    old = lb("backfill", "job", "--from", hours_ago(24 * 20), "--to", hours_ago(1))
    assert (old.code, "older than [retention] succeeded_days" in old.err) == (4, True)
    assert lb(*words, hours_ago(5)).code == 2
    lb.sql("UPDATE roles SET watermark = NULL")
    assert lb(*words, hours_ago(1)).code == 4


def test_a_definition_that_no_node_has_read_is_refused(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    hourly(lb)
    lb.json("edit", "job", "--set", "retries=2")
    refused = lb("backfill", "job", "--from", hours_ago(4), "--to", hours_ago(1))
    assert (refused.code, "no node has read 'job' as it stands yet" in refused.err) == (4, True)
    assert lb("backfill", "nobody", "--from", hours_ago(4), "--to", hours_ago(1)).code == 3


def test_too_many_runs_at_once_are_refused(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    hourly(lb)
    lb.json("edit", "job", "--cron", "* * * * * *")
    lb.let_a_node_read()
    refused = lb("backfill", "job", "--from", hours_ago(4), "--to", hours_ago(1))
    assert (refused.code, "more than 10000 runs" in refused.err) == (4, True)


def test_what_a_schedule_needs_stays_as_it_is(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    hourly(lb, "--lane", "api", "--priority", "5", "--starts-at", hours_ago(2))
    assert lb("backfill", "job", "--from", hours_ago(4), "--to", hours_ago(0), "--parallel", "3").code == 2
    assert backfill(lb, 4, 0)["instants"] == 2
    assert lb.sql("SELECT lane, priority FROM runs") == [("api", 4)] * 2


def test_a_paused_schedule_says_that_nothing_starts_yet(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    hourly(lb, "--enabled", "no")
    result = lb("backfill", "job", "--from", hours_ago(2), "--to", hours_ago(1))
    assert (result.code, result.out) == (0, "job: 1 instants; 1 runs opened, 0 opened again, 0 left alone\n")
    assert "the schedule is paused" in result.err
