"""The default: a line at ERROR in the log."""

from __future__ import annotations

from leasebeat.alerts.alerts import AlertEvent
from leasebeat.logs import event as log

__all__ = ["LogDelivery"]


class LogDelivery:
    """Writes alerts to the log."""

    def deliver(self, event: AlertEvent, held_back: int) -> None:
        """Log it as `action=alert`."""
        log("ERROR", "alert", event.text, **_without_text(event), held_back=held_back)


def _without_text(event: AlertEvent) -> dict[str, object]:
    fields = event.fields()
    del fields["text"]
    return fields
