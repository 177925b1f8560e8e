"""The port of the gate: a filter in front of the store that costs speed when it fails, never safety.

A "yes" is the permission to ask the store; a "no" means that another node has it, and is never
proof that this node will do the work (the audit is); an error is neither, and is told as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from leasebeat.model.run import RunKey


class Gate(Protocol):
    """Says which fires of one instant this node may take to the store."""

    def ask(self, fires: Sequence[RunKey], token: str) -> list[bool]:
        """One answer for each fire, in order: True where nobody had it, or where `token` has it already.

        All fires are of one instant. Raises GateUnavailable within 0.2 s, at once while the breaker is open.
        """
        ...

    def notify(self, topic: str) -> None:
        """Tell the other nodes that there is something new (`queue`, `schedules`, `kill`).

        Lost without a trace if it fails.
        """
        ...

    def listen(self, heard: Callable[[str], None]) -> None:
        """Call `heard(topic)` from another thread whenever a node notifies. Ends with `close`."""
        ...

    def close(self) -> None: ...


class OpenGate:
    """No Redis configured: everything goes on to the store."""

    def ask(self, fires: Sequence[RunKey], token: str) -> list[bool]:
        del token
        return [True] * len(fires)

    def notify(self, topic: str) -> None:
        del topic

    def listen(self, heard: Callable[[str], None]) -> None:
        del heard

    def close(self) -> None: ...
