"""What the server itself writes down of every committed change, and how it becomes the checkers' evidence.

Triggers write a row beside each change of `runs`, `nodes`, `roles` and `schedules`, in the changing
transaction: what is rolled back leaves none. `at` is SYSDATE, the moment of the change, `began` NOW,
that of its statement, `connection` who did it. Changes of one row are in their order, for its lock is
held from the change to the commit; what a commit makes visible comes a moment later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.store.base import Version
from leasebeat.testing.simstore.base import NodeChange, RowChange, WatermarkMove
from leasebeat.testing.simstore.tables import RunChange
from leasebeat.testing.store_chaos.people import Deed
from leasebeat.testing.store_chaos.session import Record

_STAMP = "CAST(UNIX_TIMESTAMP({}) * 1000000 AS SIGNED)"


def micros(datetime: str) -> str:
    """The SQL that gives a DATETIME in UTC as an instant."""
    return f"TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', {datetime})"


TABLE = """\
CREATE TABLE chaos_journal (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, at BIGINT NOT NULL, began BIGINT NOT NULL,
  connection BIGINT NOT NULL, kind VARCHAR(10) NOT NULL, what LONGTEXT NOT NULL
) ENGINE=InnoDB"""


def _trigger(table: str, event: str, kind: str, what: Mapping[str, str], when: str = "TRUE") -> str:
    pairs = ", ".join(f"'{name}', {value}" for name, value in what.items())
    at, began = _STAMP.format("SYSDATE(6)"), _STAMP.format("NOW(6)")
    # VALUES, not SELECT: that would lock the whole journal until the end of the changing statement.
    return (
        f"CREATE TRIGGER chaos_{table}_{event} AFTER {event} ON {table} FOR EACH ROW\n"
        f"IF {when} THEN\n"
        f"  INSERT INTO chaos_journal (at, began, connection, kind, what)\n"
        f"  VALUES ({at}, {began}, CONNECTION_ID(), '{kind}', JSON_OBJECT({pairs}));\n"
        f"END IF"
    )


def _run(was: str) -> dict[str, str]:
    plain = ("schedule_id", "shard", "status", "attempt", "node_id", "version", "origin")
    times = {name: micros(f"NEW.{name}") for name in ("fire_at", "claimed_at")}
    return {"was": was, **{name: f"NEW.{name}" for name in plain}, **times}


def _schedule(row: str) -> dict[str, str]:
    plain = {name: f"{row}.{name}" for name in ("id", "cron", "enabled", "version")}
    times = {name: micros(f"{row}.{name}") for name in ("starts_at", "ends_at")}
    return {**plain, **times, "updated_at": _STAMP.format(f"{row}.updated_at")}


def _node(was: str, beat: str) -> dict[str, str]:
    return {"id": "NEW.id", "was": was, "state": "NEW.state", "beat_at": micros(beat)}


_WATERMARK = {
    "role_term": "OLD.term",
    "old": micros("OLD.watermark"),
    "new": micros("NEW.watermark"),
}

STATEMENTS: tuple[str, ...] = (
    TABLE,
    _trigger("runs", "INSERT", "run", _run("NULL")),
    _trigger(
        "runs",
        "UPDATE",
        "run",
        _run("OLD.status"),
        "NEW.status <> OLD.status OR NEW.attempt <> OLD.attempt OR NOT (NEW.node_id <=> OLD.node_id)",
    ),
    _trigger("nodes", "INSERT", "node", _node("NULL", "NEW.beat_at")),
    _trigger("nodes", "UPDATE", "node", _node("OLD.state", "OLD.beat_at"), "NEW.state <> OLD.state"),
    _trigger("roles", "UPDATE", "watermark", _WATERMARK, "NOT (NEW.watermark <=> OLD.watermark)"),
    _trigger("schedules", "INSERT", "schedule", _schedule("NEW")),
    # An UPDATE that changes nothing fires triggers too, and shows them an updated_at that is never written.
    _trigger("schedules", "UPDATE", "schedule", _schedule("NEW"), "NEW.version <> OLD.version"),
    _trigger("schedules", "DELETE", "deletion", {"id": "OLD.id"}),
)
"""What makes the journal, by the account that owns the tables."""


@dataclass(frozen=True, slots=True)
class Written:
    """A row of the journal."""

    at: Instant
    began: Instant
    connection: int
    kind: str
    what: dict[str, Any]


def written(row: Mapping[str, Any]) -> Written:
    """The journal's row as it is read."""
    return Written(row["at"], row["began"], row["connection"], row["kind"], json.loads(row["what"]))


Deeds = Mapping[int, Sequence[Deed]]
"""What people did, by connection."""


class History:
    """The journal, in the words of the checkers."""

    def __init__(
        self,
        rows: Sequence[Written],
        record: Record,
        deeds: Deeds,
        versions: Iterable[Version],
    ) -> None:
        self._record = record
        self._deeds = deeds
        self._runs_as = {(v.schedule_id, v.version, v.updated_at, v.runs_as) for v in versions}
        self._moves = [self._move(row) for row in rows if row.kind == "watermark"]
        self._edits: dict[int, list[tuple[Instant, RowChange]]] = {}
        for deed, row in self._last_words(rows):
            self._edits.setdefault(row.what["id"], []).append((deed.sent, self._edit(row, deed.answered)))
        edits = [edit for found in self._edits.values() for _, edit in found]
        self._ends = [row for row in rows if row.kind == "run" and _is_end(row)]
        nodes = [self._node(row) for row in rows if row.kind == "node"]
        runs = [self._run(row) for row in rows if row.kind == "run"]
        self.entries: list[Any] = [*edits, *self._moves, *nodes, *runs]

    def _move(self, row: Written) -> WatermarkMove:
        sent = self._record.statement(row.connection, row.began)
        node_id, term = str(sent.params["node_id"]), int(str(sent.params["term"]))
        what = row.what
        return WatermarkMove(row.at, row.at, node_id, term, what["role_term"], what["old"], what["new"])

    def _node(self, row: Written) -> NodeChange:
        what = row.what
        sent = self._record.statement(row.connection, row.began)
        watched = sent.name != "purge" or bool(sent.params["watched"])
        return NodeChange(row.at, what["id"], what["was"], what["state"], what["beat_at"], watched)

    def _uncommitted_ends(self, row: Written) -> list[Instant]:
        return [
            end.at
            for end in self._ends
            if end.what["schedule_id"] == row.what["schedule_id"]
            and end.at <= row.began <= self._record.committed_by(end.connection, end.began)
        ]

    def _last_words(self, rows: Sequence[Written]) -> list[tuple[Deed, Written]]:
        """Of each schedule and transaction the last change, in the order of the commits."""
        last: dict[tuple[Deed, int], Written] = {}
        for row in rows:
            if row.kind in ("schedule", "deletion"):
                # A restarted server gives the same numbers again, and who lost his may still be there.
                deed = [deed for deed in self._deeds[row.connection] if deed.began <= row.at][-1]
                last[deed, row.what["id"]] = row
        return sorted(((deed, row) for (deed, _), row in last.items()), key=lambda each: each[0].answered)

    def _edit(self, row: Written, at: Instant) -> RowChange:
        before = [move.new for move in self._moves if move.at <= at]
        content = row.what if row.kind == "schedule" else None
        return RowChange(at, at, row.what["id"], content, before[-1] if before else None)

    def _run(self, row: Written) -> RunChange:
        what = row.what
        key = RunKey(what["fire_at"], what["schedule_id"], what["shard"])
        sent = self._record.statement(row.connection, row.began)
        return RunChange(
            at=row.at,
            now=row.began,
            statement=sent.name,
            key=key,
            was=what["was"],
            status=what["status"],
            attempt=what["attempt"],
            node_id=what["node_id"],
            claimed_at=what["claimed_at"],
            writer=_writer(sent.params, key) if sent.name == "finish" else None,
            began=self._snapshot(row),
            version=what["version"],
            origin=what["origin"],
        )

    def _snapshot(self, row: Written) -> Instant:
        """When an insert looked at the tables: after it began, before its first row.

        An edit takes hold between its COMMIT and the answer to that. If one took hold while the insert
        may have been about to look, and is what the insert saw, then it looked after that edit. A run
        whose end was written, but perhaps not committed yet when it looked, was open to it.
        """
        if row.what["status"] == "skipped":
            return min([row.began, *self._uncommitted_ends(row)])
        for sent, edit in self._edits.get(row.what["schedule_id"], []):
            if edit.row is None or not sent <= row.at or not edit.at > row.began:
                continue
            seen = (edit.schedule_id, edit.row["version"], edit.row["updated_at"], row.what["version"])
            if seen in self._runs_as:
                return edit.at
        return row.began


def _is_end(row: Written) -> bool:
    return row.what["was"] is not None and row.what["status"] not in ("queued", "running")


def _writer(params: Mapping[str, Any], key: RunKey) -> tuple[str, int] | None:
    """In whose name the end of that run was written: (node, attempt)."""
    for fire_at, schedule_id, shard, attempt, *_ in json.loads(params["rows"]):
        if (fire_at, schedule_id, shard) == key:
            return params["node_id"], attempt
    return None
