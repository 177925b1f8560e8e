"""A shell line of the operator's, or of a schedule's, with the event as JSON on its standard input."""

from __future__ import annotations

import json
from collections.abc import Mapping

from leasebeat.alerts.alerts import AlertEvent
from leasebeat.alerts.program import TIMEOUT_S, Program, environment
from leasebeat.logs import event as log
from leasebeat.runtime import Runtime

__all__ = ["CommandDelivery"]


class CommandDelivery:
    """Runs the command for each alert."""

    def __init__(
        self,
        runtime: Runtime,
        command: str,
        environ: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._program = Program(runtime, ["/bin/sh", "-c", command], environment(environ), timeout_s)

    def deliver(self, event: AlertEvent, held_back: int) -> None:
        """Run it, and log how it failed if it did."""
        told = json.dumps(event.fields() | {"held_back": held_back}).encode() + b"\n"
        if problem := self._program.tell(told):
            log("ERROR", "alert_failed", f"the alert command failed: {problem}", **event.fields())
