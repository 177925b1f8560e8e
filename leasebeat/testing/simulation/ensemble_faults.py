"""What may be done to a fleet that ZooKeeper coordinates, beside all that is done to any fleet."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from leasebeat.model.instant import SECOND
from leasebeat.testing.simulation.ensemble import Ensemble
from leasebeat.testing.simulation.world import World


def no_quorum(world: World, random: Random) -> None:
    """Most of the servers are away, for less or for more than a session."""
    seconds = random.choice((1.0, world.lease_s * 0.5, world.lease_s * 1.3))
    ensemble = _noted(world, "no quorum", seconds)
    ensemble.lose_quorum()
    world.kernel.after(round(seconds * SECOND), lambda _: ensemble.elect())


def leader_changes(world: World, random: Random) -> None:
    """Another server leads, a few times."""
    ensemble = _noted(world, "leader changes", 8.0)
    for _ in range(random.randrange(1, 4)):
        world.kernel.after(random.randrange(6 * SECOND), lambda _: ensemble.elect())


def member_dies(world: World, random: Random) -> None:
    """A server is gone with what it had not told the leader."""
    del random
    _noted(world, "member dies", world.lease_s).lose_member()


def ensemble_empty(world: World, random: Random) -> None:
    """It comes back without its data."""
    del random
    _noted(world, "ensemble empty", world.lease_s * 2).empty()


def zookeeper_cut(world: World, random: Random) -> None:
    """A host cannot reach ZooKeeper; or what it sends arrives, and no answer comes."""
    machine = random.choice(world.machines)
    link, way = machine.members_link, random.choice(("cut", "one_way"))
    seconds = random.uniform(0.5, world.lease_s * 1.7)
    _noted(world, f"zookeeper {way} {machine.name}", seconds)
    if link is not None:
        setattr(link, way, True)
        world.kernel.after(round(seconds * SECOND), lambda _: setattr(link, way, False))


def zookeeper_lossy(world: World, random: Random) -> None:
    """Answers get lost."""
    seconds = random.uniform(5, 40)
    ensemble = _noted(world, "zookeeper lossy", seconds)
    ensemble.lossy = random.uniform(0.01, 0.2)
    world.kernel.after(round(seconds * SECOND), lambda _: setattr(ensemble, "lossy", 0.0))


ENSEMBLE_FAULTS: dict[str, Callable[[World, Random], None]] = {
    "no quorum": no_quorum,
    "leader changes": leader_changes,
    "member dies": member_dies,
    "ensemble empty": ensemble_empty,
    "zookeeper cut": zookeeper_cut,
    "zookeeper lossy": zookeeper_lossy,
}
"""By name."""


def heal_ensemble(world: World) -> None:
    """All servers are there, and everybody reaches them."""
    if world.ensemble is None:
        return
    if world.ensemble.down:
        world.ensemble.elect()
    world.ensemble.lossy = 0.0
    for machine in world.machines:
        if machine.members_link is not None:
            machine.members_link.cut = machine.members_link.one_way = False


def _noted(world: World, what: str, seconds: float) -> Ensemble:
    assert world.ensemble is not None, "a fault of ZooKeeper in a fleet without it"
    world.note(what, f"for {seconds:g} s")
    world.disturb(round((seconds + world.lease_s * 2) * SECOND))  # nobody judges for a session after it
    return world.ensemble
