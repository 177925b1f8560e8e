"""Looking back along triggers that only look forward."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from leasebeat.explain.instants import had, last_had
from leasebeat.explain.reigns import history_of, previous
from leasebeat.model.instant import DAY, SECOND, from_datetime, from_text
from leasebeat.triggers import instants, parse

START = from_text("2026-11-20T10:00:00Z")
CRONS = ["* * * * *", "*/7 3-5 * * 1", "0 3 1 * *", "30 2 * * *", "@every 7h", "* * * * * *", "0 0 29 2 *"]


@given(st.sampled_from(CRONS), st.sampled_from(["UTC", "Europe/Berlin"]), st.integers(0, 400 * 86_400))
def test_the_previous_instant_is_the_last_one_before(cron: str, zone: str, seconds: int) -> None:
    trigger, at = parse(cron, timezone=zone), START + seconds * SECOND
    found = previous(trigger, at)
    assert found is not None
    assert found < at
    following = trigger.next(found)
    assert following is not None
    assert following >= at
    assert trigger.next(found - 1) == found


def test_there_is_none_before_the_first() -> None:
    moment = f"{datetime(2026, 12, 24, tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}"
    trigger = parse(f"@at {moment}")
    assert previous(trigger, from_text(moment)) is None
    assert previous(trigger, from_text(moment) + 1) == from_text(moment)
    assert previous(parse("@manual"), START) is None


def row(number: int, since: int, cron: str, **columns: object) -> dict[str, object]:
    definition = json.dumps({"id": 1, "name": "job", "command": "true", "cron": cron})
    plain = {"enabled": 1, "deleted": 0, "problem": None, "diff": None, "good_id": None, "ends_at": None}
    return {"id": number, "valid_from": since, "definition": definition, **plain, **columns}


def test_each_version_gives_its_instants_from_after_its_beginning_up_to_the_next() -> None:
    noon, midnight = START + 2 * 3600 * SECOND, from_datetime(datetime(2026, 11, 20, tzinfo=UTC))
    history = history_of([row(2, noon, "30 * * * *", enabled=0), row(1, midnight, "0 * * * *")])
    found = had(history, midnight, midnight + DAY, 1000)
    first = instants(parse("0 * * * *"), midnight, noon, 100)
    assert found == first + instants(parse("30 * * * *"), noon, midnight + DAY, 100)
    assert [len(first), len(found)] == [12, 24]
    assert last_had(history, noon + SECOND) == noon
    assert last_had(history, midnight) is None


def test_a_version_that_was_never_in_force_counts_for_nothing() -> None:
    history = history_of([row(1, START, "0 * * * *"), row(2, START, "30 * * * *")])
    assert [reign.id for reign in history.reigns] == [2]
    assert history.at(START) is None
    assert history.at(START + 1) is history.newest
