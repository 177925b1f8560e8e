"""The holes that the review of the protocol found (docs/protocol.md names them), each on a real server.

Somebody else's hands hold keys and rows in open transactions, so that the order of events is the
test's and not luck's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from leasebeat.errors import Busy, Duplicate, Unavailable, Unknown
from leasebeat.model.instant import DAY, SECOND
from leasebeat.model.node import Vitals
from leasebeat.model.run import RunKey
from leasebeat.store.base import FinishRow, OpenRow, ReclaimRow
from leasebeat.store.statements import load
from tests.integration.mysql_store import (
    NODE,
    OTHER,
    Fleet,
    Meanwhile,
    Wire,
    fleet,
    openings,
    taken,
    until,
    waiting,
    wire,
)

__all__ = ["fleet", "waiting", "wire"]
Waiting = Callable[[str], None]

CLAIM = AUDIT = "INSERT INTO runs"
FINISH = "UPDATE JSON_TABLE"


@pytest.fixture(autouse=True)
def _nodes(fleet: Fleet) -> None:
    fleet.join(NODE)
    fleet.join(OTHER)


# --- A: claims, versions, edits -----------------------------------------------------------------


def test_a1_a_claim_that_outlives_its_nodes_purge_is_taken_back(fleet: Fleet, waiting: Waiting) -> None:
    versions, now = fleet.schedules(2), fleet.now()
    _, second = fleet.another()
    with fleet.hands.open_transaction():
        fleet.block(fleet.hands, now, versions[0].schedule_id)
        claim = Meanwhile(lambda: fleet.store.claim(NODE, now, openings(versions)))
        waiting(CLAIM)
        assert second.purge(NODE, 1, watched=False)
        assert (
            second.orphans(False) == []
        )  # the claim has not committed: a purge that looked only now saw nothing
    assert claim.result().count == 2
    orphans = second.orphans(False)
    assert [orphan.key.schedule_id for orphan in orphans] == [version.schedule_id for version in versions]
    assert second.reclaim([ReclaimRow(each.key, 1, NODE, True, "node gone") for each in orphans]) == 2
    assert fleet.store.mine(NODE, 0) == []


@pytest.mark.fault(3)
def test_a2_a_claim_that_commits_after_its_sender_gave_up_is_found_by_looking_again(
    fleet: Fleet, waiting: Waiting, wire: Wire
) -> None:
    versions, now = fleet.schedules(1), fleet.now()
    _, claimer = fleet.another(wire.url)
    with fleet.hands.open_transaction():
        fleet.block(fleet.hands, now, versions[0].schedule_id)
        claim = Meanwhile(lambda: claimer.claim(NODE, now, openings(versions)))
        waiting(CLAIM)
        wire.break_off()
        assert isinstance(claim.result(), Unknown)
        assert fleet.store.mine(NODE, 0) == []  # a look that finds nothing proves nothing
        assert fleet.store.claim_answer(NODE, now, openings(versions))[0].answer == "again"
    found = until(lambda: fleet.store.mine(NODE, 0))
    assert [run.key for run in found] == [RunKey(now, versions[0].schedule_id)]


def test_a3_a_claim_that_began_after_an_edit_is_refused_while_an_older_one_still_waits(
    fleet: Fleet, waiting: Waiting
) -> None:
    versions, now = fleet.schedules(2), fleet.now()
    editor, (_, second) = fleet.another_hand(), fleet.another()
    with fleet.hands.open_transaction():
        fleet.block(fleet.hands, now, versions[0].schedule_id)
        older = Meanwhile(lambda: fleet.store.claim(NODE, now, openings(versions)))
        waiting(CLAIM)
        editor("UPDATE schedules SET enabled = 0 WHERE id = %s", versions[1].schedule_id)
        assert second.claim(OTHER, now, openings(versions[1:])).count == 0
    assert older.result().count == 2  # it had begun before the edit's commit: that is the bound


def test_a3_no_claim_waits_longer_than_a_lock_wait(fleet: Fleet) -> None:
    versions, now = fleet.schedules(2), fleet.now()
    with fleet.hands.open_transaction():
        fleet.block(fleet.hands, now, versions[0].schedule_id)
        with pytest.raises(Busy):
            fleet.store.claim(NODE, now, openings(versions))
    assert fleet.store.missing([RunKey(now, each.schedule_id) for each in versions]) != []
    assert fleet.run(RunKey(now, versions[1].schedule_id)) is None  # nothing of it was applied


@pytest.mark.fault(84)
@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE schedules SET command = 'false', updated_at = updated_at WHERE id = %s",
        "UPDATE schedules SET command = 'false', updated_at = '2020-01-01 00:00:00' WHERE id = %s",
        """REPLACE INTO schedules (id, name, cron, command, updated_at)
           SELECT id, name, cron, 'false', updated_at FROM schedules WHERE id = %s""",
    ],
)
def test_a5_no_editor_can_leave_the_version_behind(fleet: Fleet, edit: str) -> None:
    versions, now = fleet.schedules(1), fleet.now()
    before = fleet.store.look_at_schedules()
    fleet.hands(edit, versions[0].schedule_id)
    assert fleet.store.look_at_schedules().digest != before.digest
    assert fleet.store.claim(NODE, now, openings(versions)).count == 0
    assert fleet.store.claim_answer(NODE, now, openings(versions))[0].answer == "stale"


def test_a5_two_edits_of_one_clock_value_are_two_versions(fleet: Fleet) -> None:
    versions = fleet.schedules(1)
    fleet.hands("SET SESSION timestamp = 1795168800.5")
    seen = [versions[0].version]
    for command in ("a", "b"):
        fleet.hands("UPDATE schedules SET command = %s WHERE id = %s", command, versions[0].schedule_id)
        seen.append(fleet.store.look_at_schedules().rows[0].version)
    assert len(set(seen)) == 3


def test_a13_a_claim_that_lost_a_race_is_whole_when_it_is_sent_again(fleet: Fleet, waiting: Waiting) -> None:
    versions, now = fleet.schedules(50), fleet.now()
    fleet.hands("BEGIN")
    fleet.block(fleet.hands, now, versions[20].schedule_id)
    claim = Meanwhile(lambda: fleet.store.claim(NODE, now, openings(versions)))
    waiting(CLAIM)
    fleet.hands("COMMIT")
    assert isinstance(claim.result(), Duplicate)
    assert fleet.store.mine(NODE, 0) == []
    assert fleet.store.claim(NODE, now, openings(versions)).count == 49


def test_a16_a_row_put_in_by_hand_in_any_time_zone_means_now(fleet: Fleet) -> None:
    (version,) = fleet.schedules(1)
    hand = fleet.another_hand()
    hand("SET time_zone = '+02:00'")
    before = fleet.now()
    hand("INSERT INTO runs (schedule_id) VALUES (%s)", version.schedule_id)
    (undressed,) = fleet.store.undressed()
    assert before <= undressed.key.fire_at <= fleet.now()


def test_f3_rows_of_schedules_are_dated_rightly_in_any_time_zone(fleet: Fleet) -> None:
    hand = fleet.another_hand()
    hand("SET time_zone = '-11:00'")
    before = fleet.now()
    hand("INSERT INTO schedules (name, cron, command) VALUES ('a', '@hourly', 'true')")
    (row,) = fleet.store.look_at_schedules().rows
    assert before <= row.updated_at <= fleet.now()


# --- B: what a stopped client holds -------------------------------------------------------------


def test_b3_the_server_takes_the_locks_of_a_client_that_stands_still(
    fleet: Fleet, eventually: Callable[..., None]
) -> None:
    versions, now = fleet.schedules(1), fleet.now()
    session, store = fleet.another(beat_s=1)  # two beats: the server waits two seconds
    fleet.store.claim(NODE, now, openings(versions))
    key = RunKey(now, versions[0].schedule_id)

    def stop() -> None:
        with session.transaction():
            assert store.finish(NODE, [FinishRow(key, 1, "succeeded")]) == 1
            # From here on the client sends nothing; another gets the row when the server has closed this one.
            eventually(lambda: _ends(fleet, key))

    with pytest.raises((Unknown, Unavailable)):
        stop()
    found = fleet.run(key)
    assert found is not None
    assert found["status"] == "failed"


def _ends(fleet: Fleet, key: RunKey) -> bool:
    try:
        return fleet.store.finish(NODE, [FinishRow(key, 1, "failed")]) == 1
    except Busy:
        return False


# --- C: audit -----------------------------------------------------------------------------------


def due(version: Any, fire_at: int) -> OpenRow:
    key = RunKey(fire_at, version.schedule_id)
    return OpenRow(key, version.id, "queued", None, None, "default", 0, 0, DAY, None, "allow")


def test_c2_the_watermark_obeys_the_stores_clock_alone(fleet: Fleet) -> None:
    assert fleet.store.lead(NODE, 4 * SECOND)
    ahead = fleet.now() + 10 * SECOND  # a host whose clock is wrong
    assert not fleet.store.move_watermark(NODE, 1, None, ahead, 4 * SECOND, 2 * SECOND)
    assert fleet.store.audit_look(NODE).watermark is None


def test_c3_a_refused_row_is_still_missing_when_asked_again(fleet: Fleet) -> None:
    (version,) = fleet.schedules(1)
    fire = fleet.now() - 10 * SECOND
    fleet.store.lead(NODE, 4 * SECOND)
    assert fleet.store.missing([RunKey(fire, version.schedule_id)]) != []
    fleet.hands("UPDATE schedules SET command = 'false' WHERE id = %s", version.schedule_id)
    assert fleet.store.open_missing(NODE, 1, [due(version, fire)], 2 * SECOND) == 0
    assert fleet.store.missing([RunKey(fire, version.schedule_id)]) != []  # so the watermark stays


def test_c10_the_auditor_waits_for_a_claim_that_is_on_its_way(fleet: Fleet, waiting: Waiting) -> None:
    (version,) = fleet.schedules(1)
    fire = fleet.now() - 10 * SECOND
    session, claimer = fleet.another()
    _, auditor = fleet.another()
    auditor.lead(OTHER, 4 * SECOND)
    with session.transaction():
        assert claimer.claim(NODE, fire, openings([version])).count == 1
        audit = Meanwhile(lambda: auditor.open_missing(OTHER, 1, [due(version, fire)], 2 * SECOND))
        waiting(AUDIT)
    assert isinstance(audit.result(), Duplicate)
    assert auditor.missing([RunKey(fire, version.schedule_id)]) == []


# --- D: queue and locks -------------------------------------------------------------------------


def test_d1_a_pull_locks_what_it_takes_and_no_more(fleet: Fleet) -> None:
    versions, now = fleet.schedules(10), fleet.now()
    fleet.store.claim(NODE, now, openings(versions, run=False))
    session, first = fleet.another()
    with session.transaction():
        assert first.pull(NODE, first.pull_look(NODE, "default", 3), 3) == 3
        seen = fleet.store.pull_look(OTHER, "default", 10)
        assert len(seen) == 10  # the pull has not committed
        assert fleet.store.pull(OTHER, seen, 10) == 7  # and what it holds is passed over
    assert len(fleet.store.mine(NODE, 0)) == 3


def test_d2_a_claim_waits_for_nobody_but_the_holder_of_its_key(fleet: Fleet) -> None:
    versions, now = fleet.schedules(3), fleet.now()
    fleet.store.claim(NODE, now, openings(versions[2:], serial="x"))
    fleet.hands("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")  # no gaps
    with fleet.hands.open_transaction():
        fleet.hands("UPDATE schedules SET command = 'false' WHERE id = %s", versions[0].schedule_id)
        fleet.hands("UPDATE nodes SET beat_seq = beat_seq + 1 WHERE id = %s", NODE)
        fleet.hands("UPDATE runs SET reason = 'held' WHERE serial_held = 'x'")
        fleet.hands("INSERT INTO schedules (name, cron, command) VALUES ('new', '@hourly', 'true')")
        assert fleet.store.claim(NODE, now, openings(versions[:2])).count == 2


@pytest.mark.fault(85)
def test_d2_nodes_wait_for_no_editor_who_leaves_a_transaction_open(fleet: Fleet) -> None:
    versions, now = fleet.schedules(2), fleet.now()
    fleet.store.claim(NODE, now, openings(versions[:1], run=False))
    fleet.store.lead(NODE, 4 * SECOND)
    with fleet.hands.open_transaction():
        fleet.hands("UPDATE schedules SET command = 'false'")
        assert fleet.store.poll(NODE, ["default"]).ready
        assert fleet.store.pull(NODE, fleet.store.pull_look(NODE, "default", 1), 1) == 1
        assert (fleet.store.close_deleted(), fleet.store.see_deleted([1, 2], 0)) == (0, 0)
        assert fleet.store.open_missing(NODE, 1, [due(versions[1], now - 9 * SECOND)], 2 * SECOND) == 1
        assert (
            fleet.store.finish(NODE, [FinishRow(RunKey(now, versions[0].schedule_id), 1, "succeeded")]) == 1
        )
        assert len(fleet.see([1, 2])) == 2


def test_d2_a_beat_waits_for_no_claim(fleet: Fleet, waiting: Waiting) -> None:
    versions, now = fleet.schedules(1), fleet.now()
    _, second = fleet.another()
    with fleet.hands.open_transaction():
        fleet.block(fleet.hands, now, versions[0].schedule_id)
        claim = Meanwhile(lambda: fleet.store.claim(NODE, now, openings(versions)))
        waiting(CLAIM)
        assert second.beat(NODE, Vitals())
    assert claim.result().count == 1


def test_d2_a_pull_and_a_purge_of_its_node_come_one_after_the_other(fleet: Fleet, waiting: Waiting) -> None:
    versions, now = fleet.schedules(1), fleet.now()
    fleet.store.claim(NODE, now, openings(versions, run=False))
    candidates = fleet.store.pull_look(OTHER, "default", 1)
    fleet.hands("BEGIN")
    fleet.hands("UPDATE nodes SET state = 'purged' WHERE id = %s", OTHER)
    pull = Meanwhile(lambda: fleet.store.pull(OTHER, candidates, 1))
    waiting("UPDATE (SELECT")
    fleet.hands("COMMIT")
    assert pull.result() == 0
    found = fleet.run(RunKey(now, versions[0].schedule_id))
    assert found is not None
    assert found["status"] == "queued"


def test_d8_of_a_take_back_and_a_late_finish_one_wins(fleet: Fleet, waiting: Waiting) -> None:
    versions, now = fleet.schedules(1), fleet.now()
    fleet.store.claim(NODE, now, openings(versions))
    key = RunKey(now, versions[0].schedule_id)
    session, second = fleet.another()
    second.purge(NODE, 1, watched=False)
    with session.transaction():
        assert second.reclaim([ReclaimRow(key, 1, NODE, True, "node gone")]) == 1
        finish = Meanwhile(lambda: fleet.store.finish(NODE, [FinishRow(key, 1, "succeeded")]))
        waiting(FINISH)
    assert finish.result() == 0
    assert fleet.store.finish_answer(NODE, [taken(key)]) == [False]
    assert second.pull(OTHER, [taken(key, 1)], 1) == 1
    assert [run.attempt for run in second.mine(OTHER, 0)] == [2]


@pytest.mark.fault(8)
def test_d8_a_lost_reply_of_a_finish_is_answered_by_the_row(fleet: Fleet, wire: Wire) -> None:
    versions, now = fleet.schedules(1), fleet.now()
    _, finisher = fleet.another(wire.url)
    finisher.claim(NODE, now, openings(versions))
    key = RunKey(now, versions[0].schedule_id)
    wire.cut()
    with pytest.raises(Unknown):
        finisher.finish(NODE, [FinishRow(key, 1, "succeeded")])
    until(lambda: [one for one in fleet.store.finish_answer(NODE, [taken(key)]) if one])


def test_d9_no_assignment_reads_what_another_one_writes() -> None:
    updates = {name: text for name, text in load("mysql").items() if text.startswith("UPDATE")}
    assert len(updates) > 10
    for name, text in updates.items():
        assignments = re.sub(
            r"'[^']*'|%\(\w+\)s|\bj\.\w+",
            "",
            re.split(r"(?<!CHARACTER )SET ", text)[1].partition("\nWHERE ")[0],
        )
        sides = [part.split("=", 1) for part in re.split(r",\s*(?=(?:r\.)?\w+ +=)", assignments)]
        written = {left.strip().removeprefix("r.") for left, _ in sides}
        for left, right in sides:
            read = set(re.findall(r"\w+", right)) & written
            assert read <= {left.strip().removeprefix("r.")}, (name, left)


# --- F: what JSON_TABLE swallows ----------------------------------------------------------------


@pytest.mark.parametrize("text", ["2026-11-20T03:00:00+02:00", "2026-02-30 00:00:00"])
def test_f1_the_server_takes_bad_dates_out_of_json_without_an_error(fleet: Fleet, text: str) -> None:
    fleet.hands("SET sql_mode = 'STRICT_ALL_TABLES'")
    swallowed = fleet.hands.one(
        "SELECT COUNT(*) FROM JSON_TABLE(%s, '$[*]' COLUMNS (d DATETIME(6) PATH '$')) j", f'["{text}"]'
    )
    assert swallowed == 1  # which is why instants travel as whole microseconds


def test_f1_instants_keep_every_microsecond_on_their_way(fleet: Fleet) -> None:
    versions = fleet.schedules(1)
    now = fleet.now() | 1
    fleet.store.claim(NODE, now - 10, openings(versions))
    (run,) = fleet.store.mine(NODE, 0)
    assert run.key.fire_at == now - 10
    assert fleet.store.missing([run.key]) == []
    assert fleet.store.missing([run.key._replace(fire_at=now - 9)]) == [RunKey(now - 9, run.key.schedule_id)]
