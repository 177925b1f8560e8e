"""Leasebeat: cron for a fleet."""

__version__ = "0.1.0"
