"""Ten thousand rows due at one second on one node, against the bare cost of writing such rows."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from leasebeat.model.instant import SECOND, to_text
from leasebeat.store.url import StoreUrl
from leasebeat.testing.fleet import Fleet, sleep_until, until
from leasebeat.testing.mysql import MySQL, connect
from leasebeat.testing.private import PrivateMysql, value

__all__ = ["BurstResult", "run"]

BATCH = 500

TASKS = """\
import os

import leasebeat

_file = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note():
    os.write(_file, leasebeat.current_run().run_key.encode() + b"\\n")
"""

ENDED = """
SELECT COUNT(*) AS runs, COUNT(DISTINCT node_id) AS nodes,
       COALESCE(SUM(status = 'succeeded' AND node_id IS NOT NULL AND claimed_at IS NOT NULL
                    AND started_at IS NOT NULL AND finished_at IS NOT NULL), 0) AS whole,
       COALESCE(SUM(status NOT IN ('queued', 'running')), 0) AS ended,
       TIMESTAMPDIFF(MICROSECOND, MIN(fire_at), MAX(claimed_at)) AS claimed_us,
       TIMESTAMPDIFF(MICROSECOND, MIN(fire_at), MAX(finished_at)) AS finished_us
FROM runs
"""

RAW_INSERT = """
INSERT INTO raw_runs (fire_at, schedule_id, status, node_id, attempt, origin, version, claimed_at)
SELECT UTC_TIMESTAMP(6), j.s, 'running', 'raw', 1, 'trigger', 1, UTC_TIMESTAMP(6)
FROM JSON_TABLE(%s, '$[*]' COLUMNS (s BIGINT PATH '$')) j
"""

RAW_UPDATE = """
UPDATE JSON_TABLE(%s, '$[*]' COLUMNS (s BIGINT PATH '$')) j
STRAIGHT_JOIN raw_runs r ON r.fire_at = {fire_at} AND r.schedule_id = j.s AND r.shard = 0
SET r.status = 'succeeded', r.started_at = UTC_TIMESTAMP(6), r.finished_at = UTC_TIMESTAMP(6)
WHERE r.attempt = 1 AND r.node_id = 'raw'
"""


@dataclass(frozen=True, slots=True)
class BurstResult:
    """What became of it. Seconds are counted from the instant, by the store's clock."""

    rows: int
    distinct_keys: int  #: that ran, by the tasks' own file
    keys_run_twice: int
    whole_rows: int  #: succeeded, with node and times
    claimed_s: float  #: until the last claim
    finished_s: float  #: until the last commit
    raw_s: float  #: the same rows inserted and updated in batches by one plain connection

    @property
    def ratio(self) -> float:
        """How many times as long as the bare rows."""
        return self.finished_s / self.raw_s

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.distinct_keys} distinct keys ran, {self.keys_run_twice} of them twice",
            f"{self.whole_rows} of {self.rows} rows succeeded with node and times",
            f"last claim {self.claimed_s:.3f} s and last commit {self.finished_s:.3f} s after the instant",
            f"raw batched INSERT + UPDATE of {self.rows} rows: {self.raw_s:.3f} s; ratio {self.ratio:.2f}",
        ]


def run(folder: Path, server: MySQL, redis_url: str = "", rows: int = 10_000) -> BurstResult:
    """Let `rows` schedules fire at one second."""
    evidence = folder / "keys"
    (folder / "burst_tasks.py").write_text(TASKS.format(path=str(evidence)))
    store = PrivateMysql(server)
    settings = {"node_slots": rows, "node_python_isolation": "thread", "node_python_path": str(folder)}
    with Fleet(folder, store, redis_url, node_beat_s=10, **settings) as fleet:
        raw_s = min(_raw(store, rows) for _ in range(3))
        instant = fleet.next_second(12 + rows // 2000)
        _insert(store, rows, to_text(instant))
        fleet.start("a")
        fleet.await_live("a")
        assert store.now() < instant - SECOND, "the schedules were not there in time"
        sleep_until(store, instant + SECOND)
        until(
            lambda: value(store, "SELECT COUNT(*) AS n FROM runs WHERE status = 'succeeded'") >= rows,
            60,
            "all",
        )
        found = store.rows(ENDED)[0]
        ran = Counter(evidence.read_text().split())
        return BurstResult(
            rows=rows,
            distinct_keys=len(ran),
            keys_run_twice=sum(count > 1 for count in ran.values()),
            whole_rows=int(found["whole"]),
            claimed_s=found["claimed_us"] / SECOND,
            finished_s=found["finished_us"] / SECOND,
            raw_s=raw_s,
        )


def _insert(store: PrivateMysql, rows: int, at: str) -> None:
    numbers = json.dumps(list(range(rows)))
    store.rows(
        "INSERT INTO schedules (name, cron, kind, command, overlap)"
        f" SELECT CONCAT('burst-', j.n), '@at {at}', 'python', 'burst_tasks:note', 'allow'"
        f" FROM JSON_TABLE('{numbers}', '$[*]' COLUMNS (n INT PATH '$')) j"
    )


def _raw(store: PrivateMysql, rows: int) -> float:
    """Seconds that one plain connection takes for the same rows, in batches, each committed."""
    batches = [json.dumps(list(range(low, min(low + BATCH, rows)))) for low in range(0, rows, BATCH)]
    with connect(StoreUrl.parse(store.admin_url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE raw_runs LIKE runs")
        cursor.execute("SET timestamp = 1800000000")
        began = time.monotonic()
        for batch in batches:
            cursor.execute(RAW_INSERT, (batch,))
        for batch in batches:
            cursor.execute(RAW_UPDATE.format(fire_at="UTC_TIMESTAMP(6)"), (batch,))
        took = time.monotonic() - began
        cursor.execute("SELECT COUNT(*) FROM raw_runs WHERE status = 'succeeded'")
        ((written,),) = cursor.fetchall()
        assert written == rows
        cursor.execute("DROP TABLE raw_runs")
    return took
