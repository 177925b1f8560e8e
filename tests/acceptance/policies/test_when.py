"""When a schedule fires: each column and value, on three nodes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasebeat.model.instant import SECOND, to_datetime
from leasebeat.testing.trials.cases import (
    MINUTE,
    TURNED_MIN,
    Plan,
    clock,
    each,
    job,
    minutes_ago,
    once,
    proves,
    turned,
)
from leasebeat.testing.trials.seen import Seen
from leasebeat.testing.trials.zones import AUTUMN, SPRING

pytestmark = pytest.mark.slow

OTHER_DAYS = {"cron": "* * * 29 2 *"}
MISSED = ("missed", "misfire")
RAN = ("succeeded", None)


def days(calendar: str, effect: str) -> Callable[[Plan], list[str]]:
    def insert(plan: Plan) -> list[str]:
        return [
            f"INSERT INTO calendars (name, day, effect) VALUES ('{calendar}', '{day}', '{effect}')"
            for day in plan.days()
        ]

    return insert


def until(second: float) -> Callable[[Plan], str]:
    return lambda plan: plan.at(second)


def at(second: float) -> Callable[[Plan], str]:
    return lambda plan: f"@at {plan.at(second).replace(' ', 'T')}Z"


def quartz(word: str = "quartz: ") -> Callable[[Plan], str]:
    """Each second of the day of the week on which the trial begins, as Quartz numbers it."""
    return lambda plan: f"{word}* * * ? * {to_datetime(plan.first).isoweekday() % 7 + 1}"


@proves("cron", "* * * * * *", job("each", when=each(0, 2)), ignored="0 0 1 1 *")
def test_a_fire_has_one_run_for_each_instant(seen: Seen) -> None:
    assert seen.of("fire_at", "each") == [seen.at(0), seen.at(1), seen.at(2)]
    assert seen.of("origin", "each") == ["trigger"] * 3
    assert len(seen.begun("each")) == 3


@proves("cron", "fields", job("fields", when={**each(0, 5), "cron": clock(2, "UTC")}), ignored="0 0 1 1 *")
def test_fields_fire_at_their_time_of_day(seen: Seen) -> None:
    assert seen.of("fire_at", "fields") == [seen.at(2)]


@proves("cron", "@every", job("every", when={**each(0, 5), "cron": "@every 2s"}), ignored="* * * * * *")
def test_an_interval_is_counted_from_starts_at(seen: Seen) -> None:
    assert seen.of("fire_at", "every") == [seen.at(0), seen.at(2), seen.at(4)]


@proves("cron", "@at", job("at", when={"cron": at(2)}), ignored="0 0 1 1 *")
def test_an_instant_fires_once(seen: Seen) -> None:
    assert seen.of("fire_at", "at") == [seen.at(2)]


@proves("cron", "quartz:", job("quartz", when={**each(0, 1), "cron": quartz()}), ignored=quartz(""))
def test_quartz_counts_the_days_of_the_week_from_sunday_as_one(seen: Seen) -> None:
    assert seen.of("fire_at", "quartz") == [seen.at(0), seen.at(1)]


@proves(
    "cron",
    "@after_end",
    job("pause-between", "sleep 0.3", {**each(0, 7), "cron": "@after_end 1s"}),
    ignored="* * * * * *",
)
def test_the_next_instant_follows_the_end_of_the_last_run(seen: Seen) -> None:
    runs = seen.runs("pause-between")
    assert len(runs) >= 3
    ends = [run["finished_at"] + SECOND for run in runs]
    assert [run["fire_at"] for run in runs] == [seen.at(0), *ends[:-1]]
    assert set(seen.of("origin", "pause-between")) == {"after"}


@proves(
    "cron",
    "@manual",
    job("by-hand", when={**each(0, 3), "cron": "@manual"}),
    ignored="* * * * * *",
    steps={1: "INSERT INTO runs (schedule_id) SELECT id FROM schedules WHERE name = 'by-hand'"},
)
def test_a_schedule_without_instants_runs_when_somebody_asks(seen: Seen) -> None:
    assert (seen.ends("by-hand"), seen.of("origin", "by-hand")) == ([RAN], ["manual"])


@proves(
    "timezone",
    "IANA name",
    job("kolkata", when={**each(0, 5), "cron": clock(2, "Asia/Kolkata"), "timezone": "Asia/Kolkata"}),
)
def test_cron_is_read_by_the_clock_of_the_zone(seen: Seen) -> None:
    assert seen.of("fire_at", "kolkata") == [seen.at(2)]


@proves("enabled", "1", job("enabled", when=once(0), enabled=1), ignored=0)
def test_an_enabled_schedule_fires(seen: Seen) -> None:
    assert seen.ends("enabled") == [RAN]


@proves("enabled", "0", job("paused", when=each(0, 2), enabled=0), job("beside-paused", when=once(2)))
def test_a_paused_schedule_leaves_no_row(seen: Seen) -> None:
    assert (seen.ends("paused"), seen.ends("beside-paused")) == ([], [RAN])


@proves("starts_at", "time", job("starts", when=each(2, 3)))
def test_nothing_is_due_before_starts_at(seen: Seen) -> None:
    assert seen.of("fire_at", "starts") == [seen.at(2), seen.at(3)]


@proves(
    "ends_at",
    "time",
    job("ends", when={**each(0, 1), "ends_at": until(2)}),
    ignored=until(5),
)
def test_nothing_is_due_from_ends_at_on(seen: Seen) -> None:
    assert seen.of("fire_at", "ends") == [seen.at(0), seen.at(1)]


@proves(
    "calendar",
    "exclude",
    job("holiday", when=each(0, 2), calendar="holidays"),
    job("beside-holiday", when=once(2)),
    setup=days("holidays", "exclude"),
)
def test_nothing_is_due_on_an_excluded_day(seen: Seen) -> None:
    assert (seen.ends("holiday"), seen.ends("beside-holiday")) == ([], [RAN])


@proves(
    "calendar",
    "add",
    job("make-up", when={**each(0, 1), **OTHER_DAYS}, calendar="make-up-days"),
    setup=days("make-up-days", "add"),
)
def test_a_make_up_day_has_the_times_of_other_days(seen: Seen) -> None:
    assert seen.of("fire_at", "make-up") == [seen.at(0), seen.at(1)]


@proves(
    "dst",
    "cron",
    job("spring-cron", when=turned(SPRING, 2), early=True, misfire="all", dst="cron"),
    job("autumn-cron", when=turned(AUTUMN, 2), early=True, misfire="all", dst="cron"),
    ignored="skip",
)
def test_a_time_that_is_jumped_over_fires_right_after_and_one_that_comes_twice_once(seen: Seen) -> None:
    assert minutes_after_the_change(seen, "spring-cron") == [0]
    assert minutes_after_the_change(seen, "autumn-cron") == [-4]


@proves("dst", "skip", job("spring-skip", when=turned(SPRING, 2), early=True, misfire="all", dst="skip"))
def test_a_time_that_is_jumped_over_may_be_left_out(seen: Seen) -> None:
    assert minutes_after_the_change(seen, "spring-skip") == []


@proves("dst", "both", job("autumn-both", when=turned(AUTUMN, 2), early=True, misfire="all", dst="both"))
def test_a_time_that_comes_twice_may_fire_twice(seen: Seen) -> None:
    assert minutes_after_the_change(seen, "autumn-both") == [-4, 2]
    assert seen.ends("autumn-both") == [RAN, RAN]


@proves("jitter_s", "seconds", *(job(f"jitter-{n}", when=once(0), jitter_s=4) for n in range(3)))
def test_jitter_delays_the_start_by_the_name_and_not_the_instant(seen: Seen) -> None:
    runs = seen.runs("jitter-0", "jitter-1", "jitter-2")
    delays = {run["ready_at"] - run["fire_at"] for run in runs}
    assert [run["fire_at"] for run in runs] == [seen.at(0)] * 3
    assert len(delays) == 3
    assert 0 < min(delays) < max(delays) < 4 * SECOND
    assert all(run["claimed_at"] >= run["ready_at"] for run in runs)


@proves(
    "misfire", "once", job("late-once", when=minutes_ago(8, 5), early=True, misfire="once"), ignored="skip"
)
def test_the_latest_missed_instant_runs(seen: Seen) -> None:
    assert seen.ends("late-once") == [MISSED, MISSED, MISSED, RAN]
    assert len(seen.begun("late-once")) == 1


@proves("misfire", "all", job("late-all", "sleep 0.2", when=minutes_ago(8, 5), early=True, misfire="all"))
def test_every_missed_instant_runs_oldest_first_and_one_by_one(seen: Seen) -> None:
    assert seen.ends("late-all") == [RAN] * 4
    assert seen.at_once("late-all") == 1
    began = [found.key for found in seen.begun("late-all")]
    assert began == sorted(began)


@proves("misfire", "skip", job("late-skip", when=minutes_ago(8, 5), early=True, misfire="skip"))
def test_no_missed_instant_runs(seen: Seen) -> None:
    assert seen.ends("late-skip") == [MISSED] * 4


@proves(
    "misfire_grace_s",
    "seconds",
    job("late-grace", when=minutes_ago(8, 5), early=True, misfire="all", misfire_grace_s=60),
)
def test_what_is_found_later_than_the_grace_is_missed(seen: Seen) -> None:
    assert seen.ends("late-grace") == [MISSED] * 4
    assert all("misfire_grace_s is 60" in reason for reason in seen.of("reason", "late-grace"))


@proves(
    "misfire_grace_s",
    "seconds",
    job("too-long", queue="nobody", misfire_grace_s=7),
)
def test_what_has_not_begun_within_the_grace_is_missed(seen: Seen) -> None:
    assert (seen.ends("too-long"), seen.of("attempt", "too-long")) == ([("missed", "no_slot")], [0])


@proves(
    "misfire_grace_s",
    "0",
    job("plug-strict", "sleep 4", once(0), queue="strict", overlap="allow"),
    job("strict", when=once(2), queue="strict", misfire_grace_s=0),
)
def test_without_grace_no_free_slot_is_missed(seen: Seen) -> None:
    assert seen.ends("plug-strict", "strict") == [RAN, ("missed", "no_slot")]


@proves(
    "updated_at",
    "time",
    job("touched"),
    steps={1: "UPDATE schedules SET description = 'edited' WHERE name = 'touched'"},
)
def test_an_edit_moves_updated_at(seen: Seen) -> None:
    row = seen.schedules["touched"]
    assert row["updated_at"] > row["created_at"]


@pytest.mark.fault(80)
@proves(
    "version",
    "hash",
    job("edited", "say old", when=each(0, 6)),
    steps={
        2.5: "UPDATE schedules SET command = REPLACE(command, 'say old', 'say new') WHERE name = 'edited'"
    },
)
def test_an_edit_holds_for_the_fires_after_it_and_is_on_record(seen: Seen) -> None:
    said = seen.said("edited")
    assert (len(said), said, set(said)) == (7, sorted(said, reverse=True), {"old", "new"})
    versions = [
        row["id"] for row in seen.history if row["schedule_id"] == seen.runs("edited")[0]["schedule_id"]
    ]
    assert sorted(set(seen.of("version", "edited"))) == versions


def minutes_after_the_change(seen: Seen, name: str) -> list[int]:
    change = seen.minute - TURNED_MIN * MINUTE
    return [(instant - change) // MINUTE for instant in seen.of("fire_at", name)]
