"""Workers that die at moments drawn by chance, each started again under its name."""

from __future__ import annotations

import time
from random import Random

from leasebeat.node.verdict import MOST_TAKE_OVERS
from leasebeat.testing.fleet import Fleet, until

__all__ = ["at_random"]

DEAD_S = (0.1, 4.0)
"""For so long a name is dead: its successor purges it, or the others do after three beats."""

LAST_CHANCE = f"""
SELECT n.name FROM runs r JOIN nodes n ON n.id = r.node_id
WHERE r.status = 'running' AND r.take_overs >= {MOST_TAKE_OVERS}
"""


def at_random(fleet: Fleet, times: int, every_s: float, draw: Random) -> None:
    """Kill -9 a live worker at a random moment of each `every_s` seconds, so many times.

    Returns when all names are live again. At any time at least one worker lives. Spared is who runs what
    was taken over twice already: at the third death a run is closed as `lost`, as it is meant to be.
    """
    began = time.monotonic()
    for number in range(times):
        _sleep_until(began + (number + draw.random()) * every_s)
        names = until(lambda: _victims(fleet), 60, f"somebody may be killed\n{fleet.tails()}")
        victim = fleet[draw.choice(names)]
        victim.kill()
        time.sleep(draw.uniform(*DEAD_S))
        victim.start()
    fleet.await_live(*fleet.workers)


def _victims(fleet: Fleet) -> list[str]:
    live = fleet.live()
    spared = {row["name"] for row in fleet.store.rows(LAST_CHANCE)}
    return [name for name in live if name not in spared] if len(live) > 1 else []


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
