"""The word that a verdict begins with, for programs. docs/explain.md has the table."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Code"]


class Code(StrEnum):
    """What became of an instant, or why nothing did."""

    # nothing was due
    NOT_DUE = "not_due"  #: the cron expression then in force does not have it
    CLOCK_CHANGE = "clock_change"  #: the second pass of an hour that came twice
    CALENDAR = "calendar"  #: its date is left out by the calendar
    OUTSIDE_WINDOW = "outside_window"  #: before starts_at, or not before ends_at
    MANUAL = "manual"  #: @manual, and nobody asked
    NO_UPSTREAM = "no_upstream"  #: what it follows has no run at that instant
    DISABLED = "disabled"  #: paused then
    PROBLEM = "problem"  #: its row could not be used then, and nothing ran instead
    NOT_THERE_YET = "not_there_yet"  #: older than the schedule
    NOT_READ = "not_read"  #: no node has read the schedule so far
    DELETED = "deleted"  #: it was gone
    # due, and no row yet, or none any more
    FUTURE = "future"
    NOT_AUDITED = "not_audited"  #: above the watermark
    WAITS_UPSTREAM = "waits_upstream"  #: what it follows has not ended, or has just ended
    MISSED_SPAN = "missed_span"  #: one of many missed instants that share a row
    NOT_KEPT = "not_kept"  #: older than retention keeps runs
    NO_RECORD = "no_record"  #: gone by hand, or from before the first audit
    # queued
    CLOSING = "closing"  #: asked to end
    WAITS_READING = "waits_reading"  #: put in by hand, not read by a node yet
    WAITS_RETRY = "waits_retry"
    WAITS_DELAY = "waits_delay"  #: jitter, or a catch-up that is spread
    WAITS_QUEUE = "waits_queue"  #: its queue is paused
    WAITS_RESUME = "waits_resume"  #: its schedule is paused
    WAITS_NODE = "waits_node"  #: no live node may run it
    WAITS_TURN = "waits_turn"  #: an earlier run of the schedule is open
    WAITS_LANE = "waits_lane"  #: its lane is full
    WAITS_SLOT = "waits_slot"  #: every node that may run it is full
    WAITS_PULL = "waits_pull"  #: nothing stands in its way
    RUNNING = "running"
    # over
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    KILLED = "killed"
    LOST = "lost"
    OVERLAP = "overlap"
    REPLACED = "replaced"
    DEFINITION_CHANGED = "definition_changed"
    UPSTREAM = "upstream"
    MISFIRE = "misfire"
    NO_NODE = "no_node"
    NO_SLOT = "no_slot"
