"""One seed: a fleet, its schedules, what is done to it, and what the checkers say of it."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from random import Random
from typing import Any

from leasebeat.model.instant import SECOND, Instant, Micros, to_text
from leasebeat.node import loop
from leasebeat.testing.simstore.tables import RunChange
from leasebeat.testing.simulation.checkers import Evidence, Violation, check
from leasebeat.testing.simulation.counts import policies_met
from leasebeat.testing.simulation.ensemble_faults import ENSEMBLE_FAULTS, heal_ensemble
from leasebeat.testing.simulation.faults import FAULTS, Fault, heal
from leasebeat.testing.simulation.features import draw_chains, draw_features
from leasebeat.testing.simulation.kept import Drawn, Kept, Part, shrink
from leasebeat.testing.simulation.people import (
    cordon_a_node,
    draw_schedule,
    edit_some_row,
    kill_a_run,
    pause_a_queue,
    run_now,
)
from leasebeat.testing.simulation.policies import POLICIES
from leasebeat.testing.simulation.tasks import TaskBegin
from leasebeat.testing.simulation.world import START, World
from leasebeat.triggers.crontab import CrontabTrigger

LENGTH: Micros = 600 * SECOND
HEALED: Micros = 450 * SECOND
"""Faults end here; the rest must be enough for every lease, retry and catch-up."""

SCHEDULES = 20
ZOOKEEPER = 2
"""Seeds with this remainder by three have ZooKeeper as the coordinator."""

ALWAYS = ("crash", "crash at a point")
"""Faults that no seed does without."""


@dataclass(slots=True)
class Report:
    """What one seed came to."""

    seed: int
    violations: list[Violation]
    totals: Counter[str]
    seconds: float  #: of CPU
    journal: list[object] = field(default_factory=list[object], repr=False)
    drawn: Drawn = field(default_factory=Drawn)
    kept: Kept = field(default_factory=Kept)  #: where it is a part of the seed only
    mutation: str = ""

    @property
    def digest(self) -> str:
        """Of the whole journal: the same seed has the same one."""
        text = "\n".join(map(repr, self.journal))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


Planned = tuple[Micros, Callable[[], None]]
"""When something is done to the world, and what."""

Patch = tuple[Any, str, object]
"""What stands in for an attribute of a class or module while a seed runs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a seed is made harder in one direction, and what is taken out of the protocol."""

    faults: Sequence[str] = ()  #: only these, instead of a swarm
    count: int = 0  #: how many of them; 0 = as drawn
    edits: int | None = None
    prepare: Callable[[World], None] = lambda _: None  #: before anything runs
    patches: Sequence[Patch] = ()
    features: Sequence[str] = ()  #: what people make use of in any case
    kept: Kept = field(default_factory=Kept)  #: of what is drawn
    coordinator: str = ""  #: store or zookeeper; else by the seed's number


def run_seed(seed: int, plan: Plan | None = None) -> Report:
    """Run a seed from start to end."""
    plan = plan or Plan()
    began = time.process_time()
    random = Random(seed)
    world = World(seed, machines=random.choice((3, 3, 3, 3, 4)), beat_s=random.choice((2.0, 5.0, 10.0)))
    del world.machines[plan.kept.nodes or len(world.machines) :]
    world.weather.rough = world.weather.usual = random.choice((0.0, 0.02, 0.04, 0.08))
    if plan.coordinator == "zookeeper" or (not plan.coordinator and seed % 3 == ZOOKEEPER):
        world.use_zookeeper()
    plan.prepare(world)
    weather = world.weather
    calm_links = weather.rough == 0.0 or weather.kinds == ("brisk",)
    broken = _Broken(world, loop.event)
    stand_ins = [(loop, "event", broken.event), (CrontabTrigger, "next", _remembered)]
    with _patched([*plan.patches, *stand_ins]):
        calm, drawn = _live(world, random, plan)
    evidence = evidence_of(world, calm, calm_links)
    violations = [*broken.found, *check(evidence), *check(evidence, POLICIES)]
    for process, _ in world.processes.values():  # a strand that never ends holds its whole world in memory
        process.crash()
    totals = _totals(world) + policies_met(evidence)
    seconds = time.process_time() - began
    return Report(seed, violations, totals, seconds, world.journal, drawn, plan.kept)


def shrunk(report: Report, plan: Plan) -> Report:
    """The same seed with as little drawn as still breaks one of the same promises."""
    broken = {violation.checker for violation in report.violations}
    least = report

    def fails(kept: Kept) -> bool:
        nonlocal least
        found = run_seed(report.seed, replace(plan, kept=kept))
        if not any(violation.checker in broken for violation in found.violations):
            return False
        least = found
        return True

    shrink(report.drawn, fails)
    least.mutation = report.mutation
    return least


def _live(world: World, random: Random, plan: Plan) -> tuple[Instant, Drawn]:
    """Ten minutes of the fleet's life; when the store's clock said that all was well again."""
    if random.random() < 0.2:
        world.machines[-1].roles = random.choice((("dispatch",), ("execute",)))
    world.crons = random.sample(world.crons, 6)  # schedules with one cron text are opened together
    draw_features(world, random, plan.features)
    for _ in range(SCHEDULES):
        draw_schedule(world, random)
    draw_chains(world, random)
    spare = tuple(sorted(world.server.schedules.rows.keys() - world.chained))
    if plan.kept.schedules is not None:
        for schedule_id in sorted(set(spare) - set(plan.kept.schedules)):
            world.server.delete_schedule(schedule_id)
    for machine in world.machines:
        world.kernel.after(random.randrange(5 * SECOND), lambda _, m=machine: m.boot())
    faults, deeds = _drawn_faults(world, random, plan), _drawn_deeds(world, random, plan)
    drawn = Drawn(len(world.machines), len(faults), len(deeds), spare)
    for at, what in [*_of(faults, plan.kept.faults), *_of(deeds, plan.kept.deeds)]:
        world.kernel.at(START + at, lambda _, w=what: w())
    world.kernel.run(START + HEALED)
    heal(world)
    heal_ensemble(world)
    calm = world.clock.now()
    # A worker that was draining at the time of healing ends later, and is started again like the others.
    for after in (40, 60, 75):
        world.kernel.at(START + HEALED + after * SECOND, lambda _: heal(world))
    world.kernel.run(START + LENGTH)
    return calm, drawn


def _of(drawn: Sequence[Planned], part: Part) -> list[Planned]:
    return [each for number, each in enumerate(drawn) if part is None or number in part]


def _drawn_faults(world: World, random: Random, plan: Plan) -> list[Planned]:
    known = FAULTS | (ENSEMBLE_FAULTS if world.ensemble else {})
    swarm = [name for name in known if name not in ALWAYS and random.random() < 0.5]
    names = list(plan.faults) or [*ALWAYS, *(swarm or ["pause"])]
    count = plan.count or random.randrange(7, 13)
    drawn = [random.choice(names) for _ in range(count)]
    if not plan.faults:
        drawn += ["crash", "crash at a point"]
    return _planned(world, random, [known[name] for name in drawn], 15 * SECOND, HEALED - 30 * SECOND)


def _drawn_deeds(world: World, random: Random, plan: Plan) -> list[Planned]:
    edits = random.randrange(3, 12) if plan.edits is None else plan.edits
    deeds: list[Fault] = (
        [edit_some_row] * edits + [run_now] * random.randrange(4) + [kill_a_run] * random.randrange(4)
    )
    for feature, deed in (("pauses", pause_a_queue), ("cordons", cordon_a_node)):
        if feature in world.features:
            deeds += [deed] * random.randrange(1, 4)
    return _planned(world, random, deeds, 10 * SECOND, HEALED)


def _planned(
    world: World, random: Random, what: Sequence[Fault], begin: Micros, end: Micros
) -> list[Planned]:
    """When each happens. Each draws from a source of its own: without one, the others stay as they are."""
    drawn = [
        (random.randrange(begin, end), partial(each, world, Random(random.getrandbits(64)))) for each in what
    ]
    return sorted(drawn, key=_when)


def _when(planned: Planned) -> Micros:
    return planned[0]


class _Broken:
    """Errors inside services that are no answers of a port: the loop survives them, a seed does not."""

    def __init__(self, world: World, passed_on: Callable[..., None]) -> None:
        self.found: list[Violation] = []
        self._pass_on = passed_on
        self._world = world

    def event(self, level: str, action: str, message: str, /, **fields: object) -> None:
        """Stands in for `loop.event`."""
        if action == "service_failed" and level == "ERROR":
            what = f"{message}: {fields['error']!r}"
            self.found.append(Violation("services do not break", what, self._world.kernel.now))
        self._pass_on(level, action, message, **fields)


_next = CrontabTrigger.next


@lru_cache(maxsize=1 << 16)
def _remembered(trigger: CrontabTrigger, after: Instant) -> Instant | None:
    """A trigger is pure, and every node of every seed asks it the same: each answer is computed once."""
    return _next(trigger, after)


@contextmanager
def _patched(patches: Sequence[Patch]) -> Generator[None]:
    former = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    try:
        for owner, name, value in patches:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in former:
            setattr(owner, name, value)


def evidence_of(world: World, calm: Instant, calm_links: bool) -> Evidence:
    """What the checkers look at: the world as it is now, and how it came about."""
    lease = round(world.lease_s * SECOND)
    return Evidence(
        journal=world.journal,
        rows=world.server.runs.rows,
        nodes=world.server.nodes,
        versions=world.server.schedules.by_id,
        clock=world.clock.pieces,
        now=world.kernel.now,
        store_now=world.clock.now(),
        slots=world.machines[0].slots,
        lease=lease,
        calm_since=calm,
        enabled=frozenset(i for i, row in world.server.schedules.rows.items() if row["enabled"]),
        present=frozenset(machine.name for machine in world.machines if machine.up),
        executing=frozenset(
            (task.launch.key, task.launch.attempt)
            for _, guardian in world.processes.values()
            for task in guardian.tasks()
        ),
        take_over_limit=lease * (1 if calm_links and not world.ensemble else 3) + 5 * SECOND,
        calm_links=calm_links,
        disturbed=sorted(world.disturbed),
        lane_sizes=world.server.lane_sizes,
        paused=world.server.paused_queues,
        catch_up_per_s=world.catch_up_per_s,
    )


def _totals(world: World) -> Counter[str]:
    changes = [entry for entry in world.journal if entry.__class__ is RunChange]
    counts = world.weather.counts
    statements = world.statements + sum(m.link.statements for m in world.machines if m.link)
    return Counter(
        {
            "fires": sum(c.was is None and c.origin in ("trigger", "audit") for c in changes),
            "executions": sum(entry.__class__ is TaskBegin for entry in world.journal),
            "crashes": world.crashes,
            "sessions expired": world.ensemble.expired if world.ensemble else 0,
            "take-overs": sum(c.statement == "reclaim" for c in changes),
            "lost replies": counts["reply lost"] + world.redis.lost,
            "lost requests": counts["request lost"],
            "late commits": counts["late"],
            "lock waits": counts["lock wait"],
            "statements": statements,
            "edits": sum(entry.__class__.__name__ == "RowChange" for entry in world.journal),
        }
    )


def describe(report: Report, most: int = 10) -> str:
    """The report of a seed for people: what is wrong, and how to see it again."""
    command = f"scripts/simulate {report.seed}"
    if report.mutation:
        command += f" --mutation '{report.mutation}'"
    if report.kept != Kept():
        command += f" --only '{report.kept}'"
    lines = [f"seed {report.seed}: {len(report.violations)} violations; replay: {command}"]
    for violation in report.violations[:most]:
        when = f" at {to_text(violation.at)}" if violation.at else ""
        lines.append(f"  [{violation.checker}]{when} {violation.what}")
    return "\n".join(lines)
