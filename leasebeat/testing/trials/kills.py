"""Workers that die at moments drawn by chance, each started again under its name."""

from __future__ import annotations

import time
from random import Random

from leasebeat.testing.fleet import Fleet, until

__all__ = ["at_random"]

DEAD_S = (0.1, 4.0)
"""For so long a name is dead: its successor purges it, or the others do after three beats."""


def at_random(fleet: Fleet, times: int, every_s: float, draw: Random) -> None:
    """Kill -9 a live worker at a random moment of each `every_s` seconds, so many times.

    Returns when all names are live again. At any time at least one worker lives.
    """
    began = time.monotonic()
    for number in range(times):
        _sleep_until(began + (number + draw.random()) * every_s)
        live = until(lambda: len(found := fleet.live()) >= 2 and found, 30, f"two live\n{fleet.tails()}")
        victim = fleet[draw.choice(live)]
        victim.kill()
        time.sleep(draw.uniform(*DEAD_S))
        victim.start()
    fleet.await_live(*fleet.workers)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
