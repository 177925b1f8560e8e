"""Telling people that something went wrong for good."""

from __future__ import annotations

from leasebeat.alerts.alerts import AlertEvent, Alerts
from leasebeat.alerts.command import CommandDelivery
from leasebeat.alerts.log import LogDelivery
from leasebeat.alerts.routes import Routes

__all__ = ["AlertEvent", "Alerts", "CommandDelivery", "LogDelivery", "Routes"]
