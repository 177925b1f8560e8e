"""queues, lanes, `pause --queue` and `audit --from`, on real stores."""

from __future__ import annotations

from tests.integration.commands import Commands


def add(lb: Commands, *words: str) -> None:
    lb.json("add", "backup", "--cron", "0 3 * * *", "--command", "true", *words)


def test_a_paused_queue_is_shown_as_such(lb: Commands) -> None:
    add(lb, "--queue", "heavy")
    lb.put_run("backup", "2026-11-20 03:00:00", queue="heavy")
    assert lb("pause", "--queue", "heavy").out == "paused 1 of 1 queues\n"
    (row,) = [row for row in lb.json("queues") if row["queue"] == "heavy"]
    assert (row["paused"], row["queued"], row["ready"], row["nodes"]) == (True, 1, 1, 0)
    assert row["oldest_wait_s"] > 0
    assert lb("resume", "--queue", "heavy").out == "resumed 1 of 1 queues\n"
    assert lb.json("show", "backup")["enabled"] is True


def test_a_queue_that_no_one_knows_is_not_paused(lb_on_sqlite: Commands) -> None:
    assert lb_on_sqlite("pause", "--queue", "heavvy").code == 3
    assert lb_on_sqlite("pause", "--queue", "heavy", "--all").code == 2


def test_a_lane_gets_its_size(lb: Commands) -> None:
    lb.json("lane", "api", "--size", "4")
    assert lb.json("lanes") == [{"name": "api", "size": 4, "listed": True, "running": 0, "waiting": 0}]
    assert lb("lane", "api", "--size", "4").out == "lane api: size 4, as before\n"
    assert lb("lane", "api", "--size", "0").code == 2


def test_the_watermark_goes_to_now_and_says_why(lb: Commands) -> None:
    lb.sql("UPDATE roles SET watermark = '2026-11-01 00:00:00.000000'")
    moved = lb.json("audit", "--from", "now", "--reason", "restored")
    assert moved["before"] == "2026-11-01T00:00:00Z"
    (done,) = lb.json("activity", "watermark")
    assert done["detail"] == f"from 2026-11-01T00:00:00Z to {moved['watermark']}: restored"
    back = lb("audit", "--from", "2026-11-01T00:00:00Z")
    assert (back.code, "more than 24 h ago" in back.err) == (4, True)
    assert lb("audit", "--from", "2099-01-01T00:00:00Z").code == 4
    assert lb("audit", "--from", "yesterday").code == 2


def test_the_watermark_does_not_move_back(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    now = lb.json("audit", "--from", "now")["watermark"]
    lb.sql("UPDATE roles SET watermark = '2026-01-01 00:00:00.000000'")
    assert lb("audit", "--from", now).code == 0
    lb.sql("UPDATE roles SET watermark = strftime('%Y-%m-%d %H:%M:%f000', 'now', '+1 minute')")
    back = lb("audit", "--from", now)
    assert (back.code, "moves forward only" in back.err) == (4, True)
