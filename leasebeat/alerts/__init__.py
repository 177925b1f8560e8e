"""Telling people that something went wrong for good."""

from __future__ import annotations

from leasebeat.alerts.alerts import AlertEvent, AlertReason, Alerts
from leasebeat.alerts.command import CommandDelivery
from leasebeat.alerts.log import LogDelivery

__all__ = ["AlertEvent", "AlertReason", "Alerts", "CommandDelivery", "LogDelivery"]
