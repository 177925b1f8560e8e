"""`scripts/measure`: the trials at their full size, and the figures of each with its command."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from leasebeat.testing.redis_servers import RedisCluster, Sentinels
from leasebeat.testing.servers import MariaDB, Redis
from leasebeat.testing.trials import (
    burst,
    clocks,
    cron,
    deaths,
    edits,
    explain,
    idle,
    load,
    outage,
    redis_faults,
    shards,
    takeover,
    workflow,
)
from leasebeat.testing.zookeeper import ZooKeeperEnsemble

__all__ = ["main"]

MOST_RATIO = 3.0
"""The last commit of a burst may take so many times as long as its bare rows."""
MOST_CPU_PCT = 1.0
MOST_UNEVEN_PCT = 10.0
"""The least busy node may have so much less of a fire's shards than the busiest one."""
MOST_LATE_S = 1.0
"""A fire may be opened so late, whatever becomes of Redis."""
MOST_BEHIND_S = 2.0
"""A missed instant may begin so much after a newer one: three nodes take them at once."""

Figures = tuple[list[str], bool]
"""Lines for people, and whether everything is as promised."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a trial takes place."""

    folder: Path
    mariadb: MariaDB
    redis: Redis
    seconds: int | None
    seed: int

    def lasting(self, seconds: int) -> int:
        """What `--seconds` says, or that."""
        return self.seconds or seconds


def _load(ground: Ground) -> Figures:
    result = load.run(ground.folder, ground.mariadb, ground.redis, seconds=ground.lasting(60))
    return result.lines(), not result.findings and min(result.running_at_faults) >= 10


def _deaths(ground: Ground) -> Figures:
    results = deaths.everywhere(ground.folder, ground.mariadb.mysql, ground.redis.url, times=20)
    lines = [line for result in results for line in result.lines()]
    return lines, all(not r.findings and r.statuses == {"succeeded": r.due} for r in results)


def _clocks(ground: Ground) -> Figures:
    result = clocks.run(ground.folder, ground.mariadb.mysql, ground.redis.url, ground.lasting(60))
    return result.lines(), not result.findings and set(result.nodes) == {"live"}


def _burst(ground: Ground) -> Figures:
    result = burst.run(ground.folder, ground.mariadb.mysql, ground.redis.url)
    whole = result.distinct_keys == result.whole_rows == result.rows and not result.keys_run_twice
    return result.lines(), whole and result.ratio <= MOST_RATIO


def _edits(ground: Ground) -> Figures:
    results = edits.both(ground.folder, ground.mariadb.mysql, ground.redis.url, edits=50)
    return [line for r in results for line in r.lines()], not any(r.findings for r in results)


def _explain(ground: Ground) -> Figures:
    seconds = ground.lasting(150)
    result = explain.run(ground.folder, ground.mariadb.mysql, ground.redis.url, seconds, seed=ground.seed)
    return result.lines(), not result.findings


def _idle(ground: Ground) -> Figures:
    result = idle.run(ground.folder, ground.mariadb, ground.redis.url, ground.lasting(120))
    few = result.statements_s <= result.allowed_s
    return result.lines(), few and max(result.cpu_pct.values()) < MOST_CPU_PCT


def _shards(ground: Ground) -> Figures:
    result = shards.run(
        ground.folder, ground.mariadb.mysql, ground.redis.url, quiet=4, times=20, seed=ground.seed
    )
    whole = not result.findings and result.kills == 20
    return result.lines(), whole and result.uneven_pct <= MOST_UNEVEN_PCT


def _workflow(ground: Ground) -> Figures:
    result = workflow.run(
        ground.folder, ground.mariadb.mysql, ground.redis.url, instants=200, times=20, seed=ground.seed
    )
    return result.lines(), not result.findings and result.kills == 20


def _outage(ground: Ground) -> Figures:
    result = outage.run(ground.folder, ground.redis.url)
    in_order = result.most_per_s <= result.allowed_per_s and result.behind_s <= MOST_BEHIND_S
    return result.lines(), in_order and not result.findings


def _redis(ground: Ground) -> Figures:
    server, redis = ground.mariadb.mysql, ground.redis
    gone = redis_faults.run(_new(ground), server, redis, redis_faults.GONE, ground.lasting(60), per_s=500)
    found = redis_faults.run(_new(ground), server, redis, redis_faults.ALL, seconds=2, per_s=100)
    lines = [window.line() for window in [*gone, *found]]
    with Sentinels(ground.folder) as watched, RedisCluster(ground.folder) as cluster:
        for name, first, url in (
            ("Sentinel", watched.primary, watched.url),
            ("Cluster", cluster.nodes[0], cluster.url),
        ):
            replaced = redis_faults.run(
                _new(ground), server, first, redis_faults.REPLACED, seconds=10, per_s=100, url=url
            )
            lines += [f"{name}, {window.line()}" for window in replaced]
            found += replaced
    whole = all(window.whole for window in [*gone, *found])
    return lines, whole and all(window.late_s <= MOST_LATE_S for window in [*gone, *found])


def _new(ground: Ground) -> Path:
    """A folder for one more fleet."""
    return Path(tempfile.mkdtemp(dir=ground.folder))


def _takeover(ground: Ground) -> Figures:
    with ZooKeeperEnsemble(ground.folder) as ensemble:
        result = takeover.run(
            ground.folder,
            ground.mariadb.mysql,
            ensemble,
            beat_s=10,
            session_s=10,
            times=ground.lasting(60) // 10,
            seed=ground.seed,
        )
    return result.lines(), result.in_time


def _cron(ground: Ground) -> Figures:
    result = cron.run(20_000, ground.seed)
    often = all(result.by_croniter[name] >= 1_000 for name in cron.FEATURES)
    return result.lines(), not result.findings and often and result.asked >= 0.6 * result.cases


TRIALS: dict[str, Callable[[Ground], Figures]] = {
    "load": _load,
    "deaths": _deaths,
    "clocks": _clocks,
    "cron": _cron,
    "burst": _burst,
    "edits": _edits,
    "explain": _explain,
    "idle": _idle,
    "shards": _shards,
    "workflow": _workflow,
    "outage": _outage,
    "redis": _redis,
    "takeover": _takeover,
}


def main(words: Sequence[str] | None = None) -> int:
    """Run trials; 1 when one of them found something."""
    parser = argparse.ArgumentParser("scripts/measure", description=__doc__)
    parser.add_argument(
        "what", nargs="*", default=list(TRIALS), choices=list(TRIALS), metavar="WHAT", help=", ".join(TRIALS)
    )
    parser.add_argument(
        "--seconds", type=int, metavar="N", help="how long load, clocks, explain, idle and redis last"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="draws the kills of shards, workflow, and the expressions of cron",
    )
    options = parser.parse_args(words)
    good = [_tried(name, options.seconds, options.seed) for name in options.what]
    return 0 if all(good) else 1


def _tried(name: str, seconds: int | None, seed: int) -> bool:
    told = f"{f' --seconds {seconds}' if seconds else ''}{f' --seed {seed}' if seed != 1 else ''}"
    print(f"\n$ scripts/measure {name}{told}", flush=True)
    began = time.monotonic()
    with _ground(seconds, seed) as ground:
        print(f"MariaDB {ground.mariadb.mysql.version}, durable commits", flush=True)
        lines, good = TRIALS[name](ground)
    for line in [*lines, f"{'as promised' if good else 'NOT AS PROMISED'}, {time.monotonic() - began:.0f} s"]:
        print(f"  {line}", flush=True)
    return good


@contextmanager
def _ground(seconds: int | None, seed: int) -> Generator[Ground]:
    """Fresh servers for each trial: no figure depends on what ran before it."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="lb-measure-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        mariadb = stack.enter_context(MariaDB(folder, durable=True))
        yield Ground(folder, mariadb, stack.enter_context(Redis(folder)), seconds, seed)


if __name__ == "__main__":
    sys.exit(main())
