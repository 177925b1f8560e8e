"""From schedules to triggers: what they share, and the window they fire in."""

from __future__ import annotations

import pytest

from leasebeat.errors import ExpressionError
from leasebeat.model.schedule import Schedule
from leasebeat.triggers import in_window, trigger_for, trigger_key, tzdata_version


def schedule(cron: str = "0 3 * * *", **columns: object) -> Schedule:
    return Schedule(id=1, name="backup", cron=cron, command="true", **columns)  # pyright: ignore[reportArgumentType]


def test_schedules_of_one_text_and_zone_share_a_trigger():
    assert trigger_for(schedule()) is trigger_for(schedule(starts_at=7, queue="heavy"))


def test_another_zone_is_another_trigger():
    assert trigger_key(schedule()) != trigger_key(schedule(timezone="Europe/Berlin"))


def test_a_start_is_part_of_the_key_only_where_it_shapes_instants():
    assert trigger_key(schedule("@every 1h", starts_at=7)) != trigger_key(schedule("@every 1h"))
    assert trigger_for(schedule("@every 1h", starts_at=7)).next(7) == 3_600_000_007


def test_an_unusable_schedule_is_refused_each_time():
    for _ in range(2):
        with pytest.raises(ExpressionError):
            trigger_for(schedule("@never"))


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "inside"),
    [
        (None, None, True),
        (10, None, True),
        (11, None, False),
        (None, 11, True),
        (None, 10, False),
        (10, 11, True),
    ],
)
def test_a_window_has_its_start_and_not_its_end(starts_at: int | None, ends_at: int | None, inside: bool):
    assert in_window(schedule(starts_at=starts_at, ends_at=ends_at), 10) is inside


def test_the_release_of_the_zone_rules_is_known():
    assert tzdata_version()[:2] == "20"
