"""The small parts of a node: loop, clock, judge, outbox."""

import pytest

from leasebeat.errors import DefinitionError, Unavailable
from leasebeat.journal.base import MemoryJournal
from leasebeat.model.instant import SECOND
from leasebeat.model.run import RunKey
from leasebeat.node.clock import StoreClock
from leasebeat.node.finish import Keep, Outbox
from leasebeat.node.judge import judge
from leasebeat.node.loop import Loop, Turn
from leasebeat.store.base import FinishRow
from leasebeat.testing.manual import ManualRuntime

ROW = {"id": 1, "name": "backup", "cron": "0 3 * * *", "command": "true"}


class Service:
    name = "service"

    def __init__(self, *turns: Turn | Exception) -> None:
        self.waits: list[float] = []
        self.waiter = self
        self._turns = list(turns)

    def run_once(self) -> Turn:
        turn = self._turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False

    def wake(self) -> None: ...

    def done(self) -> bool:
        return not self._turns


def test_a_loop_waits_as_long_as_the_turn_says():
    service = Service(Turn(2.0), Turn(0.0), Turn(1.0))
    Loop(service, ManualRuntime(), service.done).run()
    assert service.waits == [2.0, 0.0, 1.0]


def test_a_turn_that_raises_is_followed_by_longer_and_longer_pauses_then_by_the_next_turn():
    service = Service(*[Unavailable()] * 6, ValueError("a bug"), Turn(9.0))
    Loop(service, ManualRuntime(), service.done).run()
    assert service.waits[:3] == sorted(service.waits[:3])
    assert max(service.waits[:7]) <= 1.0
    assert service.waits[7] == 9.0


def test_the_clock_follows_the_answer_with_the_shortest_round_trip():
    runtime = ManualRuntime(1000.0)
    clock = StoreClock(runtime)
    clock.observe(999.0, 5000 * SECOND)  # a second under way: off by up to half of it
    clock.observe(1000.0, 5000 * SECOND + 100)
    clock.observe(999.5, 5000 * SECOND)
    assert clock.now() == 5000 * SECOND + 100


@pytest.mark.fault(56)
def test_the_clock_runs_on_between_answers_and_ignores_the_hosts_wall_clock():
    runtime = ManualRuntime(1000.0)
    clock = StoreClock(runtime)
    clock.observe(1000.0, 5000 * SECOND)
    runtime.advance(7)
    runtime.wall_offset = -3600
    assert clock.now() == 5007 * SECOND


@pytest.mark.parametrize("jump", [60, -60])
def test_the_clock_follows_a_jump_of_the_stores(jump: int):
    runtime = ManualRuntime(1000.0)
    clock = StoreClock(runtime)
    clock.observe(1000.0, 5000 * SECOND)
    runtime.advance(1)
    clock.observe(1001.0, (5001 + jump) * SECOND)
    assert clock.now() == (5001 + jump) * SECOND


def test_a_good_row_is_a_schedule():
    assert judge(ROW).command == "true"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("cron", "61 * * * *", "61"),
        ("timezone", "Europe/Berlim", "Berlin"),
        ("args", "{bad", "args"),
        ("args", '{"cmd": 1}', "args.cmd is unknown"),
        ("args", '{"memory_mb": 1}', "expected a whole number from 4"),
        ("args", '{"env": [1]}', "args.env"),
        ("args", '{"cwd": "here"}', "args.cwd"),
        ("args", '{"success_codes": ["a"]}', "args.success_codes"),
        ("after_rule", "always", "expected done or failure or success"),
        ("misfire_grace_s", 1e12, "out of bounds"),
        ("retry_backoff", 1e200, "out of bounds"),
        ("args", '["a"]', "JSON object"),
        ("route", "everywhere", "node:NAME"),
        ("shards", 10_001, "out of bounds"),
        ("shard_args", '["Beijing", "Tianjin"]', "2 parameters, and shards = 1"),
        ("overlap", "maybe", "unknown"),
        ("after", '["x"]', "expected cron = '@manual'"),
        ("lane", "a:b", "no name"),
        ("jitter_s", -5, "out of bounds"),
        ("alert", '{"comand": "true"}', "alert.comand is unknown; did you mean command"),
        ("alert", '{"urls": 1}', "alert.urls is unknown; known are command, mail, off, on"),
        ("alert", '{"command": " "}', "alert.command = ' ': expected a shell command"),
        ("alert", '{"mail": "a@b\\nBcc: c@d"}', "alert.mail = .*: expected an address"),
        ("alert", '{"mail": "a@b\\n"}', "alert.mail = .*: expected an address"),
        ("alert", '{"mail": "grüße@b"}', "alert.mail = .*: expected an address"),
        ("alert", '{"mail": ""}', "alert.mail = '': expected an address"),
        ("alert", '{"on": ["purged"]}', "alert.on = .*: expected a list of some of failed, timed_out"),
        ("alert", '{"on": []}', "alert.on"),
        ("alert", '{"off": 1}', "alert.off = 1: expected true or false"),
        ("misfire", "some", "unknown"),
        ("command", "  ", "empty"),
        ("ends_at", 1, "ends_at"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(column: str, value: object, said: str):
    with pytest.raises(DefinitionError, match=said):
        judge({**ROW, "starts_at": 5, column: value})


@pytest.mark.parametrize(
    ("kind", "command", "args"),
    [
        ("python", "nope", None),
        ("python", "a:b:c", None),
        ("python", "os.system", None),
        ("python", "a.b:c", '{"kwargs": [1]}'),
        ("http", "x", None),
        ("http", "ftp://x", None),
        ("http", "http://u:pw@h/", None),
        ("http", "http://h/", '{"method": "BREW"}'),
        ("publish", "events", None),
        ("publish", "queue:events", None),
        ("publish", "stream:", None),
        ("publish", "list:lb:7", None),
        ("publish", "list:events", '{"maxlen": 5}'),
        ("publish", "stream:events", '{"maxlen": 0}'),
        ("publish", "stream:events", '{"body": 1}'),
    ],
)
def test_what_no_host_could_run_is_refused_by_its_kind(kind: str, command: str, args: str | None):
    with pytest.raises(DefinitionError, match=r"command = |args\."):
        judge({**ROW, "kind": kind, "command": command, "args": args})


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("python", "pack.mod:Class.method"),
        ("http", "https://h/p?q=1"),
        ("shell", "true"),
        ("publish", "stream:events"),
        ("publish", "list:mails to send"),
        ("publish", "channel:c"),
    ],
)
def test_what_a_host_can_run_is_accepted(kind: str, command: str):
    assert judge({**ROW, "kind": kind, "command": command}).kind == kind


def test_all_problems_of_a_row_are_told_at_once():
    with pytest.raises(DefinitionError) as found:
        judge({**ROW, "cron": "x", "route": "everywhere", "args": '{"k": 1}'})
    assert all(word in str(found.value) for word in ("route", "args.k", "x"))


def row(n: int) -> FinishRow:
    return FinishRow(RunKey(n, 1), 1, "succeeded")


def test_the_outbox_gives_batches_of_one_node_id_in_order():
    outbox = Outbox(ManualRuntime(), MemoryJournal())
    for n, node in enumerate("aab"):
        outbox.put(node, row(n))
    Keep(outbox).run_once()
    assert outbox.peek(10) == ("a", [row(0), row(1)])
    outbox.drop(2)
    assert outbox.peek(10) == ("b", [row(2)])


def test_an_outcome_goes_to_the_store_only_after_the_journal_has_it():
    journal = MemoryJournal()
    outbox = Outbox(ManualRuntime(), journal)
    outbox.put("a", row(0))
    assert outbox.peek(10) == ("", [])
    assert len(outbox) == 1
    Keep(outbox).run_once()
    assert [(outcome.node_id, outcome.row) for outcome in journal.left()] == [("a", row(0))]
    assert outbox.peek(10) == ("a", [row(0)])


def test_what_the_store_has_confirmed_is_not_kept_any_more():
    journal = MemoryJournal()
    outbox = Outbox(ManualRuntime(), journal)
    for n in range(2):
        outbox.put("a", row(n))
    Keep(outbox).run_once()
    outbox.drop(1)
    assert [outcome.row for outcome in journal.left()] == [row(1)]
    assert Outbox(ManualRuntime(), journal).peek(10) == ("a", [row(1)])
