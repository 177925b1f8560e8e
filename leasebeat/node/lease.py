"""The trust window: how long a node may go on believing that it is alive.

A node's lease ends three beats after the start of the last beat that the store accepted. It stops
trusting it `TRUST_MARGIN_S` earlier, by CLOCK_BOOTTIME, so that its tasks are dead before anybody
else may start them: a purger has itself watched the beat stand still for a whole lease, which began
after that beat was committed (docs/protocol.md).

Where ZooKeeper is the coordinator, the lease also ends when ZooKeeper's trust does (`vouch`).
"""

from __future__ import annotations

from collections.abc import Callable

from leasebeat.executors.base import Leash
from leasebeat.model.node import LEASE_BEATS, TRUST_MARGIN_S
from leasebeat.runtime import Runtime


class Lease:
    """The lease of the node itself. Renewed by the heartbeat, asked by everybody."""

    def __init__(self, runtime: Runtime, leash: Leash, beat_s: float) -> None:
        self._runtime = runtime
        self._leash = leash
        self._trust_s = LEASE_BEATS * beat_s - TRUST_MARGIN_S
        self._until = float("-inf")
        self._vouched = float("inf")  #: how long the coordinator believes in this node
        self._over = False  #: it had run out before somebody tried to renew it
        self._lapsed = False  #: and that was noted
        self._suspended = False
        self._lock = runtime.lock()
        self.changed: Callable[[], None] = lambda: (
            None
        )  #: called when the coordinator has ended it, or may again
        self.lapses = 0  #: how often it ran out; tasks started before a lapse are not trusted after it

    def begin(self, started: float) -> None:
        """A new lease, from a join that was begun at `started` (CLOCK_BOOTTIME)."""
        with self._lock:
            self._until = started + self._trust_s
            self._over = self._lapsed = False
        self._leash.renew(self._end())

    def renew(self, started: float) -> bool:
        """A beat begun at `started` was accepted. False if the lease had run out meanwhile.

        Then nothing is renewed yet: what was started under the old one must be stopped first, and
        `begin` called after it, or the leash would let it live.
        """
        if not self.holds():
            return False
        self.begin(started)
        return True

    def pace(self, beat_s: float) -> None:
        """Beats are this far apart from now on; the next one that is accepted renews by that."""
        self._trust_s = LEASE_BEATS * beat_s - TRUST_MARGIN_S

    def lapse(self) -> bool:
        """Note that it has run out; True the first time since it was begun."""
        with self._lock:  # the watchdog and the heartbeat may see the end at the same moment
            if self._lapsed or self.holds():
                return False
            self.lapses += 1
            self._lapsed = True
        return True

    def end(self) -> None:
        """The node was purged: whatever time was left is void."""
        self._until = float("-inf")
        self.lapse()

    # the coordinator's part

    def vouch(self, until: float) -> None:
        """The coordinator believes in this node until then (CLOCK_BOOTTIME, seconds).

        That renews nothing where the lease had run out meanwhile: what was started under it must be
        stopped first, and the heartbeat's `begin` comes after that.
        """
        with self._lock:
            self._over = self._over or self._runtime.boottime() >= min(self._until, self._vouched)
            self._vouched = until
            self._suspended = False
            over = self._over
        if over:
            self.changed()
        else:
            self._leash.renew(self._end())

    def suspend(self) -> None:
        """The coordinator is not heard just now: what runs goes on, nothing is claimed or started."""
        self._suspended = True

    def revoke(self) -> None:
        """The coordinator does not believe in this node any more."""
        with self._lock:
            self._vouched = float("-inf")
            self._over = True
        self._leash.renew(self._runtime.boottime())
        self.changed()

    def _end(self) -> float:
        return min(self._until, self._vouched)

    # asking

    def holds(self) -> bool:
        """Whether what this node runs may go on."""
        return not self._over and self._runtime.boottime() < self._end()

    def firm(self) -> bool:
        """Whether it may take and start work, too."""
        return not self._suspended and self.holds()

    def remaining(self) -> float:
        """Seconds until it no longer holds; negative after that."""
        return float("-inf") if self._over else self._end() - self._runtime.boottime()
