"""Redis breaks in every way while three workers fire: each fire has its row and runs once."""

from __future__ import annotations

import pytest

from leasebeat.testing.mysql import MySQL
from leasebeat.testing.servers import Redis
from leasebeat.testing.trials import redis_faults
from leasebeat.testing.trials.redis_faults import SHORT, Window

EVERYBODY, ONE = 3, 1
"""How many of the three workers leave Redis out meanwhile, at least."""


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory, mariadb: MySQL) -> dict[str, Window]:
    """One run for all tests, its windows by name."""
    with Redis() as server:
        found = redis_faults.run(
            tmp_path_factory.mktemp("redis"), mariadb, server, SHORT, seconds=1, per_s=60
        )
    return {window.name: window for window in found}


def check(windows: dict[str, Window], trouble: str, least: int = 0) -> None:
    """It cost at least so many gates for a while, and no run.

    Were an error taken for a no, the auditor would have to open all of it; on a slow machine it opens some.
    """
    for window in (windows[trouble], windows[f"after {trouble}"]):
        assert window.whole, window.line()
        assert window.by_audit <= window.due // 2, window.line()
    assert windows[trouble].gates_lost >= least, windows[trouble].line()


@pytest.mark.fault(18)
def test_a_redis_that_is_flushed_all_the_time_costs_nothing_else(windows: dict[str, Window]) -> None:
    check(windows, "flushed")


@pytest.mark.fault(19)
def test_a_redis_that_comes_back_empty_is_got_over(windows: dict[str, Window]) -> None:
    check(windows, "restarted", EVERYBODY)


@pytest.mark.fault(21)
def test_a_node_that_alone_cannot_reach_redis_says_so_and_misses_nothing(windows: dict[str, Window]) -> None:
    check(windows, "cut_off", ONE)


@pytest.mark.fault(22)
def test_a_frozen_redis_holds_nothing_up(windows: dict[str, Window]) -> None:
    check(windows, "frozen", EVERYBODY)


@pytest.mark.fault(23)
def test_fires_whose_answers_are_lost_go_to_the_store(windows: dict[str, Window]) -> None:
    check(windows, "mute", ONE)


@pytest.mark.fault(24)
def test_a_full_redis_is_left_out(windows: dict[str, Window]) -> None:
    check(windows, "full", EVERYBODY)


@pytest.mark.fault(25)
def test_keys_that_redis_evicts_cost_nothing_else(windows: dict[str, Window]) -> None:
    check(windows, "evicting")


@pytest.mark.fault(26)
def test_a_replica_is_left_out(windows: dict[str, Window]) -> None:
    check(windows, "read_only", EVERYBODY)


@pytest.mark.fault(27)
def test_a_redis_in_an_endless_script_is_left_out(windows: dict[str, Window]) -> None:
    check(windows, "busy", EVERYBODY)


@pytest.mark.fault(28)
def test_keys_that_vanish_before_their_time_cost_nothing_else(windows: dict[str, Window]) -> None:
    check(windows, "vanishing")


@pytest.mark.fault(29)
def test_a_redis_without_a_connection_left_is_left_out(windows: dict[str, Window]) -> None:
    check(windows, "crowded", EVERYBODY)
