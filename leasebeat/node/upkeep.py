"""What a coordinator must have kept up: its own presence, its look at the others, its place in the line."""

from __future__ import annotations

from leasebeat.coordination.base import Turns
from leasebeat.node.loop import Turn


class Upkeep:
    """Gives the coordinator its turns."""

    name = "coordinator"

    def __init__(self, turns: Turns) -> None:
        self.waiter = turns.waiter
        self._turns = turns

    def run_once(self) -> Turn:
        """One turn of the coordinator."""
        return Turn(self._turns.turn())
