"""What people do to a fleet: edits of `schedules`, run-now rows, kill requests."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from leasebeat.model.instant import SECOND, Instant
from leasebeat.testing.simulation.calendars import BROKEN, CALENDARS, NEVER
from leasebeat.testing.simulation.features import BRIEF, draw_columns
from leasebeat.testing.simulation.world import Behaviour, World

Edit = Callable[[World, Random, int], None]

CRONS = tuple(CALENDARS)
PAUSE, RESUME = "pause queue", "resume queue"


def draw_schedule(world: World, random: Random) -> int:
    """A new row, in one of the ways that people write them."""
    wanted, brief = draw_columns(world, random)
    columns: dict[str, object] = {
        "cron": random.choice(world.crons),
        "route": random.choice(("sticky", "sticky", "spread", "any")),
        "priority": random.choice((0, 0, 5)),
        "on_node_loss": random.choice(("rerun", "rerun", "rerun", "fail", "finish")),
        "retries": random.choice((0, 0, 1, 3)),
        "retry_delay_s": random.choice((0, 1, 5)),
        "misfire_grace_s": random.choice((3600, 3600, 20)),
        "timeout_s": random.choice((None, None, 8)),
    }
    if random.random() < 0.1:
        columns["ends_at"] = world.clock.now() + random.randrange(600) * SECOND
    if random.random() < 0.1:
        columns["starts_at"] = world.clock.now() + random.randrange(300) * SECOND
    return world.add_schedule(columns | wanted, BRIEF if brief else draw_behaviour(random))


def draw_behaviour(random: Random) -> Behaviour:
    """Most tasks are short and well; some are long, some fail."""
    longest = random.choice((0.2, 1.0, 3.0, 10.0, 30.0))
    return Behaviour(
        longest * random.choice((0.2, 1.0)),
        longest,
        random.choice((0.0, 0.0, 0.3)),
        random.choice((0.0, 0.0, 0.0, 0.1)),
    )


def change_cron(world: World, random: Random, schedule_id: int) -> None:
    """The commonest edit."""
    world.edit(schedule_id, {"cron": random.choice(CRONS)})


def keep_updated_at(world: World, random: Random, schedule_id: int) -> None:
    """What an ORM does that writes all columns: the row changes, `updated_at` does not."""
    world.edit(schedule_id, {"cron": random.choice(CRONS)}, keep=True)


def flip_flop(world: World, random: Random, schedule_id: int) -> None:
    """Changed and changed back, with and without a trace in `updated_at`."""
    cron = world.server.schedules.rows[schedule_id]["cron"]
    keep = random.random() < 0.5
    world.edit(schedule_id, {"cron": random.choice(CRONS)}, keep=keep)
    back = random.choice((10_000, SECOND, 4 * SECOND))
    world.kernel.after(back, lambda _: world.edit(schedule_id, {"cron": cron}, keep=keep))


def change_command(world: World, random: Random, schedule_id: int) -> None:
    """Another task, at the same times."""
    command = f"{world.server.schedules.rows[schedule_id]['command']}+"
    world.behaviours[command] = draw_behaviour(random)
    world.edit(schedule_id, {"command": command})


def disable(world: World, random: Random, schedule_id: int) -> None:
    """Paused for a while."""
    world.edit(schedule_id, {"enabled": 0})
    back = random.choice((1, 10, 60)) * SECOND
    world.kernel.after(back, lambda _: world.edit(schedule_id, {"enabled": 1}))


def break_row(world: World, random: Random, schedule_id: int) -> None:
    """A value that no node can use; mended later."""
    good = world.server.schedules.rows[schedule_id]["cron"]
    if good in BROKEN:
        return
    world.edit(schedule_id, {"cron": random.choice(BROKEN)})
    back = random.choice((1, 20, 100)) * SECOND
    world.kernel.after(back, lambda _: world.edit(schedule_id, {"cron": good}))


def break_and_disable(world: World, random: Random, schedule_id: int) -> None:
    """`enabled = 0` holds on a broken row, too."""
    break_row(world, random, schedule_id)
    disable(world, random, schedule_id)


def commit_late(world: World, random: Random, schedule_id: int) -> None:
    """An editor's transaction stays open: `updated_at` is older than the commit."""
    updated_at = world.clock.now()
    wait = random.randrange(4 * SECOND)
    cron = random.choice(CRONS)
    world.kernel.after(wait, lambda _: world.edit(schedule_id, {"cron": cron}, updated_at=updated_at))


def delete(world: World, random: Random, schedule_id: int) -> None:
    """Gone; a new row takes its place, under a new id."""
    world.server.delete_schedule(schedule_id)
    later = random.choice((0, SECOND, 30 * SECOND))
    world.kernel.after(later, lambda _: _replace(world, random))


def _replace(world: World, random: Random) -> None:
    draw_schedule(world, random)


def end_it(world: World, random: Random, schedule_id: int) -> None:
    """`ends_at` in the near future or in the past."""
    world.edit(schedule_id, {"ends_at": world.clock.now() + random.randrange(-20, 60) * SECOND})


def make_manual(world: World, random: Random, schedule_id: int) -> None:
    """From now on it only runs when somebody asks."""
    del random
    world.edit(schedule_id, {"cron": NEVER})


HARMLESS: tuple[Edit, ...] = (change_command, disable)
"""What may be done to schedules that others follow, and that follow others."""

EDITS: tuple[Edit, ...] = (
    change_cron,
    change_cron,
    change_cron,
    keep_updated_at,
    flip_flop,
    change_command,
    disable,
    disable,
    break_row,
    break_and_disable,
    commit_late,
    delete,
    end_it,
    make_manual,
)
"""What an editor may do to a row; what is named more often is done more often."""


def edit_some_row(world: World, random: Random) -> None:
    """One edit; half of them within 50 ms of an instant of the row."""
    schedule_id = random.choice(sorted(world.server.schedules.rows))
    edit = random.choice(HARMLESS if schedule_id in world.chained else EDITS)
    delay = _near_an_instant(world, random, schedule_id) if random.random() < 0.5 else 0

    def carry_out(_: object) -> None:
        if schedule_id in world.server.schedules.rows:
            edit(world, random, schedule_id)

    world.kernel.after(delay, carry_out)


def run_now(world: World, random: Random) -> None:
    """INSERT INTO runs (schedule_id) VALUES (...)."""
    world.server.insert_run(random.choice(sorted(world.server.schedules.rows)))


def kill_a_run(world: World, random: Random) -> None:
    """UPDATE runs SET kill_requested = 1."""
    open_runs = world.open_runs()
    if open_runs:
        world.server.request_kill(random.choice(open_runs))


def pause_a_queue(world: World, random: Random) -> None:
    """UPDATE queues SET paused = 1, and back."""
    queue = random.choice(("default", "heavy", "rare") if "queues" in world.features else ("default",))
    seconds = random.choice((3, 20))
    world.note(PAUSE, queue)
    world.server.set_paused(queue, paused=True)

    def resume(_: object) -> None:
        world.note(RESUME, queue)
        world.server.set_paused(queue, paused=False)

    world.kernel.after(seconds * SECOND, resume)


def cordon_a_node(world: World, random: Random) -> None:
    """UPDATE nodes SET state = 'cordoned', and back."""
    name = random.choice(world.machines).name
    seconds = random.choice((5, 30))
    if world.server.order(name, "cordoned"):
        world.note("cordon", name)
        world.disturb(seconds * SECOND)
        world.kernel.after(seconds * SECOND, lambda _: _uncordon(world, name))


def _uncordon(world: World, name: str) -> None:
    if world.server.order(name, "live"):
        world.note("uncordon", name)


def _near_an_instant(world: World, random: Random, schedule_id: int) -> int:
    calendar = CALENDARS.get(str(world.server.schedules.rows[schedule_id]["cron"]))
    if calendar is None:
        return 0
    now: Instant = world.clock.now()
    instant = next(iter(calendar.between(now, now + calendar.period)))
    return max(0, instant - now + random.randrange(-50_000, 50_000))
