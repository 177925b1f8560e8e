"""Row and key locks of the simulated store, and what a statement says while it is under way.

A statement that writes is a generator. It yields

* `GAP` where the server may turn to other statements: after the snapshot, and before the commit;
* `TRIP` where a transaction goes back to its client, who may be stopped or dead by then;
* a key, while another statement holds it: it is called again when the key is free, or has
  `Busy` thrown into it when it has waited too long.

Nothing that it writes is seen by others before its last step, which is the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar

Key = tuple[object, ...]
Step = Key | str | None
T = TypeVar("T")
Statement = Generator[Step, None, T]

GAP: Final = None
TRIP: Final = "trip"


class Locks:
    """Who holds what."""

    __slots__ = ("held", "waiting")

    def __init__(self) -> None:
        self.held: dict[Key, Txn] = {}
        self.waiting: dict[Key, list[Callable[[], None]]] = {}  #: called when the key is let go


class Txn:
    """What one statement or transaction holds until its commit or rollback."""

    __slots__ = ("_keys", "_locks")

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._keys: list[Key] = []

    def take(self, keys: Iterable[Key]) -> Statement[None]:
        """Lock each key, in order; wait for those that others hold."""
        held = self._locks.held
        for key in keys:
            while held.get(key, self) is not self:
                yield key
            held[key] = self
            self._keys.append(key)

    def try_take(self, key: Key) -> bool:
        """Lock the key unless another holds it: SKIP LOCKED."""
        if self._locks.held.get(key, self) is not self:
            return False
        self._locks.held[key] = self
        self._keys.append(key)
        return True

    def release(self) -> None:
        """Let everything go."""
        held, waiting = self._locks.held, self._locks.waiting
        for key in self._keys:
            held.pop(key, None)  # a key may have been taken twice
        if waiting:
            for key in self._keys:
                for wake in waiting.pop(key, ()):
                    wake()
        self._keys = []
