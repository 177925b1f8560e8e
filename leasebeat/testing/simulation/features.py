"""What a schedule can ask for: each seed's people make use of some of it, so that each is often met."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from leasebeat.testing.simulation.world import Behaviour, World

FEATURES = (
    "wait",
    "replace",
    "lanes",
    "shards",
    "all",
    "node",
    "jitter",
    "chains",
    "after_end",
    "queues",
    "pauses",
    "cordons",
    "catch-up",
)
"""By name; each is in two seeds of five."""

LANES = {"one": 1, "two": 2, "three": 3}

BRIEF = Behaviour(0.1, 1.0, 0.0)
"""What many tasks at once are made of: there are few slots."""


def draw_features(world: World, random: Random, certain: Sequence[str] = ()) -> None:
    """Decide what the people of this seed make use of, and arrange the machines for it."""
    drawn = [name for name in FEATURES if random.random() < 0.4]
    world.features = frozenset([*drawn, *certain])
    world.server.lane_sizes.update(LANES)
    world.catch_up_per_s = random.choice((4, 10, 50))
    if "queues" in world.features:
        for machine in world.machines:
            if random.random() < 0.5:
                machine.queues["heavy"] = random.choice((None, 2))
        random.choice(world.machines).queues["rare"] = None


def draw_columns(world: World, random: Random) -> tuple[dict[str, object], bool]:
    """The columns by which a new schedule makes use of features; whether its tasks should be brief."""
    has, columns = world.features.__contains__, dict[str, object]()
    policies = [name for name in ("wait", "replace") if has(name)]
    columns["overlap"] = random.choice(("skip", "skip", "allow", *policies * 2))
    columns["misfire"] = random.choice(("once", "all", "skip"))
    if has("lanes") and random.random() < 0.3:
        columns["lane"] = random.choice(tuple(LANES))
    if has("jitter") and random.random() < 0.3:
        columns["jitter_s"] = random.choice((1, 3, 8))
    if has("queues") and random.random() < 0.4:
        columns["queue"] = random.choice(("heavy", "rare"))
    if has("after_end") and random.random() < 0.15:
        columns["cron"] = f"@after_end {random.choice((2, 7, 20))}s"
    return columns, _spread(world, random, columns)


def _spread(world: World, random: Random, columns: dict[str, object]) -> bool:
    """Where its runs are run; whether they are many at once."""
    has = world.features.__contains__
    if has("shards") and random.random() < 0.15:
        columns["shards"] = random.randrange(2, 8)
        return True
    if has("all") and random.random() < 0.15:
        columns["route"] = "all"
        return True
    if has("node") and random.random() < 0.2:
        columns["route"] = f"node:{random.choice(world.machines).name}"
    return False


def draw_chains(world: World, random: Random) -> None:
    """Schedules that follow others: a line, a diamond, and somebody who cleans up after failures."""
    if "chains" not in world.features:
        return
    for _ in range(random.randrange(1, 3)):
        source = random.choice([each for each in world.server.schedules.rows if each not in world.chained])
        shape = random.choice((_line, _diamond))
        world.chained.add(source)
        shape(world, random, source)


def _line(world: World, random: Random, source: int) -> None:
    upstream = source
    for _ in range(random.randrange(1, 4)):
        upstream = _follower(world, random, [upstream])
    _follower(world, random, [source], "failure")


def _diamond(world: World, random: Random, source: int) -> None:
    sides = [_follower(world, random, [source]) for _ in range(random.randrange(2, 4))]
    _follower(world, random, sides)


def _follower(world: World, random: Random, upstreams: list[int], rule: str | None = None) -> int:
    names = ", ".join(f'"task-{each}"' for each in upstreams)
    columns, brief = draw_columns(world, random)
    columns |= {
        "cron": "@manual",
        "after": f"[{names}]",
        "after_rule": rule or random.choice(("success", "success", "done", "failure")),
        "retries": random.choice((0, 0, 1)),
        "retry_delay_s": 1,
    }
    longest = 1.0 if brief else random.choice((0.5, 2.0, 8.0))
    follower = world.add_schedule(columns, Behaviour(0.1, longest, random.choice((0.0, 0.3))))
    world.chained.add(follower)
    return follower
