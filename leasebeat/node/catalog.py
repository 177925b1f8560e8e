"""What a node knows of the schedules: the newest recorded version of each row, and what runs for it.

    schedules row  --read-->  verdict  --see_versions-->  schedule_history row  --read back-->  Entry

The first node that reads a new row version records it with its verdict; the record binds all nodes,
and claims name it. So a version that nobody has recorded is never run, and a broken row keeps its
last good version everywhere, also after all nodes were restarted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from leasebeat.errors import (
    Busy,
    DefinitionError,
    Duplicate,
    LeasebeatError,
    Refused,
    StoreError,
    Unavailable,
    Unknown,
)
from leasebeat.logs import event
from leasebeat.model.instant import SECOND, Instant, Micros
from leasebeat.model.schedule import PEOPLES_COLUMNS, RowDict, Schedule, schedule_from_row
from leasebeat.node.calendars import outdated, with_days
from leasebeat.node.judge import judge
from leasebeat.runtime import Runtime
from leasebeat.store.base import BATCH, RowVersion, ScheduleLook, SeenRow, Store, Version
from leasebeat.triggers import Trigger, in_window, trigger_for


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule as a node holds it. `schedule` is None where there is no version that could run."""

    version: Version
    schedule: Schedule | None
    trigger: Trigger | None
    as_of: Instant  #: the store's time of the look that showed it

    @property
    def fires(self) -> bool:
        """Whether it makes fires at all: enabled, there, and usable."""
        return self.version.enabled and not self.version.deleted and self.trigger is not None

    def has(self, instant: Instant) -> bool:
        """Whether the instant is one of its fires."""
        return (
            self.runs_at(instant) and self.trigger is not None and self.trigger.next(instant - 1) == instant
        )

    def runs_at(self, instant: Instant) -> bool:
        """Whether it may run an instant of its trigger: it is in use, and the instant in its window."""
        return self.fires and self.schedule is not None and in_window(self.schedule, instant)


_TRIES = 3

_NOTHING = "{}"
"""The definition of a version that could not be recorded as it is."""

_LONGEST_LOOK: Micros = 3 * SECOND
"""A look is answered within this, or not at all."""

_DEFINITIONS = 4096
"""How many definitions of versions are remembered for launches."""

Changes = Sequence[Entry]
"""Entries that are new or other than before; a deleted schedule's says so in its version."""


class Catalog:
    """All schedules of the store. `refresh` may be called from any thread; two at once do no harm."""

    def __init__(self, runtime: Runtime, store: Store) -> None:
        self._store = store
        self._lock = runtime.lock()
        self._entries: dict[int, Entry] = {}
        self._heard: list[Callable[[Changes], None]] = []
        self._current: dict[int, Schedule] = {}  # by version: what entries run
        self._definitions: dict[int, Schedule | None] = {}  # by version: older ones, as they were asked for
        self._looked_at: Instant = 0
        self._audited: Instant = 0
        self._names: dict[int, str] = {}
        self._recorded_here: set[tuple[int, str]] = set()  #: until they are told of
        self._doubted = False  #: the recorded versions may be others than these, too
        self.digest = ""

    def listen(self, heard: Callable[[Changes], None]) -> None:
        """Call `heard` with what every refresh changed, from the refreshing thread; it must not block."""
        self._heard.append(heard)

    def get(self, schedule_id: int) -> Entry | None:
        """The schedule's entry; also one that was deleted since this node started."""
        return self._entries.get(schedule_id)

    def entries(self) -> list[Entry]:
        """All entries, as they stand."""
        with self._lock:
            return list(self._entries.values())

    def schedule_of(self, version: int) -> Schedule | None:
        """The definition that a schedule_history row holds; None if it has none that can be read.

        The store is asked for older versions only: a burst of first fires must not cost a question each.
        """
        if (current := self._current.get(version)) is not None:
            return current
        if version not in self._definitions:
            if len(self._definitions) >= _DEFINITIONS:
                self._definitions = {}
            self._definitions[version] = _readable(self._store.definition(version))
        return self._definitions[version]

    def unchanged(self, digest: str, now: Instant) -> None:
        """A poll has shown that at `now` all rows were as at the last look: an edit seen next is younger."""
        with self._lock:
            if digest == self.digest:
                self._looked_at = now

    def doubt(self) -> None:
        """The store refused what fits this catalog: the next look finds out what it has not seen."""
        with self._lock:
            self.digest, self._doubted = "", True

    def audited(self, watermark: Instant | None) -> None:
        """The auditor had read every row as it stood at the watermark: what nobody has recorded is younger.

        A node that has just started knows it only by this.
        """
        self._audited = watermark or 0

    def news(self, version: Version) -> bool:
        """Whether this node was the one that recorded it: asked once, by whoever tells people."""
        key = version.schedule_id, version.version
        known = key in self._recorded_here
        self._recorded_here.discard(key)
        return known

    def name_of(self, schedule_id: int) -> str:
        """The schedule's name; its id where no row of it was ever read here."""
        entry = self._entries.get(schedule_id)
        known = entry.schedule.name if entry and entry.schedule else None
        return known or self._names.get(schedule_id, str(schedule_id))

    def refresh(self) -> None:
        """Read what changed, record what nobody has recorded, and take in what was recorded."""
        if self._look():
            self._look()

    def _look(self) -> bool:
        """Whether rows were made new, for the days of their calendars, and want another look."""
        last_read = max(self._looked_at, self._audited)
        doubted = self._doubted
        look = self._store.look_at_schedules()
        changed = [row for row in look.rows if doubted or self._is_new(row)]
        present = {row.schedule_id for row in look.rows}
        gone = [e.version.schedule_id for e in self.entries() if _vanished(e, present, look.now)]
        if not self._looked_at:
            gone += self._store.vanished()  # deleted while no node was there to see it
        self._record(changed, gone, last_read)
        ids = sorted({row.schedule_id for row in changed} | set(gone))
        settled = self._take_in(look, ids, changed)
        if settled and self._touch_outdated():
            return True
        with self._lock:
            # Only now: where the days could not be looked at, the next poll must find another digest.
            if settled and look.now == self._looked_at:
                self.digest = look.digest
            if doubted:
                self._doubted = False
        return False

    def _touch_outdated(self) -> bool:
        """Other nodes may be touching the same rows now: the first one does, and all look again."""
        rows = outdated(self._store, [(entry.version, entry.schedule) for entry in self.entries()])
        if rows:
            self._store.touch(rows)
        return bool(rows)

    def _is_new(self, row: RowVersion) -> bool:
        entry = self._entries.get(row.schedule_id)
        return entry is None or (entry.version.version, entry.version.updated_at) != (
            row.version,
            row.updated_at,
        )

    def _record(self, changed: Sequence[RowVersion], gone: Sequence[int], last_read: Instant) -> None:
        """Other nodes may be recording the same versions now: the first one's record stands."""
        for start in range(0, len(changed), BATCH):
            ids = [row.schedule_id for row in changed[start : start + BATCH]]
            rows = with_days(self._store, self._store.schedule_rows(ids))
            known = {v.schedule_id: v for v in self._store.versions(ids)}
            unseen = [row for row in rows if not _recorded(row, known)]
            if unseen:
                self._names.update({int(str(row["id"])): str(row["name"]) for row in unseen})
                former = self._store.definitions([v.id for v in known.values()]) if known else {}
                self._see([_seen(row, last_read, known, former) for row in unseen])
                self._store.report_problems(ids)
        if gone:
            with suppress(Duplicate):  # another node has just recorded it
                self._store.see_deleted(gone, last_read)
            self._store.report_problems(gone)

    def _see(self, rows: Sequence[SeenRow]) -> None:
        """Sent again where another node has just recorded one; what is left over shows as new next time."""
        for _ in range(_TRIES):
            try:
                if self._store.see_versions(rows) == len(rows):
                    self._recorded_here.update((row.schedule_id, row.version) for row in rows)
            except Busy:
                continue
            except (Unknown, Unavailable):
                raise
            except (StoreError, Refused) as refusal:
                self._see_one_by_one(rows, refusal)
            return

    def _see_one_by_one(self, rows: Sequence[SeenRow], refusal: LeasebeatError) -> None:
        """The store refuses the batch: one bad row must not keep the others from being read."""
        if len(rows) > 1:
            for row in rows:
                self._see([row])
        elif rows[0].definition != _NOTHING:
            self._see(
                [
                    replace(
                        rows[0],
                        definition=_NOTHING,
                        diff=None,
                        problem=f"the row cannot be recorded: {refusal}",
                    )
                ]
            )
        else:
            event("ERROR", "row_unrecorded", "a schedule's row cannot even be recorded", error=refusal)

    def _take_in(self, look: ScheduleLook, ids: Sequence[int], changed: Sequence[RowVersion]) -> bool:
        """Whether every row was taken in as it was looked at, and no other thread has looked since."""
        entries = [entry_of(version, look.now) for version in self._store.versions(ids)] if ids else []
        with self._lock:
            if self._looked_at - _LONGEST_LOOK < look.now < self._looked_at:
                return False  # another thread has looked after it; further back, the store's clock was set
            changes = [e for e in entries if self._differs(e)]
            for entry in changes:
                self._put(entry)
            # A row that is not recorded as it was looked at (edited again, or busy) is looked at again.
            left = any(self._is_new(row) for row in changed)
            if left:
                self.digest = ""
            else:  # or it would be said of this look that it still showed the row before
                self._looked_at = look.now
        for entry in changes:
            _tell(entry, self.name_of(entry.version.schedule_id))
        if changes:
            for heard in self._heard:
                heard(changes)
        return not left

    def _put(self, entry: Entry) -> None:
        version, old = entry.version, self._entries.get(entry.version.schedule_id)
        if old is not None:
            self._current.pop(old.version.id, None)
        if entry.schedule is not None and version.runs_as == version.id:
            self._current[version.id] = entry.schedule
        self._entries[version.schedule_id] = entry

    def _differs(self, entry: Entry) -> bool:
        old = self._entries.get(entry.version.schedule_id)
        return old is None or old.version != entry.version


def entry_of(version: Version, as_of: Instant) -> Entry:
    """The entry that a recorded version makes."""
    schedule = _schedule(version.definition) if version.runs_as and version.definition else None
    if schedule and version.problem and version.ends_at is not None:
        schedule = replace(schedule, ends_at=version.ends_at)
    return Entry(version, schedule, trigger_for(schedule) if schedule else None, as_of)


def _vanished(entry: Entry, present: set[int], now: Instant) -> bool:
    # An entry taken in by another thread after this look was begun is not missing from it.
    return not entry.version.deleted and entry.version.schedule_id not in present and entry.as_of <= now


def _recorded(row: RowDict, known: Mapping[int, Version]) -> bool:
    version = known.get(int(str(row["id"])))
    return version is not None and (version.version, version.updated_at) == (
        row["version"],
        row["updated_at"],
    )


def _seen(
    row: RowDict, last_read: Instant, known: Mapping[int, Version], definitions: Mapping[int, str]
) -> SeenRow:
    problem, definition = (
        _problem(row),
        {"id": row["id"], **{name: row.get(name) for name in PEOPLES_COLUMNS}},
    )
    if "calendar_days" in row:
        definition["calendar_days"] = row["calendar_days"]
    try:
        text = json.dumps(definition, default=str, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as unusable:
        text, problem = _NOTHING, problem or f"the row cannot be recorded: {unusable}"
    former = known.get(int(str(row["id"])))
    return SeenRow(
        schedule_id=int(str(row["id"])),
        version=str(row["version"]),
        updated_at=int(str(row["updated_at"])),
        definition=text,
        problem=problem,
        last_read=last_read,
        diff=_diff(definitions.get(former.id), text) if former else None,
    )


def _diff(former: str | None, definition: str) -> str | None:
    """What changed from the version before it, as JSON: column to [before, after]; None: not to be told."""
    before, after = json.loads(former or _NOTHING), json.loads(definition)
    if not before or not after:
        return None  # one of the two could not be recorded
    changed = {name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]}
    return json.dumps(changed, ensure_ascii=False)


def _problem(row: RowDict) -> str | None:
    try:
        judge(row)
    except (DefinitionError, ValueError, OverflowError, RecursionError) as problem:
        return str(problem)
    return None


def _schedule(definition: str) -> Schedule | None:
    """A recorded definition was judged good by the node that recorded it, perhaps of another build."""
    try:
        return judge(json.loads(definition))
    except DefinitionError as problem:
        event(
            "ERROR", "definition_unreadable", "a recorded version cannot be run by this node", error=problem
        )
        return None


def _readable(definition: str | None) -> Schedule | None:
    try:
        return schedule_from_row(json.loads(definition)) if definition else None
    except DefinitionError:
        return None


def _tell(entry: Entry, name: str) -> None:
    version = entry.version
    if version.problem:
        stands_in = "its last good version keeps running" if version.good_id else "it does not run"
        event(
            "ERROR",
            "schedule_problem",
            f"schedule cannot be used: {version.problem}; {stands_in}",
            schedule=name,
        )
    elif version.deleted:
        event("INFO", "schedule_deleted", "schedule is gone", schedule_id=version.schedule_id)
    else:
        event(
            "DEBUG",
            "schedule_read",
            "schedule read",
            schedule=name,
            version=version.id,
            enabled=version.enabled,
        )
