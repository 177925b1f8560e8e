"""What people's commands and the console do to the store. Nothing here belongs to the protocol.

Everything that a command changes, anybody with SQL may change too: the nodes notice edits of rows,
not calls of these methods. Records have the columns of their tables and views, instants as integers.

Raises NotFound, Refused, and what a session raises (StoreError).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase

from leasebeat.errors import Duplicate, NotFound, Refused
from leasebeat.model.instant import Instant, to_text
from leasebeat.model.node import NodeState
from leasebeat.model.run import ENDED, TRANSITIONS, RunKey, Status, key_text
from leasebeat.model.schedule import schedule_from_row
from leasebeat.store.desk_backfill import DeskBackfill
from leasebeat.store.desk_base import at, text_of
from leasebeat.store.desk_history import DeskHistory
from leasebeat.store.desk_past import DeskPast
from leasebeat.store.desk_tables import DeskTables
from leasebeat.store.session import Record, SqlValue

__all__ = ["Desk"]

SAME_MOMENT = 1000
"""How many runs may be asked for by hand in one microsecond."""

BEGINNING: Instant = 0


class Desk(DeskBackfill, DeskHistory, DeskPast, DeskTables):
    """People's commands over one session."""

    # runs

    def run_now(self, name: str, args: str | None = None, requested_by: str | None = None) -> RunKey:
        """Put a run of the schedule into the queue, at the store's time. `args` is a JSON object or None.

        It is due at a microsecond of its own: asked for twice at once, it runs twice. Raises NotFound.
        """
        now, schedule_id = self.now(), self.schedule(name)["id"]
        for moment in range(now, now + SAME_MOMENT):
            try:
                inserted = self._session.execute(
                    "desk_run_now",
                    schedule=name,
                    fire_at=text_of(moment),
                    args=args,
                    requested_by=requested_by,
                )
            except Duplicate:
                continue  # somebody asked in the same microsecond, or a fire was due in it
            if inserted:
                self._did("run", name, text_of(moment))
                return RunKey(moment, schedule_id)
            break
        raise NotFound(f"{name!r} was removed meanwhile, or its every microsecond is taken")

    def run(self, key: RunKey) -> Record:
        """A row of `run_list`. Raises NotFound."""
        for record in self._session.query("desk_run", **at(key)):
            return record
        raise NotFound(f"no run of schedule {key.schedule_id} at {text_of(key.fire_at)}, shard {key.shard}")

    def run_named(self, name: str, fire_at: Instant, shard: int = 0) -> RunKey:
        """The run of a text key, by the schedule's name now, else by its name then. Raises NotFound."""
        records = self._session.query("desk_runs_at", fire_at=text_of(fire_at), shard=shard)
        for column in ("name", "schedule"):
            for record in records:
                if record[column] == name:
                    return RunKey(fire_at, record["schedule_id"], shard)
        text = key_text(name, RunKey(fire_at, 0, shard))
        raise NotFound(f"there is no run {text}; `leasebeat runs {name}` shows what there is")

    def runs(
        self,
        pattern: str | None = None,
        statuses: Sequence[str] = (),
        since: Instant | None = None,
        limit: int = 50,
    ) -> list[Record]:
        """Rows of `run_list`, the newest first. `pattern` is a name or like `billing/*`; no status: all.

        Removed schedules are found by their last names, where no schedule that is there matches.
        """
        wanted: dict[str, SqlValue] = {
            "since": text_of(since or BEGINNING),
            "statuses": json.dumps([str(status) for status in statuses]) if statuses else None,
            "limit": limit,
        }
        if pattern is None:
            return self._session.query("desk_runs", **wanted)
        ids = self.ids_of(pattern)
        return self._session.query("desk_runs_of", ids=json.dumps(ids), **wanted) if ids else []

    def ids_of(self, pattern: str) -> list[int]:
        """Schedules that are called so; if none is, those that were called so before they were removed."""
        there = [(record["id"], record["name"]) for record in self._session.query("desk_names")]
        found = [schedule_id for schedule_id, name in there if fnmatchcase(name, pattern)]
        if found:
            return found
        gone = self._session.query("desk_names_gone")
        names = [(record["schedule_id"], json.loads(record["definition"])["name"]) for record in gone]
        return [schedule_id for schedule_id, name in names if fnmatchcase(name, pattern)]

    def attempts(self, key: RunKey) -> list[Record]:
        """Every try at a run, in order, the last too."""
        return self._session.query("desk_attempts", **at(key))

    def output(self, key: RunKey, attempt: int) -> Record | None:
        """What a try printed: `output` (bytes, its end) and `output_bytes` (its size); None: nothing."""
        records = self._session.query("desk_output", attempt=attempt, **at(key))
        return records[0] if records else None

    def kill(self, key: RunKey, requested_by: str | None = None) -> None:
        """Ask that an open run ends. Raises NotFound, and Refused if it has ended."""
        if not self._session.execute("desk_kill", requested_by=requested_by, **at(key)):
            row = self.run(key)
            raise Refused(f"{_name(row)} has ended: {row['status']}")
        self._did("kill", _name(self.run(key)))

    def kill_of(self, names: Sequence[str], requested_by: str | None = None) -> int:
        """Ask that all open runs of these schedules end; how many were asked."""
        count = self._session.execute(
            "desk_kill_of", names=json.dumps(list(names)), requested_by=requested_by
        )
        if count:
            self._did("kill", f"{count} runs", ", ".join(names))
        return count

    def retry(self, key: RunKey, requested_by: str | None = None) -> None:
        """Put an ended run back into the queue as its next attempt; its former end goes to `attempts`.

        It runs the definition that it ran before; a fire that was never divided into its shards, the
        one that stands. Where its schedule lets runs wait, it waits for those that are open. One
        transaction. Raises NotFound, and Refused for a run that is open or has succeeded, where another
        open run holds what it must hold, and where it was for a node that is gone.
        """
        serial = None
        try:
            with self._session.transaction():
                self._check_ended(key)
                wanted = self._wanted(key)
                serial = wanted["serial"]
                self._session.execute("desk_keep_end", **at(key))
                if not self._session.execute("desk_retry", requested_by=requested_by, **wanted, **at(key)):
                    raise Refused("somebody else opened it again meanwhile")
                self._did("retry", _name(self.run(key)))
        except Duplicate as problem:
            raise Refused(self._in_the_way(serial)) from problem

    def _check_ended(self, key: RunKey) -> None:
        """Whether the run may be opened again. Raises NotFound, Refused."""
        row = self.run(key)
        status = Status(row["status"])
        if status not in ENDED:
            raise Refused(f"{_name(row)} is {status}: only a run that has ended can be opened again")
        if Status.QUEUED not in TRANSITIONS[status]:
            raise Refused(f"{_name(row)} has {status}; `leasebeat run {row['schedule']}` runs it anew")
        if row["until"] is not None:
            raise Refused(
                f"{_name(row)} stands for {row['missed_count']} missed instants, up to"
                f" {to_text(row['until'])}; `leasebeat backfill` opens those after it"
            )

    def _wanted(self, key: RunKey) -> dict[str, SqlValue]:
        """What the run is while it is open: its serial, lane and pin; or undressed, for the nodes to say."""
        (record,) = self._session.query("desk_run_definition", **at(key))
        if record["present"] is None:
            raise Refused("its schedule is gone, and with it the right to run")
        wanted: dict[str, SqlValue] = {
            "serial": None,
            "held": None,
            "lane": None,
            "pinned": 0,
            "undressed": 1,
        }
        if record["definition"] is None:
            return wanted
        schedule = schedule_from_row({**json.loads(record["definition"]), "id": key.schedule_id})
        pinned = schedule.route == "all" and record["pinned_node_id"] is not None
        divided = schedule.route == "all" or schedule.shards > 1
        if divided and not pinned and record["attempt"] == 0 and record["shards"] == 1:
            return wanted
        if pinned and record["live_name"] is None:
            raise Refused(
                "it was for one node alone, which is gone; `leasebeat run` runs it on those that are there"
            )
        serial = schedule.serial_on(record["live_name"]) if pinned else schedule.serial(key.shard)
        waits = schedule.overlap in ("wait", "replace") and self._session.query("desk_serial", serial=serial)
        held = None if waits else serial
        return {"serial": serial, "held": held, "lane": schedule.lane, "pinned": int(pinned), "undressed": 0}

    def _in_the_way(self, serial: SqlValue) -> str:
        for record in self._session.query("desk_serial", serial=serial):
            return f"{_name(record)} is {record['status']}, and they may not overlap"
        return "somebody else opened it again meanwhile"

    # nodes

    def nodes(self, every: bool = False) -> list[Record]:
        """Rows of `nodes` that are live, cordoned or draining; `every`: also those that are gone."""
        return self._session.query("desk_nodes", every=int(every))

    def set_node_state(self, name: str, state: NodeState) -> None:
        """Cordon, drain or resume (live) the present node of that name. Raises NotFound."""
        if not self._session.execute("desk_set_node_state", node=name, state=str(state)):
            raise NotFound(f"no node {name!r} is there; `leasebeat nodes` shows those that are")
        self._did("drain", name, str(state))

    # what `doctor` looks at

    def role(self, name: str = "auditor") -> Record | None:
        """Who leads: a row of `roles`, and `node`, the holder's name; None: somebody removed the row."""
        records = self._session.query("desk_role", role=name)
        return records[0] if records else None

    def late(self, before: Instant, limit: int = 1000) -> list[Record]:
        """Queued runs that have been ready since before that instant, the oldest first."""
        return self._session.query("desk_late", before=text_of(before), limit=limit)

    def coordinator(self) -> str:
        """The one that the fleet has."""
        (record,) = self._session.query("schema_info")
        return str(record["coordinator"])

    def ids_may_return(self) -> bool:
        """Whether the next schedule could get an id that runs on record belong to.

        So it is after TRUNCATE, or when a part of a backup was restored: the new schedule would
        inherit the other's runs.
        """
        (record,) = self._session.query("desk_ids")
        return record["recorded"] > record["given"]


def _name(row: Record) -> str:
    return key_text(row["schedule"], RunKey(row["fire_at"], row["schedule_id"], row["shard"]))
