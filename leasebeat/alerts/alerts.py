"""Who is told, and how often.

Whoever sees something go wrong calls `Alerts.tell`, which only puts the event into a bounded queue;
a thread of its own delivers it. So a slow or broken alert command never delays a run, and a flood
costs memory only up to the bound. What does not fit is counted and logged.

For each schedule and reason at most one alert a minute is delivered; the next one says in `held_back`
how many came between.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from typing import Protocol

from leasebeat.logs import event as log
from leasebeat.model.alert import AlertReason, AlertRule
from leasebeat.model.instant import Instant, to_text
from leasebeat.runtime import Runtime, Task

__all__ = ["INTERVAL_S", "QUEUE", "AlertEvent", "Alerts", "Delivery"]

QUEUE = 1000
"""How many events may wait for delivery."""

INTERVAL_S = 60.0
"""How long a schedule and reason keep quiet after an alert."""

IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One thing that went wrong. `schedule` is a name; None where it is about a node or a queue.

    `rule` is what the schedule wants; it is nobody else's to know.
    """

    reason: AlertReason
    at: Instant
    text: str
    schedule: str | None = None
    key: str | None = None
    attempt: int | None = None
    node: str | None = None
    exit_code: int | None = None
    queue: str | None = None
    rule: AlertRule = field(default_factory=AlertRule)

    @property
    def subject(self) -> tuple[str | None, AlertReason]:
        """What keeps quiet together: a schedule (or, without one, a node or a queue) and the reason."""
        return self.schedule or self.node or self.queue, self.reason

    def fields(self) -> dict[str, object]:
        """What programs are told: `at` as text, without what is not known."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "rule"}
        known: dict[str, object] = {name: value for name, value in values.items() if value is not None}
        return known | {"at": to_text(self.at), "reason": str(self.reason)}


class Delivery(Protocol):
    """A way to tell somebody."""

    def deliver(self, event: AlertEvent, held_back: int) -> None:
        """Tell them. `held_back` like events since the last were not told.

        What prevents it goes to the log; nothing is raised. It takes a minute at most.
        """
        ...


@dataclass(slots=True)
class _Quiet:
    since: float
    held_back: int = 0


class Alerts:
    """The queue and the thread that empties it."""

    def __init__(self, runtime: Runtime, delivery: Delivery) -> None:
        self._runtime = runtime
        self._delivery = delivery
        self._lock = runtime.lock()
        self._waiter = runtime.waiter()
        self._events: deque[AlertEvent] = deque()
        self._dropped = 0
        self._quiet: dict[tuple[str | None, AlertReason], _Quiet] = {}
        self._closing = False
        self._task: Task | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._task = self._runtime.start("alerts", self._work)

    def tell(self, event: AlertEvent) -> None:
        """Have it delivered, if its schedule wants that. Returns at once, from any thread."""
        if not event.rule.wants(event.reason):
            return
        with self._lock:
            if len(self._events) >= QUEUE:
                self._dropped += 1
                return
            self._events.append(event)
        self._waiter.wake()

    def close(self, seconds: float) -> bool:
        """Deliver what waits, for at most `seconds`; True if all of it was delivered."""
        self._closing = True
        self._waiter.wake()
        return self._task is None or self._task.join(seconds)

    def run_once(self) -> bool:
        """Deliver the oldest event, or hold it back; False if there was none."""
        with self._lock:
            event = self._events.popleft() if self._events else None
            dropped, self._dropped = self._dropped, 0
        if dropped:
            log("ERROR", "alerts_dropped", "alerts came faster than they could be told", dropped=dropped)
        if event is None:
            return False
        held_back = self._let_through(event)
        if held_back is not None:
            self._delivery.deliver(event, held_back)
        return True

    def _work(self) -> None:
        while True:
            if self.run_once():
                continue
            if self._closing:
                return
            self._waiter.wait(IDLE_S)

    def _let_through(self, event: AlertEvent) -> int | None:
        """How many like it were held back before; None if this one is too. For the one thread only."""
        now = self._runtime.monotonic()
        quiet = self._quiet.get(event.subject)
        if quiet is not None and now - quiet.since < INTERVAL_S:
            quiet.held_back += 1
            return None
        self._forget_before(now - INTERVAL_S)
        self._quiet[event.subject] = _Quiet(now)
        return 0 if quiet is None else quiet.held_back

    def _forget_before(self, moment: float) -> None:
        """Keep the memory of subjects small; those that held something back must still say so."""
        if len(self._quiet) > QUEUE:
            self._quiet = {
                subject: quiet
                for subject, quiet in self._quiet.items()
                if quiet.since >= moment or quiet.held_back
            }
