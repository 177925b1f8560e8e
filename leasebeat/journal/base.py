"""The port of the journal: what a host remembers of its own work, whatever becomes of worker and store.

Two things are remembered. *Outcomes* until the store has confirmed them: a worker that dies in between
is followed by one that still has them. *Starts*, for a day: a store that lost commits (a replica was
promoted that lacked them) may open a fire again whose task has run here, and is then told no.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from leasebeat.model.instant import Instant
from leasebeat.model.run import RunKey
from leasebeat.store.rows import FinishRow

MOST_STARTS = 20_000
"""How many starts are remembered, the newest: a fail-over loses the last seconds of commits, not days."""


class Ended(NamedTuple):
    """An attempt that ended, and under which id its node ran it."""

    node_id: str
    row: FinishRow


class Start(NamedTuple):
    """An attempt that was started here, by the fence of its claim."""

    key: RunKey
    attempt: int
    fence: Instant


class Journal(Protocol):
    """Safe to use from several threads. It never raises: a host whose disk is full goes on without."""

    def left(self) -> Sequence[Ended]:
        """The outcomes that the store had not confirmed when a former worker died, oldest first."""
        ...

    def ended(self, outcomes: Sequence[Ended]) -> None:
        """Remember them, before the store hears of them."""
        ...

    def recorded(self, count: int) -> None:
        """The store has confirmed the oldest `count`."""
        ...

    def started(self, starts: Sequence[Start]) -> None:
        """Remember them, before their tasks begin."""
        ...

    def start_of(self, key: RunKey) -> Start | None:
        """The last attempt of a run that was started here, as far as it is remembered."""
        ...


class MemoryJournal:
    """It lives as long as its process; in the simulation, as long as its machine."""

    def __init__(self) -> None:
        self._outcomes: deque[Ended] = deque()
        self._starts = Starts()

    def left(self) -> Sequence[Ended]:
        return list(self._outcomes)

    def ended(self, outcomes: Sequence[Ended]) -> None:
        self._outcomes.extend(outcomes)

    def recorded(self, count: int) -> None:
        for _ in range(count):
            self._outcomes.popleft()

    def started(self, starts: Sequence[Start]) -> None:
        for start in starts:
            self._starts.add(start)

    def start_of(self, key: RunKey) -> Start | None:
        return self._starts.get(key)


class Starts:
    """The newest starts, one for each run."""

    def __init__(self) -> None:
        self._by_key: dict[RunKey, Start] = {}

    def add(self, start: Start) -> None:
        """Remember one, and forget the oldest where there are too many."""
        self._by_key.pop(start.key, None)  # a dict keeps the order of insertion: the newest last
        self._by_key[start.key] = start
        if len(self._by_key) > MOST_STARTS:
            del self._by_key[next(iter(self._by_key))]

    def get(self, key: RunKey) -> Start | None:
        """The last one of that run."""
        return self._by_key.get(key)

    def all(self) -> list[Start]:
        """Oldest first."""
        return list(self._by_key.values())
