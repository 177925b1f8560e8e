"""`forecast` as a command."""

from __future__ import annotations

import pytest

from tests.integration.commands import Commands

SPAN = ["--from", "2030-03-30T00:00:00Z", "--to", "3d"]


@pytest.fixture
def two(lb: Commands) -> Commands:
    """A nightly schedule in Berlin and an hourly one that takes two hours."""
    lb.json("add", "nightly", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--command", "true")
    lb.json("add", "hourly", "--cron", "0 * * * *", "--queue", "heavy", "--command", "true")
    lb.put_node("web-1", queues='{"heavy": 3}')
    for day in (18, 19, 20):
        at = f"2026-11-{day} 03:00:00"
        lb.put_run(
            "hourly", at, "succeeded", started_at=f"{at}.000000", finished_at=f"{at[:11]}05:00:00.000000"
        )
    return lb


def test_forecast_tells_load_peaks_overlaps_and_clock_changes(two: Commands) -> None:
    told = two.json("forecast", *SPAN, "--by", "1d")
    assert (told["fires"], told["schedules"], told["step_s"]) == (76, 2, 86400)
    assert [each["fires"] for each in told["load"] if each["queue"] == "heavy"] == [24, 24, 24, 1]
    peak = {each["queue"]: (each["at_once"], each["slots"]) for each in told["peaks"]}
    assert peak == {"default": (1, 0), "heavy": (2, 3)}
    (overlap,) = told["overlaps"]
    assert (overlap["schedule"], overlap["p95_s"], overlap["fires"]) == ("hourly", 7200, 72)
    (clock,) = told["clocks"]
    assert (clock["schedule"], clock["what"], clock["at"]) == ("nightly", "moved", "2030-03-31T01:00:00Z")


def test_forecast_is_readable_and_takes_a_pattern(two: Commands) -> None:
    lines = two("forecast", "night*", *SPAN).out.splitlines()
    assert lines[0] == "2030-03-30T00:00:00Z to 2030-04-02T00:00:00Z: 3 fires of 1 schedules"
    assert "2030-03-31T01:00:00Z  nightly   Europe/Berlin  moved" in lines


@pytest.mark.parametrize(
    "words",
    [["--to", "500d"], ["--from", "2030-01-01", "--to", "2029-01-01"], ["--by", "10ms"], ["--to", "soon"]],
)
def test_a_time_that_cannot_be_looked_at_is_refused(words: list[str], lb_on_sqlite: Commands) -> None:
    result = lb_on_sqlite("forecast", *words)
    assert (result.code, "expected" in result.err) == (2, True)


def test_a_holiday_is_left_out_of_what_comes_next(lb_on_sqlite: Commands) -> None:
    lb = lb_on_sqlite
    lb.json("add", "job", "--cron", "0 3 * * *", "--command", "true", "--starts-at", "2030-12-24T00:00:00Z")
    lb.sql("INSERT INTO calendars (name, day, note) VALUES ('works', '2030-12-25', 'Christmas')")
    lb.sql("UPDATE schedules SET calendar = 'works'")
    days = ["2030-12-24T03:00:00Z", "2030-12-26T03:00:00Z"]
    assert lb.json("show", "job", "-n", "2")["next"] == days
    assert lb.json("preview", "job", "-n", "2") == days
    told = lb.json("forecast", "--from", "2030-12-24T00:00:00Z", "--to", "3d")
    assert [(each["day"], each["what"]) for each in told["calendars"]] == [("2030-12-25", "left_out")]
