"""Random expressions, zones and instants: our triggers against a matcher that tries days and times out.

The matcher knows nothing of cronsim or of our own code: it reads the fields by itself, and finds what a
local time is in UTC from a list of the zone's periods. Where croniter means the same it must agree, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import cast

from croniter import CroniterError, croniter

from leasebeat.errors import ExpressionError
from leasebeat.model.instant import SECOND, Instant, from_datetime, to_datetime, to_text
from leasebeat.model.schedule import Dst
from leasebeat.testing.trials.cron_matcher import Matcher, Periods, number, periods_of, weekdays
from leasebeat.triggers import instants, parse

__all__ = ["FEATURES", "ZONES", "Agreement", "Case", "cases", "run"]

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "America/Havana",
)
FEATURES = ("names", "ranges", "steps", "lists", "days of both kinds")
"""Each must come up often where croniter is asked, too."""

_COUNT = 3
"""So many instants of each expression are compared."""

_FIRST, _LAST = datetime(2024, 1, 2, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class Case:
    """One question: what follows `after`?"""

    cron: str
    zone: str
    dst: Dst
    after: Instant
    features: frozenset[str]


@dataclass(slots=True)
class Agreement:
    """What the comparison came to."""

    cases: int = 0
    never: int = 0  #: refused, as nothing matches within the eight years
    features: Counter[str] = field(default_factory=Counter[str])
    by_croniter: Counter[str] = field(default_factory=Counter[str])  #: features of what it was asked, too
    asked: int = 0  #: of croniter
    excluded: Counter[str] = field(default_factory=Counter[str])  #: why it was not
    findings: list[str] = field(default_factory=list[str])

    def lines(self) -> list[str]:
        """For people."""
        share = 100 * self.asked / max(1, self.cases)
        return [
            f"{self.cases} expressions x zones x instants, {self.never} refused as never firing",
            *(
                f"{name}: {self.features[name]}, {self.by_croniter[name]} of them asked of croniter"
                for name in FEATURES
            ),
            f"croniter was asked {self.asked} times ({share:.0f} %)",
            *(f"not asked, {why}: {count}" for why, count in sorted(self.excluded.items())),
            *(f"FOUND {finding}" for finding in self.findings),
        ]


def run(count: int, seed: int = 1) -> Agreement:
    """Compare `count` cases."""
    agreement = Agreement()
    for case in islice(cases(Random(seed)), count):
        agreement.cases += 1
        agreement.features.update(case.features)
        _compare(case, periods_of(case.zone), agreement)
    return agreement


# --- expressions --------------------------------------------------------------------------------


def cases(random: Random) -> Iterator[Case]:
    """Without end: some instants of zones that turn their clocks lie near a change."""
    changes = {name: periods_of(name).changes(_FIRST, _LAST) for name in ZONES}
    while True:
        zone = random.choice(ZONES)
        after, hour = random.randrange(from_datetime(_FIRST), from_datetime(_LAST)), None
        if changes[zone] and random.random() < 0.2:
            turned = random.choice(changes[zone])
            after = (turned + random.randrange(-43_200, 7_200)) * SECOND
            last = (turned - 1 + periods_of(zone).offset(turned - 1)) // 3600
            hour = (last + random.randint(0, 1)) % 24  # it comes twice, or the clocks jump over it
        draw = _Draw(random)
        cron = draw.expression(hour if random.random() < 0.7 else None)
        yield Case(
            cron, zone, random.choice(("cron", "cron", "skip", "both")), after, frozenset(draw.features)
        )


class _Draw:
    """One expression, and what is in it."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.features: set[str] = set()

    def expression(self, hour: int | None) -> str:
        six = self._random.random() < 0.15
        parts = [self._field(0, 59, star=0.1)] if six else []
        parts += [self._field(0, 59, star=0.2)]
        parts += [self._field(0, 23, star=0.35) if hour is None else str(hour)]
        day, month = self._day(), self._field(1, 12, _MONTHS, star=0.6)
        weekday = self._weekday()
        if day not in ("*", "?") and weekday not in ("*", "?"):
            self.features.add("days of both kinds")
        return " ".join([*parts, day, month, weekday])

    def _day(self) -> str:
        special = ("L", "LW", f"{self._random.randint(1, 28)}W", "?", "L,15")
        return self._special(special) or self._field(1, 31, star=0.5)

    def _weekday(self) -> str:
        name = self._random.choice((*_WEEKDAYS, "4"))
        special = (f"{self._random.randint(0, 7)}L", f"{name}#{self._random.randint(1, 5)}", "?")
        return self._special(special) or self._field(0, 7, _WEEKDAYS, star=0.4)

    def _special(self, words: tuple[str, ...]) -> str | None:
        return self._random.choice(words) if self._random.random() < 0.07 else None

    def _field(self, low: int, high: int, names: tuple[str, ...] = (), star: float = 0.3) -> str:
        if self._random.random() < star:
            return "*"
        if self._random.random() < 0.3:
            self.features.add("lists")
            return ",".join(self._item(low, high, names) for _ in range(self._random.randint(2, 4)))
        return self._item(low, high, names)

    def _item(self, low: int, high: int, names: tuple[str, ...]) -> str:
        kind = self._random.choice(
            ("value", "value", "range", "stepped star", "stepped range", "stepped value")
        )
        first, last = sorted(self._random.sample(range(low, high + 1), 2))
        last = first if self._random.random() < 0.02 else last
        span = self._value(first, low, names)
        if "range" in kind:
            self.features.add("ranges")
            span += f"-{self._value(last, low, names)}"
        if "stepped" not in kind:
            return span
        self.features.add("steps")
        return f"{'*' if 'star' in kind else span}/{self._random.randint(1, max(2, (high - low) // 2))}"

    def _value(self, value: int, low: int, names: tuple[str, ...]) -> str:
        if not names or value - low >= len(names) or self._random.random() < 0.5:
            return str(value)
        self.features.add("names")
        return self._random.choice((str.lower, str.upper, str.title))(names[value - low])


# --- the comparison -----------------------------------------------------------------------------


def _compare(case: Case, periods: Periods, agreement: Agreement) -> None:
    matcher = Matcher(case.cron, periods, case.dst)
    try:
        trigger = parse(case.cron, timezone=case.zone, dst=case.dst)
    except ExpressionError as refusal:
        agreement.never += 1
        agreement.excluded["as it never fires"] += 1
        if "never fires" not in str(refusal) or matcher.matches_within(2024, 2031):
            agreement.findings.append(f"{case}: {refusal}")
        return
    found = instants(trigger, case.after, from_datetime(datetime(2099, 1, 1, tzinfo=UTC)), _COUNT)
    expected = [each * SECOND for each in islice(matcher.instants(case.after / SECOND), _COUNT)]
    if found != expected:
        agreement.findings.append(f"{case}: {_told(found)}, by the matcher {_told(expected)}")
    why = _not_croniters(case, periods, found)
    if why is not None:
        agreement.excluded[why] += 1
        return
    agreement.asked += 1
    agreement.by_croniter.update(case.features)
    found = _before_turning(case, periods, found)
    try:
        theirs = _told(_of_croniter(case, periods, len(found)))
    except CroniterError as refusal:
        theirs = repr(refusal)
    if theirs != _told(found):
        agreement.findings.append(f"{case}: {_told(found)}, by croniter {theirs}")


def _told(found: list[Instant]) -> str:
    return " ".join(map(to_text, found))


def _not_croniters(case: Case, periods: Periods, found: list[Instant]) -> str | None:
    """Why croniter would mean something else; None where it means the same."""
    *_, day, _, weekday = parts = case.cron.upper().split()
    if "LW" in day:
        return "LW, which it does not know"
    if weekday.endswith("L"):
        return "5L, which it writes L5"
    if "days of both kinds" in case.features and any(sign in day + weekday for sign in "LW#"):
        return "L, W or # beside another day field, which it joins otherwise"
    if any(_is_one_value(item) for part in parts for item in part.split(",")):
        return "a range like 5-5, which is every value there"
    if any(_reaches_seven(item) for item in weekday.split(",")):
        return "a step of the day of week that reaches 7, and ends with Saturday there"
    if "days of both kinds" in case.features and "*" not in weekday[0] and len(weekdays(weekday)) == 7:
        return "all days of the week in a list beside a day of month, which is * there"
    if not _before_turning(case, periods, found):
        return "the clocks are turned meanwhile, where it has rules of its own"
    return None


def _before_turning(case: Case, periods: Periods, found: list[Instant]) -> list[Instant]:
    """Those that lie in the period of `after`, and a day away from its ends."""
    start = case.after // SECOND - 86_400
    return [each for each in found if not periods.turned_within(start, each // SECOND + 86_400)]


def _reaches_seven(item: str) -> bool:
    first, _, step = item.partition("/")
    return bool(step) and first.isalnum() and (7 - number(first)) % int(step) == 0


def _is_one_value(item: str) -> bool:
    first, _, last = item.partition("/")[0].partition("-")
    return bool(last) and number(first) == number(last)


def _of_croniter(case: Case, periods: Periods, count: int) -> list[Instant]:
    """Its answer, asked for in local time, without a zone."""
    offset = periods.offset(case.after // SECOND) * SECOND
    walk = croniter(
        case.cron,
        to_datetime(case.after + offset).replace(tzinfo=None),
        ret_type=datetime,
        implement_cron_bug=True,
        second_at_beginning=True,
    )
    step = cast("Callable[[], datetime]", walk.get_next)
    return [from_datetime(step().replace(tzinfo=UTC)) - offset for _ in range(count)]
