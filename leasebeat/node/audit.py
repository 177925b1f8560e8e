"""The auditor: every due instant up to the watermark has its row.

    lead      take the role if its lease is over (term + 1)
    look      store time, term, watermark, digest of the schedules
    refresh   if the digest is not that of the catalog: an auditor that has not read every edit waits
    links     who follows whom, where that has changed
    after_end what is due a while after its last end
    owed      the due instants of (watermark, now - lag]
    missing   those without a row -> open_missing -> missing again, which must be empty
    move      the watermark, from the old value, under the same term

Nothing of this needs a common transaction: inserts go by the primary key like everybody's, and the
watermark moves by compare-and-swap. A crash in between repeats a window, which is harmless. An
auditor that was stopped and comes back inserts ordinary due rows, and its watermark is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from leasebeat.coordination.base import Coordinator
from leasebeat.errors import Refused, StoreError
from leasebeat.gate.base import Gate
from leasebeat.logs import event
from leasebeat.model.instant import DAY, SECOND, Instant, from_seconds, to_text
from leasebeat.model.run import RunKey
from leasebeat.node.after_end import AfterEnd
from leasebeat.node.catalog import Catalog, Changes
from leasebeat.node.links import Links
from leasebeat.node.loop import IDLE_S, Turn
from leasebeat.node.opening import one_of_each_serial
from leasebeat.node.owed import Owed, Walker, Window, audit_rows, owed_by_history, spans
from leasebeat.node.standing import Standing
from leasebeat.runtime import Runtime
from leasebeat.store.base import CLAIM_REACH, AuditLook, OpenRow, Store
from leasebeat.triggers import TriggerGroups, in_window, trigger_key

_RENEW_S = 1.0

_CHUNK = 2_000
"""Instants written before the watermark is moved on: the role's lease is renewed with it."""

_ALL = 1_000_000_000

OLDEST_WATERMARK = DAY
"""An older one is not walked: of a database that came back from a backup, most of that was done long ago."""


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Only fires older than `lag_s` are looked at; a catch-up starts at most so many a second."""

    lag_s: float = 2.0
    role_lease_s: float = 4.0
    catch_up_per_s: int = 50


class Audit:
    """Belongs to its thread, but for what the catalog tells it."""

    name = "audit"

    def __init__(  # the ports it stands between
        self,
        runtime: Runtime,
        store: Store,
        gate: Gate,
        standing: Standing,
        coordinator: Coordinator,
        catalog: Catalog,
        config: AuditConfig,
        links: Links,
        after_end: AfterEnd,
        missed: Callable[[OpenRow], None],
    ) -> None:
        self.waiter = runtime.waiter()
        self._runtime = runtime
        self._store = store
        self._gate = gate
        self._standing = standing
        self._coordinator = coordinator
        self._catalog = catalog
        self._lag = from_seconds(config.lag_s)
        self._lease = from_seconds(config.role_lease_s)
        self._catch_up_per_s = config.catch_up_per_s
        self._links = links
        self._after_end = after_end
        self._missed = missed
        self._spread: Instant = 0  #: until when a catch-up has given out starts
        self._held: int | None = None  #: the term that waits for people because of its watermark
        self._changes: deque[Changes] = deque()
        self._term: int | None = None
        self._groups = TriggerGroups()
        self._owed: list[Owed] = []  #: due, and not yet seen to have a row
        catalog.listen(self._changes.append)

    @property
    def leads(self) -> bool:
        """Whether this node holds the role, as far as it knows."""
        return self._term is not None

    def run_once(self) -> Turn:
        """One tick."""
        node_id, poll = self._standing.node_id, self._standing.poll
        if node_id is None or poll is None or not self._standing.takes_work or not self._standing.dispatches:
            self._term = None
            self._coordinator.withdraw()
            return Turn()
        try:
            return self._audit(node_id)
        except StoreError:
            self._coordinator.withdraw()  # another may reach the store
            raise

    def _audit(self, node_id: str) -> Turn:
        if self._term is None and not self._may_try(node_id):
            self._changes.clear()  # a term begins with everything read anew
            return Turn()
        look = self._store.audit_look(node_id)
        if look.term is None:
            self._lose_role()
            return Turn()
        if look.digest != self._catalog.digest:
            self._catalog.refresh()
            if look.digest != self._catalog.digest:
                return Turn(0.1)  # edited again meanwhile: look anew
        if look.term != self._term:
            if self._too_old(node_id, look):
                return Turn()
            self._begin_term(look)
        self._links.write(node_id, look.term, look.now)
        opened, pause = self._after_end.open_due(node_id, look.now)
        if opened:
            self._queued()
        turn = self._tick(node_id, look)
        return Turn(min(pause, turn.wait_s), turn.did + opened)

    def _too_old(self, node_id: str, look: AuditLook) -> bool:
        """Whether people must say from when on to audit. The role is kept meanwhile: it is said once."""
        watermark, term = look.watermark, look.term
        if watermark is None or term is None or look.now - watermark <= OLDEST_WATERMARK:
            return False
        self._store.move_watermark(node_id, term, watermark, watermark, self._lease, self._lag)
        if self._held != term:
            self._held = term
            event(
                "ERROR",
                "watermark_old",
                "the watermark is more than 24 h old, as after a restore from a backup; nothing is audited"
                " until you say from when on: python scheduler.py audit --from now",
                watermark=to_text(watermark),
            )
        return True

    def _may_try(self, node_id: str) -> bool:
        """Who else may be trying: every node that sees the lease over. The row's update decides."""
        poll = self._standing.poll
        role = poll.auditor if poll else None
        if poll is None or not self._coordinator.may_lead():
            return False
        if role is None:  # somebody removed the row: whoever leads puts it back
            return self._store.lead(node_id, self._lease)
        if role.holder == node_id and not role.expired:
            return True  # taken by a statement whose reply was lost
        return role.expired and self._store.lead(node_id, self._lease)

    def _lose_role(self) -> None:
        if self._term is not None:
            event("WARNING", "auditor_lost", "no longer the auditor", term=self._term)
        self._term = None

    def _begin_term(self, look: AuditLook) -> None:
        watermark = look.now - self._lag if look.watermark is None else look.watermark
        event("INFO", "auditor", "this node is the auditor now", term=look.term, watermark=to_text(watermark))
        if watermark > look.now:
            event(
                "ERROR", "watermark_ahead", "the watermark lies in the future; nothing is audited until then"
            )
        self._groups, self._owed = TriggerGroups(), []
        self._changes.clear()
        self._links.forget()
        self._spread = self._store.catch_up_until()
        history = self._store.history(watermark)
        edited = {version.schedule_id for version in history if version.valid_from > watermark}
        until = max([look.now, *(version.valid_from for version in history)])
        walker = Walker(watermark, until, self._keep_role(look))
        self._owe(owed_by_history([v for v in history if v.schedule_id in edited], walker))
        for entry in self._catalog.entries():
            if entry.version.schedule_id in edited:
                self._follow(entry.version.schedule_id, until)
            elif look.now - watermark <= CLAIM_REACH:
                self._follow(entry.version.schedule_id, watermark)
            else:  # a long way back is walked at once, so that a span can be told as one
                self._owed += spans(entry.version.schedule_id, walker.owed_by(entry, watermark, until))
                self._follow(entry.version.schedule_id, until)
        # Last: had the store not answered above, the term would have begun with nothing owed.
        self._term = look.term

    def _keep_role(self, look: AuditLook) -> Callable[[], None]:
        """Renew the role's lease during a long walk, by moving the watermark from where it is to there."""
        node_id, term, watermark = self._standing.node_id, look.term, look.watermark
        renewed = self._runtime.monotonic()

        def keep() -> None:
            nonlocal renewed
            now = self._runtime.monotonic()
            if watermark is None or term is None or node_id is None or now - renewed < _RENEW_S:
                return
            renewed = now
            if not self._store.move_watermark(node_id, term, watermark, watermark, self._lease, self._lag):
                raise Refused("the auditor's role was taken during a long walk; another node goes on")

        return keep

    def _tick(self, node_id: str, look: AuditLook) -> Turn:
        term = look.term
        assert term is not None
        watermark = look.watermark
        if watermark is not None and watermark > look.now - self._lag:
            return Turn()  # the store's clock was set back: nothing is due for the audit before it is there
        window = self._window(look)
        self._take_in_changes(window)
        self._take_from_heap(window.cut)
        while True:
            chunk, upto = self._chunk(window.cut)
            if not self._open(node_id, term, chunk, window):
                self._catalog.doubt()
                return Turn(IDLE_S / 2)
            if watermark is None or upto > watermark:
                moved = self._store.move_watermark(node_id, term, watermark, upto, self._lease, self._lag)
                if not moved:
                    self._lose_role()
                    return Turn(IDLE_S)
            del self._owed[: len(chunk)]
            watermark = max(upto, watermark or 0)
            if upto == window.cut:
                return Turn(IDLE_S, len(chunk))

    def _take_from_heap(self, cut: Instant) -> None:
        for due in self._groups.due(cut, 0, _ALL):
            for schedule_id in due.schedule_ids:
                entry = self._catalog.get(schedule_id)
                if entry is not None and entry.schedule and in_window(entry.schedule, due.instant):
                    self._owed.append(Owed(RunKey(due.instant, schedule_id)))
        self._owed.sort(key=lambda owed: owed.key)

    def _window(self, look: AuditLook) -> Window:
        cut = look.now - self._lag
        after = cut if look.watermark is None else look.watermark
        return Window(after, max(cut, after), look.now, catch_up=cut - after > CLAIM_REACH)

    def _chunk(self, cut: Instant) -> tuple[list[Owed], Instant]:
        """The oldest owed instants up to the cut, whole instants at a time, and how far they reach."""
        end = bisect_right(self._owed, cut, key=lambda owed: owed.key.fire_at)
        if end <= _CHUNK:
            return self._owed[:end], cut
        last = self._owed[_CHUNK - 1].key.fire_at
        size = bisect_right(self._owed, last, hi=end, key=lambda owed: owed.key.fire_at)
        return self._owed[:size], (last if size < end else cut)

    # opening what is missing

    def _open(self, node_id: str, term: int, chunk: Sequence[Owed], window: Window) -> bool:
        """Give a row to each that has none. False if some still have none: then the watermark must wait.

        Who else may be opening them now: a late rank, or an auditor that does not know yet that it
        is one no more. Their rows are as good as ours.
        """
        if not chunk:
            return True
        by_key = {owed.key: owed for owed in chunk}
        missing = self._store.missing(list(by_key))
        if not missing:
            return True
        rows = self._rows([by_key[key] for key in missing], window)
        for batch in one_of_each_serial(rows):
            self._store.open_missing(node_id, term, batch, self._lag)
        for row in rows:
            if row.status == "missed":
                self._missed(row)
        event("WARNING", "fires_found", "due fires without a row: opened or recorded", fires=len(rows))
        self._queued()
        return not self._store.missing(missing)

    def _queued(self) -> None:
        """For any node, this one too: Redis tells it as well as the others, the poll where there is none."""
        self._gate.notify("queue")

    def _rows(self, missing: Sequence[Owed], window: Window) -> list[OpenRow]:
        """A catch-up is spread: at most so many starts a second."""
        rows: list[OpenRow] = []
        for owed in missing:
            newest = self._catalog.get(owed.key.schedule_id)
            rows += audit_rows(owed, newest, window, self._standing.ranking)
        return [self._spread_out(row, window) for row in rows] if window.catch_up else rows

    def _spread_out(self, row: OpenRow, window: Window) -> OpenRow:
        if row.status != "queued":
            return row
        self._spread = max(self._spread, window.now + row.delay)
        delay = self._spread - window.now
        # A little slower than the nodes may take them, so that they do not pile up.
        self._spread += SECOND * 4 // (3 * self._catch_up_per_s)
        return replace(row, delay=delay)

    # edits

    def _take_in_changes(self, window: Window) -> None:
        """An edited schedule is owed what its history says up to now, and goes on with its newest version.

        A version that is seen late may be valid from before the watermark: then its instants up to
        there are owed, too.
        """
        while self._changes:
            entries = self._changes[0]  # taken off when all was read: the store may fail to answer
            ids = sorted(entry.version.schedule_id for entry in entries)
            after = min(window.after, *(entry.version.valid_from for entry in entries))
            until = max(window.now, *(entry.version.valid_from for entry in entries))
            known = {owed.key for owed in self._owed}
            walker = Walker(after, until)
            self._owe(
                (schedule_id, instant)
                for schedule_id, instant in owed_by_history(self._store.history(after, ids), walker)
                if RunKey(instant, schedule_id) not in known
            )
            for schedule_id in ids:
                self._follow(schedule_id, until)
            self._changes.popleft()

    def _follow(self, schedule_id: int, after: Instant) -> None:
        entry = self._catalog.get(schedule_id)
        if entry is not None and entry.fires and entry.schedule and entry.trigger:
            since = max(after, entry.version.valid_from)
            self._groups.put(schedule_id, trigger_key(entry.schedule), entry.trigger, since)
        else:
            self._groups.remove(schedule_id)

    def _owe(self, due: Iterable[tuple[int, Instant]]) -> None:
        by_schedule: dict[int, list[Instant]] = {}
        for schedule_id, instant in due:
            by_schedule.setdefault(schedule_id, []).append(instant)
        for schedule_id, found in by_schedule.items():
            self._owed += spans(schedule_id, found)
