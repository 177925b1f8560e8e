"""What may be done to a fleet. Each fault takes the world and a source of randomness, and heals by itself.

`FAULTS` are drawn from by a seed's plan (swarm: each seed has its own subset). After the last one
`heal` makes everything well, and what is still wrong a while later is the node's fault.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from leasebeat.model.instant import SECOND, Micros
from leasebeat.testing.simulation.world import Machine, World

Fault = Callable[[World, Random], None]

CRASH_POINTS = (
    "ask after",  # SET NX done, INSERT not
    "claim before",
    "claim after",
    "start before",
    "start after",  # the task was ordered
    "finish before",  # the task has ended, its row does not say so
    "finish after",
    "pull after",
    "reclaim after",
    "open_missing after",
    "move_watermark before",
    "see_versions after",
    "purge after",
    "join after",
    "* before",
    "* after",
)
"""Where a worker is made to die: before or after a call to a port."""


def crash(world: World, random: Random) -> None:
    """Kill -9, and a new start after a while."""
    machine = _one(world, random)
    machine.crash()
    _boot_later(world, machine, random)


def crash_at_a_point(world: World, random: Random) -> None:
    """Kill -9 at the next call of that kind."""
    machine = _one(world, random)
    if machine.link is not None and machine.up:
        machine.link.trap = random.choice(CRASH_POINTS)
        world.note(f"trap {machine.link.trap}", machine.name)


def crash_all(world: World, random: Random) -> None:
    """A power cut in the rack: all workers at once, sometimes for so long that a catch-up follows."""
    long = "catch-up" in world.features and random.random() < 0.5
    if long:
        world.disturb(130 * SECOND)  # whoever comes back first watches the others alone
    for machine in world.machines:
        machine.crash()
        if long:
            world.kernel.after(_micros(random.uniform(70, 130)), lambda _, m=machine: m.boot())
        else:
            _boot_later(world, machine, random)


def pause(world: World, random: Random) -> None:
    """SIGSTOP, for less or for more than a lease."""
    machine = _one(world, random)
    process = machine.process
    if process is None or process.dead or process.paused:
        return
    seconds = random.choice((0.3, 3.0, world.lease_s * 0.9, world.lease_s * 1.2, world.lease_s * 2))
    world.note("pause", f"{process.name} for {seconds:g} s")
    process.pause()
    world.disturb(_micros(seconds))
    world.kernel.after(_micros(seconds), lambda _: process.resume() if not process.dead else None)


def drain(world: World, random: Random) -> None:
    """SIGTERM, and a new start after a while."""
    machine = _one(world, random)
    machine.drain()
    _boot_later(world, machine, random)


def cut_off(world: World, random: Random) -> None:
    """A host cannot reach the store."""
    machine = _one(world, random)
    link = machine.link
    if link is None:
        return
    seconds = random.uniform(0.5, world.lease_s * 1.7)
    world.note("cut off", f"{machine.name} for {seconds:g} s")
    link.cut = True
    world.disturb(_micros(seconds))
    world.kernel.after(_micros(seconds), lambda _: _set(link, "cut", False))


def store_down(world: World, random: Random) -> None:
    """The server is away, for less or for more than a lease; its connections are gone."""
    seconds = random.choice((1.0, 5.0, world.lease_s * 0.7, world.lease_s * 1.3))
    world.note("store down", f"for {seconds:g} s")
    world.weather.down = True
    world.weather.restarts += 1
    world.disturb(_micros(seconds))
    world.kernel.after(_micros(seconds), lambda _: _set(world.weather, "down", False))


def store_frozen(world: World, random: Random) -> None:
    """The server is stopped: what was sent to it is done when it goes on, whoever still waits."""
    seconds = random.choice((1.0, 4.0, 8.0, world.lease_s * 1.2))
    world.note("store frozen", f"for {seconds:g} s")
    world.weather.frozen = True
    world.disturb(_micros(seconds))
    world.kernel.after(_micros(seconds), lambda _: _set(world.weather, "frozen", False))


def store_restart(world: World, random: Random) -> None:
    """All connections and open transactions are gone."""
    del random
    world.note("store restart")
    world.weather.restarts += 1
    world.disturb(SECOND)


def rough_links(world: World, random: Random) -> None:
    """A bad network: much is slow, late or lost."""
    seconds = random.uniform(5, 40)
    world.note("rough links", f"for {seconds:g} s")
    world.weather.rough = random.uniform(0.1, 0.5)
    world.disturb(_micros(seconds))
    world.kernel.after(_micros(seconds), lambda _: _set(world.weather, "rough", world.weather.usual))


def redis_down(world: World, random: Random) -> None:
    """No gate for a while."""
    seconds = random.uniform(1, 60)
    world.note("redis down", f"for {seconds:g} s")
    world.redis.down = True
    world.kernel.after(_micros(seconds), lambda _: _set(world.redis, "down", False))


def redis_flush(world: World, random: Random) -> None:
    """FLUSHALL again and again."""
    for _ in range(random.randrange(1, 30)):
        world.kernel.after(_micros(random.uniform(0, 20)), lambda _: world.redis.flush())
    world.note("redis flushes")


def redis_lossy(world: World, random: Random) -> None:
    """Answers of Redis get lost."""
    world.note("redis lossy")
    world.redis.lost_replies = random.uniform(0.1, 0.7)
    world.kernel.after(_micros(random.uniform(5, 60)), lambda _: _set(world.redis, "lost_replies", 0.0))


def store_clock_jumps(world: World, random: Random) -> None:
    """The clock of the database's host is set."""
    seconds = random.choice((-60.0, -7.0, -0.4, 0.4, 7.0, 60.0, 90.0))
    world.note("store clock jumps", f"{seconds:+g} s")
    world.clock.jump(_micros(seconds))
    world.disturb(_micros(abs(seconds)))


def host_clock_jumps(world: World, random: Random) -> None:
    """The wall clock of a worker's host is set. Nobody should notice."""
    machine = _one(world, random)
    machine.skew = _micros(random.uniform(-86_400, 86_400))
    world.note("host clock jumps", machine.name)
    if machine.runtime is not None:
        machine.runtime.skew = machine.skew


FAULTS: dict[str, Fault] = {
    "crash": crash,
    "crash at a point": crash_at_a_point,
    "crash all": crash_all,
    "pause": pause,
    "drain": drain,
    "cut off": cut_off,
    "store down": store_down,
    "store frozen": store_frozen,
    "store restart": store_restart,
    "rough links": rough_links,
    "redis down": redis_down,
    "redis flush": redis_flush,
    "redis lossy": redis_lossy,
    "store clock jumps": store_clock_jumps,
    "host clock jumps": host_clock_jumps,
}
"""By name."""


def heal(world: World) -> None:
    """Everything is well again, and everybody runs."""
    world.note("heal")
    world.weather.rough = world.weather.usual = 0.0
    world.weather.down = world.weather.frozen = world.redis.down = False
    world.redis.lost_replies = 0.0
    for machine in world.machines:
        if machine.link is not None:
            machine.link.trap, machine.link.cut = None, False
        if machine.process is not None and machine.process.paused:
            machine.process.resume()
        world.server.order(machine.name, "live")
        machine.boot()


def _one(world: World, random: Random) -> Machine:
    return random.choice(world.machines)


def _micros(seconds: float) -> Micros:
    return round(seconds * SECOND)


def _boot_later(world: World, machine: Machine, random: Random) -> None:
    seconds = random.choice((0.1, 2.0, 15.0, world.lease_s + 10.0)) * random.uniform(0.5, 1.5)
    world.kernel.after(_micros(seconds), lambda _: machine.boot())


def _set(thing: object, name: str, value: object) -> None:
    setattr(thing, name, value)
