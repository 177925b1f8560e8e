"""By which way each alert goes: the host's own, or that of the schedule's column `alert`."""

from __future__ import annotations

from collections.abc import Callable

from leasebeat.alerts.alerts import AlertEvent, Delivery
from leasebeat.alerts.command import CommandDelivery
from leasebeat.alerts.mail import Mailer
from leasebeat.logs import event as log
from leasebeat.runtime import Runtime

__all__ = ["Routes"]


class Routes:
    """Delivers by the schedule's command and mail where it has such, by `default` where it has none.

    `allows` says whether this host runs a command of the table: its limits are those of shell tasks.
    What cannot be told as the schedule wants is told by `default`, for somebody must hear of it.
    """

    def __init__(
        self, runtime: Runtime, default: Delivery, allows: Callable[[str], bool], mailer: Mailer | None = None
    ) -> None:
        self._runtime = runtime
        self._default = default
        self._allows = allows
        self._mailer = mailer or Mailer(runtime)

    def deliver(self, event: AlertEvent, held_back: int) -> None:
        """Tell them."""
        rule = event.rule
        refused = self._command(event, held_back) if rule.command else None
        unsent = self._mailer.send(rule.mail, event, held_back) if rule.mail else None
        for problem in filter(None, (refused, unsent)):
            log("ERROR", "alert_failed", f"not told as the schedule wants: {problem}", **event.fields())
        if refused or unsent or not (rule.command or rule.mail):
            self._default.deliver(event, held_back)

    def _command(self, event: AlertEvent, held_back: int) -> str | None:
        command = event.rule.command
        if not self._allows(command):
            return f"alert.command = {command!r} is not covered by [node] allow_commands of this host"
        CommandDelivery(self._runtime, command).deliver(event, held_back)
        return None
