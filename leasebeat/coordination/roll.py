"""The roll of the znodes: whose is gone, as this node has itself seen.

Sound only together with the trust window of the others, which ends two thirds of a session after the
start of their last answered write: a znode that was there and is not any more has lost its session a
third later at the earliest. One that was never seen may be missing because ZooKeeper came back
empty; then its node may trust itself a while yet, and a whole session is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable

from leasebeat.coordination.link import Connection


class Roll:
    """What the looks over one unbroken connection have shown. Belongs to the coordinator's thread."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._since = 0.0
        self._seen: set[int] = set()
        self._missing: dict[int, float] = {}

    def broke(self) -> None:
        """A look failed, or the connection did: whatever was seen before counts no more."""
        self._connection = None

    def look(
        self, connection: Connection, started: float, here: Iterable[int], wanted: Iterable[int]
    ) -> None:
        """One look: the czxids that are `here`, and those that rows of `nodes` name.

        The rows were read before the look was started: their znodes were made before that, too.
        """
        if connection != self._connection:
            self._connection, self._since = connection, started
            self._seen, self._missing = set(), {}
        present, named = set(here), set(wanted)
        self._seen |= present & named
        gone = named - present
        self._missing = {czxid: self._missing.get(czxid, started) for czxid in gone}
        self._seen &= named

    def gone(self, connection: Connection | None, at: float) -> set[int]:
        """The czxids whose nodes are dead, by all that is known `at` (CLOCK_BOOTTIME, seconds)."""
        session_s = connection.session_s if connection else 0.0
        if connection is None or connection != self._connection or at - self._since < session_s:
            return set()
        return {
            czxid for czxid, since in self._missing.items() if czxid in self._seen or at - since >= session_s
        }
