"""Work that runs inside the worker itself, where nobody else can kill it.

While leashed work of this sort runs, the guardian is told to kill the whole worker shortly after its
deadline. A worker that can still act gives the work up by itself before that; one that is stopped
cannot, and would go on with it when it is continued, beside the next attempt.
"""

from __future__ import annotations

from collections.abc import Callable

from leasebeat.executors.leash import GuardianLeash


class Tie:
    """Tells the guardian whether `owner` has leashed work; `busy` says whether it has at this moment.

    `hold` comes before each piece of work, after that is visible to `busy`, from any thread; `look`
    comes now and then from one thread. So short pieces of work do not cost a message each.
    """

    def __init__(self, leash: GuardianLeash, owner: str, busy: Callable[[], bool]) -> None:
        self._leash = leash
        self._owner = owner
        self._busy = busy
        self._held = False

    def hold(self) -> None:
        """Leashed work is about to begin."""
        if not self._held:
            self._held = True
            self._leash.tie(self._owner, True)

    def look(self) -> None:
        """Let go where there is no such work any more."""
        if not self._held or self._busy():
            return
        self._held = False
        self._leash.tie(self._owner, False)
        # Work may have begun, and have told the guardian so, just before we told it otherwise.
        if self._busy():
            self._held = True
            self._leash.tie(self._owner, True)
