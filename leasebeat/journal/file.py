"""The journal as two files in the state directory, for one worker name and one installation.

    NAME.INSTALLATION.outcomes   ["ended", n, node_id, {...}] and ["recorded", n]: confirmed up to n
    NAME.INSTALLATION.starts     [fire_at, schedule_id, shard, attempt, fence]

Only who holds the lock file of the name opens them, so there is one writer. They are written without
being forced to the disk: a worker that is killed loses nothing of them, a power cut may lose the last
seconds, and with them what the journal is for. A disk that takes no more costs the journal, not the runs.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from leasebeat.journal.base import MOST_STARTS, Ended, Start, Starts
from leasebeat.journal.lines import Lines
from leasebeat.logs import event
from leasebeat.model.run import RunKey
from leasebeat.runtime import Runtime
from leasebeat.store.rows import FinishRow

_MOST_BYTES = 16 * 1024 * 1024
"""A file of outcomes that grew beyond this, because some were always on their way, is written anew."""

_DEFAULTS = {item.name: item.default for item in fields(FinishRow) if item.name != "key"}


class FileJournal:
    """See the port. Opening it raises OSError."""

    def __init__(self, folder: Path, stem: str, runtime: Runtime) -> None:
        self._lock = runtime.lock()
        self._outcomes = Lines(folder / f"{stem}.outcomes")
        self._starts_file = Lines(folder / f"{stem}.starts")
        self._told = False  #: the log says that it cannot be written
        self._left = [outcome for _, outcome in _unrecorded(self._outcomes.read())]
        self._first = 1  #: the number of the oldest unrecorded one
        self._next = 1 + len(self._left)
        if self._outcomes.size:  # numbered anew, without what is over
            self._try(self._outcomes.clear if not self._left else self._renumber)
        self._starts = Starts()
        self._lines = 0  #: of the file of starts
        for start in _starts(self._starts_file.read()):
            self._starts.add(start)
            self._lines += 1

    def left(self) -> Sequence[Ended]:
        return self._left

    def _renumber(self) -> None:
        self._outcomes.replace(_lines(1, self._left))

    def ended(self, outcomes: Sequence[Ended]) -> None:
        with self._lock:
            numbered = list(_lines(self._next, outcomes))
            self._next += len(outcomes)
            self._try(lambda: self._outcomes.append(numbered))

    def recorded(self, count: int) -> None:
        with self._lock:
            self._first += count
            self._try(self._forget)

    def _forget(self) -> None:
        if self._first == self._next:
            self._outcomes.clear()
            return
        self._outcomes.append([["recorded", self._first - 1]])
        if self._outcomes.size > _MOST_BYTES:
            kept = [outcome for _, outcome in _unrecorded(self._outcomes.read())]
            self._outcomes.replace(_lines(self._first, kept))

    def started(self, starts: Sequence[Start]) -> None:
        with self._lock:
            for start in starts:
                self._starts.add(start)
            self._lines += len(starts)
            if self._lines > 2 * MOST_STARTS:
                starts = self._starts.all()
                self._lines = len(starts)
                self._try(lambda: self._starts_file.replace(map(_line, starts)))
            else:
                self._try(lambda: self._starts_file.append(map(_line, starts)))

    def start_of(self, key: RunKey) -> Start | None:
        return self._starts.get(key)

    def close(self) -> None:
        """End the use of the files."""
        self._outcomes.close()
        self._starts_file.close()

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as problem:
            if not self._told:
                advice = "outcomes and starts of this host do not survive its worker; give it room"
                event("ERROR", "journal_failed", f"the journal cannot be written: {advice}", error=problem)
            self._told = True
            return
        self._told = False


def _lines(first: int, outcomes: Sequence[Ended]) -> Iterator[list[object]]:
    for number, outcome in enumerate(outcomes, first):
        yield ["ended", number, outcome.node_id, _packed(outcome.row)]


def _packed(row: FinishRow) -> dict[str, object]:
    """What differs from the defaults, by name: an older or newer Leasebeat can read it."""
    packed: dict[str, object] = {"key": list(row.key)}
    for name, default in _DEFAULTS.items():
        value = getattr(row, name)
        if value != default:
            packed[name] = b64encode(value).decode() if isinstance(value, bytes) else value
    return packed


def _unpacked(packed: dict[str, Any]) -> FinishRow:
    known: dict[str, Any] = {name: value for name, value in packed.items() if name in _DEFAULTS}
    if "output" in known:
        known["output"] = b64decode(known["output"])
    return FinishRow(key=RunKey(*packed["key"]), **known)


def _unrecorded(records: Iterable[object]) -> Iterator[tuple[int, Ended]]:
    found: list[tuple[int, Ended]] = []
    upto = 0
    for record in cast("Iterable[list[Any]]", records):
        if record[0] == "recorded":
            upto = record[1]
        else:
            found.append((record[1], Ended(record[2], _unpacked(record[3]))))
    return ((number, outcome) for number, outcome in found if number > upto)


def _line(start: Start) -> list[int]:
    return [*start.key, start.attempt, start.fence]


def _starts(records: Iterable[object]) -> Iterator[Start]:
    for fire_at, schedule_id, shard, attempt, fence in cast("Iterable[list[int]]", records):
        yield Start(RunKey(fire_at, schedule_id, shard), attempt, fence)
