"""People edit schedules with the `mysql` client while three nodes run them each second."""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Self

from leasebeat.model.instant import SECOND, Instant, from_datetime, from_text, to_text
from leasebeat.store.url import StoreUrl
from leasebeat.testing.evidence import findings
from leasebeat.testing.fleet import Fleet, mixed, numbered, sleep_until, until, utc
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql, value
from leasebeat.testing.servers import need

__all__ = ["EditsResult", "both", "run"]

SCHEDULES = 6
HOLDS = SECOND
"""Within this an edit holds everywhere."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a schedule says from an edit on. The edit was committed between `before` and `after`."""

    mark: int
    enabled: bool = True
    step: int = 1  #: fires at the seconds that this divides
    before: Instant = 0
    after: Instant = 0

    def has(self, instant: Instant) -> bool:
        """Whether it fires then."""
        return self.enabled and instant // SECOND % 60 % self.step == 0


@dataclass(frozen=True, slots=True)
class EditsResult:
    """What became of it."""

    redis: bool
    edits: int
    near_an_instant: int  #: committed within 50 ms of one
    runs: int
    skipped: int  #: fires that an edit took away after their instant: their rows say so
    old_after_commit: int  #: claimed from the old definition after the commit, within the second
    slowest_hold_s: float  #: from a commit to the last claim from the old definition
    findings: list[str]

    def lines(self) -> list[str]:
        """For people."""
        redis = "on" if self.redis else "off"
        return [
            f"Redis {redis}: {self.edits} edits, {self.near_an_instant} of them at an instant",
            f"{self.runs} rows, {self.skipped} skipped because the definition had changed",
            f"{self.old_after_commit} claims from an old definition after its edit",
            f"the last of them {self.slowest_hold_s:.3f} s after it",
            *(self.findings or ["the checker found nothing"]),
        ]


class Client:
    """The `mysql` client of somebody who types statements."""

    def __init__(self, store: PrivateMysql) -> None:
        url = StoreUrl.parse(store.admin_url)
        where = ["-S", url.unix_socket] if url.unix_socket else ["-h", url.host, "-P", str(url.port)]
        password = [f"-p{url.password}"] if url.password else []
        self._process = subprocess.Popen(
            [
                need("mysql", "mariadb-client-core"),
                "-N",
                "-n",
                *where,
                "-u",
                url.user,
                *password,
                url.database,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run(self, statement: str) -> tuple[Instant, Instant]:
        """Run it; the store's time before and after its commit."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"SELECT UTC_TIMESTAMP(6);\n{statement};\nSELECT UTC_TIMESTAMP(6);\n")
        before, after = (self._process.stdout.readline().strip() for _ in range(2))
        return _micros(before), _micros(after)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate("")


def both(folder: Path, server: MySQL, redis_url: str, edits: int) -> list[EditsResult]:
    """With and without Redis, side by side."""

    def one(url: str) -> EditsResult:
        place = folder / ("with" if url else "without")
        place.mkdir()
        return run(place, server, url, edits)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, (redis_url, "")))


def run(folder: Path, server: MySQL, redis_url: str, edits: int, seed: int = 1) -> EditsResult:
    """Edit so many times; then break a row, restart all nodes, repair it, and delete another."""
    store = PrivateMysql(server)
    with Fleet(folder, store, redis_url, node_slots=50) as fleet, Client(store) as client:
        names = numbered("job", SCHEDULES)
        fleet.start("a", "b", "c")
        fleet.await_live("a", "b", "c")
        first = fleet.next_second(4)
        rows = mixed(names, longest=5, starts_at=utc(first))
        fleet.schedule(*(dict(row, command=_command(fleet, 0)) for row in rows))
        assert store.now() < first, "the schedules were not there in time"
        sleep_until(store, first + 2 * SECOND)
        story = _edit(fleet, client, names, edits, Random(seed))
        end = fleet.next_second(3)
        sleep_until(store, end)
        until(lambda: fleet.settled(end), 60, f"everything ends\n{fleet.tails()}")
        problems = [*_judge(fleet, story, first, end), *_judge_evidence(fleet, end)]
        late = list(_late_claims(fleet, story))
        problems += [
            f"{key} was claimed {s:.3f} s after an edit of its definition" for key, s in late if s > 1
        ]
        result = EditsResult(
            redis=bool(redis_url),
            edits=edits,
            near_an_instant=sum(_near(d.after) for ds in story.values() for d in ds[1:]),
            runs=sum(fleet.counts().values()),
            skipped=fleet.counts().get("skipped", 0),
            old_after_commit=len(late),
            slowest_hold_s=max((s for _, s in late), default=0.0),
            findings=problems,
        )
        return replace(result, findings=[*problems, *_break_and_delete(fleet, client, edits + 1)])


def _command(fleet: Fleet, mark: int) -> str:
    says = f'echo "$LEASEBEAT_RUN_KEY $LEASEBEAT_FENCE {mark}" >>{fleet.folder}/marks'
    return f"{says}; . {fleet.folder}/task.sh"


# --- the edits ----------------------------------------------------------------------------------


def _edit(
    fleet: Fleet, client: Client, names: list[str], edits: int, random: Random
) -> dict[str, list[Definition]]:
    """Every schedule's definitions, in order."""
    story = {name: [Definition(0)] for name in names}
    for mark in range(1, edits + 1):
        name = names[mark % len(names)]
        _pause(fleet, mark, random)
        changed = _changed(story[name][-1], mark)
        before, after = client.run(
            f"UPDATE schedules SET enabled = {int(changed.enabled)},"
            f" cron = '*/{changed.step} * * * * *', command = '{_command(fleet, mark)}' WHERE name = '{name}'"
        )
        story[name].append(replace(changed, before=before, after=after))
    return story


def _pause(fleet: Fleet, mark: int, random: Random) -> None:
    """Wait for a moment anywhere, or each second time within 50 ms of an instant."""
    now = fleet.store.now()
    offset = random.uniform(0.2, 1.2) * SECOND
    if mark % 2:
        offset = SECOND - now % SECOND + random.uniform(-0.045, 0.045) * SECOND
    time.sleep(max(0.0, offset / SECOND))


def _changed(old: Definition, mark: int) -> Definition:
    if not old.enabled:
        return Definition(mark, True, old.step)
    if mark % 3 == 0:
        return Definition(mark, False, old.step)
    return Definition(mark, True, 3 - old.step if mark % 3 == 1 else old.step)


def _near(instant: Instant) -> bool:
    return not 50_000 < instant % SECOND < SECOND - 50_000


# --- the judgement ------------------------------------------------------------------------------


def _judge(fleet: Fleet, story: dict[str, list[Definition]], first: Instant, end: Instant) -> Iterator[str]:
    """Every instant has what the definition in force at it says, one row or none."""
    rows = {row["key"]: str(row["status"]) for row in fleet.store.rows("SELECT `key`, status FROM run_list")}
    marks = {key: mark for key, _, mark in _marks(fleet)}
    for name, definitions in story.items():
        for instant in range(first, end, SECOND):
            key = f"{name}@{to_text(instant)}"
            told = f"{rows[key]} by mark {marks.get(key)}" if key in rows else "no row"
            if why := _wrong(definitions, instant, rows.get(key), marks.get(key)):
                yield f"{key}: {told}, but {why}"


def _wrong(definitions: list[Definition], instant: Instant, status: str | None, mark: int | None) -> str:
    """What speaks against that, or nothing.

    An edit committed between `before` and `after`; an instant between these two may be of either.
    """
    possible = [d for d, following in _followed(definitions) if d.before <= instant <= following.after]
    # What nobody claimed is opened by the audit some seconds later, under the newest definition of then.
    newer = [d for d, _ in _followed(definitions) if instant - HOLDS < d.before <= instant + 5 * HOLDS]
    due = [d.has(instant) for d in possible]
    if status is None:
        return "" if not all(due) else f"mark {possible[0].mark} has that instant"
    if not any(due):
        return f"mark {possible[0].mark} does not have that instant"
    if status == "skipped":
        gone = any(not d.has(instant) for d in [*possible, *newer])
        return "" if gone else "no definition had lost the instant"
    if status != "succeeded":
        return "it should have succeeded"
    allowed = {d.mark for d in [*possible, *newer] if d.has(instant)} | _still_held(definitions, instant)
    return "" if mark in allowed else f"only marks {sorted(allowed)} had that instant"


def _followed(definitions: list[Definition]) -> Iterator[tuple[Definition, Definition]]:
    """Each with the next one."""
    never = Definition(-1, before=1 << 62, after=1 << 62)
    yield from zip(definitions, [*definitions[1:], never], strict=True)


def _still_held(definitions: list[Definition], instant: Instant) -> set[int]:
    """The one before an edit, for the second in which the edit reaches all nodes."""
    return {d.mark for d, following in _followed(definitions) if 0 <= instant - following.after < HOLDS}


def _late_claims(fleet: Fleet, story: dict[str, list[Definition]]) -> Iterator[tuple[str, float]]:
    """Each claim from a definition after the edit that replaced it, and how many seconds after.

    Not those of the route `any`: their rows are opened first and given out later, perhaps after a
    pause, and run what their schedule said when they were opened.
    """
    rows = fleet.store.rows("SELECT name FROM schedules WHERE route = 'any'")
    queued = {row["name"] for row in rows}
    for key, fence, mark in _marks(fleet):
        name = key.partition("@")[0]
        for definition, following in _followed(story[name]):
            if definition.mark == mark and fence > following.after and name not in queued:
                yield key, (fence - following.after) / SECOND


def _judge_evidence(fleet: Fleet, end: Instant) -> list[str]:
    """What the checker says of the instants before `end`; the schedules go on firing."""
    before = frozenset(
        row["key"] for row in fleet.store.rows(f"SELECT `key` FROM run_list WHERE fire_at < '{utc(end)}'")
    )
    evidence = fleet.collect(before)
    lines = [line for line in evidence.lines if line.split()[0] in before]
    runs = [run for run in evidence.runs if run.key in before]
    return findings(replace(evidence, lines=lines, runs=runs))


def _marks(fleet: Fleet) -> list[tuple[str, Instant, int]]:
    lines = [line.split() for line in (fleet.folder / "marks").read_text().splitlines()]
    return [(key, int(fence), int(mark)) for key, fence, mark in lines]


def _micros(text: str) -> Instant:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


# --- a broken row, a deleted one ----------------------------------------------------------------


def _break_and_delete(fleet: Fleet, client: Client, mark: int) -> Iterator[str]:
    """Raises AssertionError where something does not come about."""
    store = fleet.store
    fixed = f"enabled = 1, cron = '* * * * * *', command = '{_command(fleet, mark)}'"
    _, sound = client.run(f"UPDATE schedules SET {fixed} WHERE name = 'job-1'")
    _runs(fleet, mark, sound, "the sound definition runs")
    broken = f"cron = '61 * * * * *', command = '{_command(fleet, mark + 1)}'"
    _, after = client.run(f"UPDATE schedules SET {broken} WHERE name = 'job-1'")
    until(lambda: _problem(fleet), 10, "the broken row is reported")
    _runs(fleet, mark, after + 2 * SECOND, "the last good version keeps running")
    for worker in fleet.workers.values():
        worker.terminate()
    fleet.start("a", "b", "c")
    fleet.await_live("a", "b", "c")
    _runs(fleet, mark, store.now(), "the last good version runs after a restart of all nodes")
    assert "61" in _problem(fleet), f"the problem is forgotten: {_problem(fleet)!r}"
    repaired = f"cron = '* * * * * *', command = '{_command(fleet, mark + 2)}'"
    _, after = client.run(f"UPDATE schedules SET {repaired} WHERE name = 'job-1'")
    _runs(fleet, mark + 2, after, "the repaired row runs")
    until(lambda: not _problem(fleet), 10, "the problem of the repaired row is gone")
    _, gone = client.run("DELETE FROM schedules WHERE name = 'job-1'")
    sleep_until(store, gone + 4 * SECOND)
    groups: dict[int, list[str]] = defaultdict(list)
    for key, fence, found in _marks(fleet):
        groups[found].append(key)
        if key.startswith("job-1@") and (fence > gone + HOLDS or from_text(key.partition("@")[2]) > gone):
            yield f"{key} was claimed {(fence - gone) / SECOND:.3f} s after its schedule was deleted"
    if mark + 1 in groups:
        yield f"the broken definition ran: {groups[mark + 1]}"


def _problem(fleet: Fleet) -> str:
    return str(value(fleet.store, "SELECT COALESCE(MAX(problem), '') AS problem FROM schedule_problems"))


def _runs(fleet: Fleet, mark: int, since: Instant, what: str) -> None:
    until(lambda: any(m == mark and fence > since for _, fence, m in _marks(fleet)), 20, what)
