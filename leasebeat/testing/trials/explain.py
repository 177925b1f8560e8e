"""A fleet under faults and edits, and what `explain` says of random instants afterwards.

The judge (`answers.py`) is told what was done and what the tasks wrote; of the tables it is told the
names of the nodes, which the tasks tell by id.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

from leasebeat.cli.inquiry import Inquiry, inquiry
from leasebeat.model.instant import DAY, SECOND, Instant, to_text
from leasebeat.runtime import SystemRuntime
from leasebeat.settings import Retention
from leasebeat.store.desk import Desk
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.url import StoreUrl
from leasebeat.testing.evidence import executions, wall_clock_lead
from leasebeat.testing.fleet import TELL, Fleet, sleep_until, until, utc
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.private import PrivateMysql
from leasebeat.testing.trials.answers import KINDS, Definition, Judge, Outage, followed

__all__ = ["ExplainResult", "run"]

BEAT_S = 2.0


@dataclass(frozen=True, slots=True)
class ExplainResult:
    """What became of it."""

    pairs: int
    codes: dict[str, int]
    executions: int
    statuses: dict[str, int]
    findings: list[str]
    milliseconds: float  #: an answer

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.executions} executions, rows: {self.statuses}",
            f"{self.pairs} pairs explained, {self.milliseconds:.1f} ms each: {self.codes}",
            *(self.findings or ["the judge found nothing"]),
        ]


def run(
    folder: Path, server: MySQL, redis_url: str, seconds: int = 150, pairs: int = 1000, seed: int = 1
) -> ExplainResult:
    """Fire for `seconds`, with what faults fit into them; then explain so many random pairs."""
    store = PrivateMysql(server)
    with Fleet(folder, store, redis_url, node_beat_s=BEAT_S, node_slots=40) as fleet:
        fleet.add("c", node_queues='["default", "lonely"]')
        fleet.start("a", "b", "c")
        fleet.await_live("a", "b", "c")
        story = Story(fleet, seconds)
        story.tell()
        judge = story.judge()
        found: list[str] = []
        codes: Counter[str] = Counter()
        began = time.monotonic()
        with closing(Desk(MysqlSession(StoreUrl.parse(store.admin_url), SystemRuntime()))) as desk:
            inquiries = {name: _inquiry(desk, fleet, name) for name in story.definitions}
            for name, instant in _pairs(story, Random(seed), pairs):
                verdict = inquiries[name].verdict(instant)
                codes[str(verdict.code)] += 1
                if wrong := judge.wrong(name, verdict):
                    found.append(f"{name}@{to_text(instant)} is told as {verdict.code}: {wrong}; {verdict}")
        took = (time.monotonic() - began) * 1000 / pairs
        return ExplainResult(pairs, dict(codes.most_common()), len(judge.ran), fleet.counts(), found, took)


def _inquiry(desk: Desk, fleet: Fleet, name: str) -> Inquiry:
    return inquiry(desk, desk.ids_once(name)[0], name, Retention())


def _pairs(story: Story, random: Random, count: int) -> Iterator[tuple[str, Instant]]:
    """Mostly whole seconds, some in between; also a little before and after all that fired."""
    names = sorted(story.definitions)
    for _ in range(count):
        at = random.randrange(story.first - 3 * SECOND, story.end + 2 * SECOND)
        yield random.choice(names), at if random.random() < 0.1 else at // SECOND * SECOND


# --- what is done -------------------------------------------------------------------------------


class Story:
    """Does the faults and edits, and keeps the log of them."""

    def __init__(self, fleet: Fleet, seconds: int) -> None:
        self.fleet = fleet
        self.seconds = seconds
        self.definitions: dict[str, list[Definition]] = {}
        self.outages: list[Outage] = []
        self._down: dict[str, Instant] = {}
        before = fleet.store.now()
        self.first = fleet.next_second(4)
        self.end = self.first + seconds * SECOND
        fleet.store.rows(
            *(f"INSERT INTO calendars (name, day) VALUES ('always', '{day}')" for day in self._days())
        )
        fleet.schedule(*self._rows())
        after = fleet.store.now()
        for kind, what in KINDS.items():
            for number in range(1, what.count + 1):
                self.definitions[f"{kind}-{number}"] = [
                    Definition(step=what.step, before=before, after=after)
                ]
        assert after < self.first, "the schedules were not there in time"

    def _days(self) -> list[str]:
        """Every date that the trial sees."""
        return sorted({utc(at)[:10] for at in (self.first - DAY, self.first, self.end, self.end + DAY)})

    def _rows(self) -> Iterator[dict[str, object]]:
        for kind, what in KINDS.items():
            for number in range(1, what.count + 1):
                # The keys of parts end in #1: more than task.sh can reckon with.
                task = f"{TELL}tell begin; sleep 0.4; tell end" if what.shards > 1 else None
                yield {
                    "name": f"{kind}-{number}",
                    "cron": what.cron or f"*/{what.step} * * * * *",
                    "command": task
                    or f". {self.fleet.folder}/task.sh; {'exit 3' if what.fails else 'exit 0'}",
                    "starts_at": utc(self.first),
                    "ends_at": utc(self.end),
                    **what.columns,
                }

    def tell(self) -> None:
        """Do everything at its time, and wait until all has ended."""
        for at, deed in self._deeds():
            if at < self.seconds - 4:
                sleep_until(self.fleet.store, self.first + round(at * SECOND))
                deed()
        self._all_there()
        sleep_until(self.fleet.store, self.end)
        fleet, end = self.fleet, self.end
        until(lambda: fleet.settled(end), 90, f"everything ends\n{fleet.tails()}")

    def _deeds(self) -> list[tuple[float, Callable[[], None]]]:
        """In order; each takes less time than there is up to the next."""
        back = 112 if self.seconds >= 130 else 56  # the longer outage is one that misfire is about
        return [
            (2.0, lambda: self._edit("edited-1", enabled=False)),
            (3.0, lambda: self._kill("c")),
            (5.3, lambda: self._edit("edited-1", enabled=True)),
            (6.7, lambda: self._edit("edited-2", step=3)),
            (9.0, lambda: self._remove("doomed-1")),
            (10.0, lambda: self._break("broken-1")),
            (11.0, lambda: self._start("c")),
            (15.0, lambda: self._edit("edited-3", enabled=False)),
            (17.0, lambda: self._stop("b")),
            (20.4, lambda: self._edit("edited-3", enabled=True)),
            (21.1, lambda: self._edit("edited-2", step=1)),
            (27.0, lambda: self._resume("b")),
            (28.4, lambda: self._edit("edited-2", enabled=False)),
            (29.2, lambda: self._edit("edited-3", step=2)),
            (32.0, lambda: self._pause_queue(True)),
            (35.0, lambda: self._pause_queue(False)),
            (37.0, lambda: self._leave("a")),
            (41.0, lambda: self._start("a")),
            (44.5, lambda: self._edit("edited-2", enabled=True)),
            (46.0, lambda: self._kill("a", "b", "c")),
            (48.0, lambda: self._edit("edited-4", enabled=False)),
            (51.5, lambda: self._edit("edited-4", enabled=True)),
            (52.0, lambda: self._edit("edited-1", step=4)),
            (back, lambda: self._start("a", "b", "c")),
            (back + 4.5, lambda: self._edit("edited-2", enabled=False)),
            (back + 7.2, lambda: self._edit("edited-1", enabled=False)),
            (back + 8.0, lambda: self._kill("b")),
            (back + 13.1, lambda: self._edit("edited-1", step=2)),
            (back + 17.0, lambda: self._start("b")),
            (back + 19.0, lambda: self._edit("edited-1", enabled=True)),
            (back + 22.4, lambda: self._edit("edited-2", enabled=True)),
        ]

    # deeds

    def _edit(self, name: str, **changes: bool | int) -> None:
        old = self.definitions[name][-1]
        enabled, step = bool(changes.get("enabled", old.enabled)), int(changes.get("step", old.step))
        change = f"enabled = {int(enabled)}, cron = '*/{step} * * * * *'"
        self._write(name, f"UPDATE schedules SET {change} WHERE name = '{name}'", Definition(enabled, step))

    def _write(self, name: str, statement: str, definition: Definition) -> None:
        before = self.fleet.store.now()
        self.fleet.store.rows(statement)
        d, after = definition, self.fleet.store.now()
        self.definitions[name].append(Definition(d.enabled, d.step, d.there, before, after))

    def _remove(self, name: str) -> None:
        self._write(name, f"DELETE FROM schedules WHERE name = '{name}'", Definition(there=False))

    def _break(self, name: str) -> None:
        """The last good version goes on: for the judge nothing changes."""
        self.fleet.store.rows(f"UPDATE schedules SET cron = 'whenever' WHERE name = '{name}'")

    def _pause_queue(self, paused: bool) -> None:
        self.fleet.store.rows(f"REPLACE INTO queues (name, paused) VALUES ('lonely', {int(paused)})")
        self._mark({"queue"}, down=paused)

    def _kill(self, *names: str) -> None:
        self._mark(set(names), down=True)
        for name in names:
            self.fleet[name].kill()

    def _stop(self, name: str) -> None:
        self._mark({name}, down=True)
        self.fleet[name].stop()

    def _resume(self, name: str) -> None:
        self.fleet[name].resume()
        self._mark({name}, down=False)

    def _leave(self, name: str) -> None:
        self._mark({name}, down=True)
        self.fleet[name].terminate()

    def _start(self, *names: str) -> None:
        self.fleet.start(*names)
        self.fleet.await_live(*names)
        self._mark(set(names), down=False)

    def _mark(self, names: set[str], down: bool) -> None:
        now = self.fleet.store.now()
        for name in names:
            if down:
                self._down[name] = now
            else:
                self.outages.append(Outage(frozenset({name}), self._down.pop(name), now))

    def _all_there(self) -> None:
        """What the time did not suffice for is put right."""
        for name in sorted(self._down):
            if name == "queue":
                self._pause_queue(False)
            elif self.fleet[name].process.poll() is None:
                self._resume(name)
            else:
                self._start(name)
        for name, definitions in self.definitions.items():
            if not definitions[-1].enabled:
                self._edit(name, enabled=True)

    def _seen(self, definitions: Sequence[Definition]) -> list[Definition]:
        """Without those that were there only while no node was: nobody ever saw them."""
        return [d for d, following in followed(definitions) if not self._nobody(d.before, following.after)]

    def _nobody(self, begin: Instant, end: Instant) -> bool:
        away = [each.who for each in self.outages if each.begin <= begin and end <= each.end]
        return frozenset[str]().union(*away) >= {"a", "b", "c"}

    def judge(self) -> Judge:
        """Who knows all this, and what the tasks wrote."""
        store = self.fleet.store
        return Judge(
            definitions={name: self._seen(found) for name, found in self.definitions.items()},
            outages=self.outages,
            first=self.first,
            end=self.end,
            ran=executions(self.fleet.evidence.read_text().splitlines()),
            nodes={row["id"]: row["name"] for row in store.rows("SELECT id, name FROM nodes")},
            lead=wall_clock_lead(store.now),
        )
