"""The store's clock, as a node reckons it.

Each answer that carries the store's time gives offset = store time - middle of the round trip; of
the last few the one with the shortest trip counts (Cristian's algorithm). Between answers the
clock runs on CLOCK_MONOTONIC, so that a host whose wall clock is set notices nothing. Nothing is
decided by it: it only says when to ask the store, which decides by its own clock.
"""

from __future__ import annotations

from collections import deque

from leasebeat.logs import event
from leasebeat.model.instant import SECOND, Instant, from_seconds
from leasebeat.runtime import Runtime

_KEPT = 8
_JUMP = SECOND // 2


class StoreClock:
    """Estimates the store's time. Written by one thread, read by all."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._seen: deque[tuple[float, int]] = deque(maxlen=_KEPT)  # (round trip in seconds, offset)
        self._offset: int | None = None

    def observe(self, sent: float, store_now: Instant) -> None:
        """Take in an answer received now to a question sent at `sent` (monotonic seconds)."""
        received = self._runtime.monotonic()
        offset = store_now - from_seconds((sent + received) / 2)
        if self._offset is not None and abs(offset - self._offset) > _JUMP + from_seconds(received - sent):
            self._jumped(offset - self._offset)
        self._seen.append((received - sent, offset))
        self._offset = min(self._seen)[1]

    @property
    def known(self) -> bool:
        """Whether the store has told its time yet."""
        return self._offset is not None

    def now(self) -> Instant:
        """The store's time now, as well as it is known. Only after `known`."""
        return from_seconds(self._runtime.monotonic()) + (self._offset or 0)

    def host_offset_ms(self) -> float:
        """How far this host's wall clock is ahead of the store's, in milliseconds."""
        if self._offset is None:
            return 0.0
        return (self._runtime.wall().timestamp() * SECOND - self.now()) / 1000

    def _jumped(self, by: int) -> None:
        # Forward: what lies between is due at once; what is older than a claim reaches is the
        # audit's. Back: the instants come again, and the store refuses what it has.
        self._seen.clear()
        event("WARNING", "store_clock_jumped", "the store's clock jumped; following it", seconds=by / SECOND)
