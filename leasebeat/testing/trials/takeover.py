"""How soon running work of a dead node begins elsewhere: the store as coordinator against ZooKeeper.

In each round a new node takes some endless runs while the others are cordoned, is killed at a moment
drawn by chance once they take work again, and the next attempts say when they begin.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from leasebeat.testing.evidence import boottime_ns
from leasebeat.testing.fleet import TELL, Fleet, until
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.zookeeper import ZooKeeperEnsemble

__all__ = ["Result", "run"]

RUNS = 5
ENDLESS = TELL + "tell begin\nwhile sleep 0.5; do :; done\n"


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds from the kill to the begin of each next attempt."""

    beat_s: float
    session_s: float
    store: list[float]
    zookeeper: list[float]

    @property
    def in_time(self) -> bool:
        """Within three beats and a second, within a session and a second, by the 95th percentile."""
        return (
            _part(self.store, 95) <= 3 * self.beat_s + 1 and _part(self.zookeeper, 95) <= self.session_s + 1
        )

    def lines(self) -> list[str]:
        """For people."""
        ratio = _part(self.store, 50) / _part(self.zookeeper, 50)
        return [
            _line(f"store, beats of {self.beat_s:g} s", self.store),
            _line(f"ZooKeeper, a session of {self.session_s:g} s", self.zookeeper),
            f"half of the work is taken over {ratio:.1f} times as soon by ZooKeeper",
        ]


def run(
    folder: Path,
    server: MySQL,
    ensemble: ZooKeeperEnsemble,
    *,
    beat_s: float,
    session_s: float,
    times: int,
    seed: int,
) -> Result:
    """So many kills under each coordinator."""
    draw = Random(seed)
    zookeeper = {
        "node_coordinator": "zookeeper",
        "zookeeper_hosts": ensemble.hosts,
        "zookeeper_session_s": session_s,
    }
    found: list[list[float]] = []
    for number, settings in enumerate(({}, zookeeper)):
        place = folder / f"takeover{number}"
        place.mkdir()
        with Fleet(place, PrivateMysql(server), "", node_beat_s=beat_s, **settings) as fleet:
            found.append(_rounds(fleet, times, max(session_s, beat_s), draw))
    return Result(beat_s, session_s, *found)


def _rounds(fleet: Fleet, times: int, settle_s: float, draw: Random) -> list[float]:
    (fleet.folder / "endless.sh").write_text(ENDLESS)
    fleet.schedule(
        {"name": "endless-1", "cron": "@manual", "command": f". {fleet.folder}/endless.sh", "route": "any"}
    )
    fleet.start("s1", "s2")
    fleet.await_live("s1", "s2")
    return [second for number in range(times) for second in _round(fleet, f"v{number}", settle_s, draw)]


def _round(fleet: Fleet, victim: str, settle_s: float, draw: Random) -> list[float]:
    fleet.store.rows(
        "UPDATE nodes SET state = 'cordoned' WHERE name IN ('s1', 's2') AND live_name IS NOT NULL"
    )
    fleet.start(victim)
    fleet.await_live(victim)
    for _ in range(RUNS):
        fleet.store.rows("INSERT INTO runs (schedule_id) SELECT id FROM schedules")
    node_id = fleet[victim].node_id
    until(lambda: len(_begun(fleet, 1, node_id)) == RUNS, 60, f"{victim} begins them\n{fleet.tails()}")
    fleet.store.rows("UPDATE nodes SET state = 'live' WHERE name IN ('s1', 's2') AND live_name IS NOT NULL")
    time.sleep(settle_s + 1 + draw.random() * settle_s)
    keys, killed = set(_begun(fleet, 1, node_id)), boottime_ns()
    fleet[victim].kill()
    until(lambda: keys <= set(_begun(fleet, 2)), 120, f"its runs are taken over\n{fleet.tails()}")
    begun = _begun(fleet, 2)
    fleet.store.rows("UPDATE runs SET kill_requested = 1 WHERE status = 'running'")
    until(lambda: not fleet.running(), 60, "the round ends")
    return [(begun[key] - killed) / 1e9 for key in keys]


def _begun(fleet: Fleet, attempt: int, node_id: str = "") -> dict[str, int]:
    """When these attempts began, CLOCK_BOOTTIME in nanoseconds, by key."""
    words = [line.split() for line in fleet.evidence.read_text().splitlines()]
    return {
        word[0]: int(word[5])
        for word in words
        if word[4] == "begin" and int(word[1]) == attempt and node_id in ("", word[3])
    }


def _part(seconds: list[float], percent: int) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _line(what: str, seconds: list[float]) -> str:
    told = f"p50 {_part(seconds, 50):.1f} s, p95 {_part(seconds, 95):.1f} s, max {max(seconds):.1f} s"
    return f"{what}: {told} ({len(seconds)} take-overs)"
