"""The gate: what every gate answers, and what the one over a real Redis does when Redis fails."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from leasebeat import settings
from leasebeat.errors import GateUnavailable, SettingsError
from leasebeat.gate.base import Gate, OpenGate
from leasebeat.gate.deployment import Deployment, deployment
from leasebeat.gate.link import TIMEOUT_S
from leasebeat.gate.redis import BATCH, GateCounters, RedisGate
from leasebeat.model.run import RunKey
from leasebeat.runtime import SystemRuntime, Waiter
from leasebeat.testing.redis_servers import Proxy
from leasebeat.testing.servers import Redis, free_port

NOON = 1_795_176_000_000_000
FIRE = RunKey(NOON, 7)
PATIENCE_S = 0.9
"""A loaded machine may take longer than the real time-out to do what is not the test's subject."""

Eventually = Callable[[Callable[[], object]], None]
MakeGate = Callable[..., RedisGate]


class HastyWaiter:
    """Waits a fiftieth of what it is asked to, and writes it down."""

    def __init__(self, waiter: Waiter, pauses: list[float]) -> None:
        self._waiter, self._pauses = waiter, pauses

    def wait(self, seconds: float) -> bool:
        self._pauses.append(seconds)
        return self._waiter.wait(seconds / 50 if seconds >= 1 else seconds)

    def wake(self) -> None:
        self._waiter.wake()


class HastyRuntime(SystemRuntime):
    """Long pauses pass fast."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def waiter(self) -> Waiter:
        return HastyWaiter(super().waiter(), self.pauses)


class PatientRuntime(SystemRuntime):
    """Long pauses never end by themselves."""

    def waiter(self) -> Waiter:
        waiter = super().waiter()
        patient = HastyWaiter(waiter, [])
        patient.wait = lambda seconds: waiter.wait(3600 if seconds >= 1 else seconds)
        return patient


def at(url: str, timeout_s: float = PATIENCE_S) -> Deployment:
    return deployment(settings.Redis(url), timeout_s)


@pytest.fixture
def make_gate(own_redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeGate]:
    monkeypatch.setattr("leasebeat.gate.redis.TIMEOUT_S", PATIENCE_S)
    gates: list[RedisGate] = []

    def make(
        url: str = own_redis.url, installation: str = "one", runtime: SystemRuntime | None = None
    ) -> RedisGate:
        gates.append(RedisGate(at(url), installation, runtime or HastyRuntime()))
        return gates[-1]

    yield make
    for gate in gates:
        gate.close()


@pytest.fixture
def admin(own_redis: Redis) -> Iterator[redis.Redis]:
    with redis.Redis(port=own_redis.port, socket_timeout=10) as client:
        yield client


@pytest.fixture
def proxy(own_redis: Redis) -> Iterator[Proxy]:
    between = Proxy(own_redis.port)
    yield between
    between.close()


def refusal(gate: Gate, fires: list[RunKey] | None = None) -> str:
    with pytest.raises(GateUnavailable) as caught:
        gate.ask(fires or [FIRE], "me")
    return str(caught.value)


# What it answers


def test_without_redis_every_fire_goes_on_to_the_store():
    assert OpenGate().ask([FIRE, RunKey(NOON, 8)], "me") == [True, True]


def test_nothing_asked_is_nothing_answered(make_gate: MakeGate):
    assert make_gate().ask([], "me") == OpenGate().ask([], "me") == []


def test_the_first_to_ask_has_the_fire(make_gate: MakeGate):
    assert (make_gate().ask([FIRE], "me"), make_gate().ask([FIRE], "you")) == ([True], [False])


def test_who_asks_again_has_it_still(make_gate: MakeGate):
    gate = make_gate()
    assert [gate.ask([FIRE], token) for token in ("me", "you", "me")] == [[True], [False], [True]]


def test_answers_come_in_the_order_of_the_fires(make_gate: MakeGate):
    gate = make_gate()
    gate.ask([RunKey(NOON, 2)], "you")
    assert gate.ask([RunKey(NOON, 3), RunKey(NOON, 2), RunKey(NOON, 1)], "me") == [True, False, True]


def test_a_large_instant_is_asked_in_parts_and_answered_in_order(make_gate: MakeGate):
    gate, fires = make_gate(), [RunKey(NOON, number) for number in range(2 * BATCH + 500)]
    gate.ask(fires[::2], "you")
    assert gate.ask(fires, "me") == [False, True] * (BATCH + 250)


def test_two_fires_of_one_second_are_two(make_gate: MakeGate):
    gate = make_gate()
    gate.ask([FIRE], "you")
    assert gate.ask([RunKey(NOON + 500_000, 7)], "me") == [True]


def test_two_shards_and_two_schedules_are_two(make_gate: MakeGate):
    gate = make_gate()
    gate.ask([FIRE], "you")
    assert gate.ask([RunKey(NOON, 7, 1), RunKey(NOON, 71)], "me") == [True, True]


def test_two_installations_on_one_redis_do_not_meet(make_gate: MakeGate):
    make_gate(installation="staging").ask([FIRE], "you")
    assert make_gate(installation="production").ask([FIRE], "me") == [True]


def test_a_key_names_its_fire_and_goes_away_by_itself(make_gate: MakeGate, admin: redis.Redis):
    make_gate(installation="f00d").ask([RunKey(NOON + 500_000, 7, 3)], "me")
    key = "lb:f00d:{1795176000}:500000:7:3"
    assert admin.get(key) == b"me"
    assert 0 < admin.pttl(key) <= 10_000


def test_fires_are_counted_by_what_became_of_them(make_gate: MakeGate, own_redis: Redis):
    gate = make_gate(runtime=PatientRuntime())
    gate.ask([FIRE], "you")
    gate.ask([FIRE, RunKey(NOON, 8)], "me")
    own_redis.kill9()
    refusal(gate)
    refusal(gate, [FIRE, RunKey(NOON, 8)])
    assert gate.counters == GateCounters(asked=6, won=2, lost=1, failed=1, skipped=2)


# What it does when Redis fails


@pytest.mark.fault(23)
def test_a_lost_reply_is_an_error_and_asking_again_says_yes(
    make_gate: MakeGate, proxy: Proxy, eventually: Eventually
):
    gate = make_gate(proxy.url)
    gate.ask([RunKey(NOON, 1)], "me")
    proxy.answer = lambda reply: b""
    assert "Timeout" in refusal(gate)
    proxy.answer = lambda reply: reply
    eventually(lambda: gate.usable)
    assert (gate.ask([FIRE], "me"), make_gate().ask([FIRE], "you")) == ([True], [False])


def test_a_command_is_never_sent_twice(make_gate: MakeGate, proxy: Proxy):
    gate = make_gate(proxy.url, runtime=PatientRuntime())
    gate.ask([RunKey(NOON, 1)], "me")
    before, proxy.answer = proxy.scripts, lambda reply: b""
    refusal(gate)
    assert proxy.scripts == before + 1


@pytest.mark.fault(22)
def test_a_frozen_redis_costs_one_time_out_and_then_nothing(make_gate: MakeGate, own_redis: Redis):
    gate = make_gate(runtime=PatientRuntime())
    gate.ask([FIRE], "me")
    own_redis.freeze()
    assert "Timeout" in refusal(gate)
    assert ["left alone" in refusal(gate) for _ in range(100)] == [True] * 100
    assert (gate.counters.failed, gate.counters.skipped) == (1, 100)


def test_a_redis_that_was_frozen_is_asked_again(
    make_gate: MakeGate, own_redis: Redis, eventually: Eventually
):
    gate = make_gate()
    gate.ask([FIRE], "me")
    own_redis.freeze()
    refusal(gate)
    own_redis.thaw()
    eventually(lambda: gate.usable)
    assert gate.ask([FIRE], "you") == [False]


def test_the_pause_between_trials_grows_up_to_five_seconds(make_gate: MakeGate, eventually: Eventually):
    runtime = HastyRuntime()
    make_gate(f"redis://127.0.0.1:{free_port()}", runtime=runtime)
    eventually(lambda: len(runtime.pauses) >= 5)
    assert runtime.pauses[:5] == [1, 2, 4, 5, 5]


def test_a_redis_that_comes_later_is_used_then(make_gate: MakeGate, own_redis: Redis, eventually: Eventually):
    own_redis.kill9()
    gate = make_gate()
    assert not gate.usable
    refusal(gate)
    own_redis.start()
    eventually(lambda: gate.usable)
    assert gate.ask([FIRE], "me") == [True]


def test_a_restart_forgets_and_is_got_over(make_gate: MakeGate, own_redis: Redis, eventually: Eventually):
    gate = make_gate()
    gate.ask([FIRE], "you")
    own_redis.kill9()
    refusal(gate)
    own_redis.start()
    eventually(lambda: gate.usable)
    assert gate.ask([FIRE], "me") == [True]


def test_a_flush_gives_the_fire_to_whoever_asks_next(make_gate: MakeGate, admin: redis.Redis):
    gate = make_gate()
    gate.ask([FIRE], "you")
    admin.flushall()
    assert gate.ask([FIRE], "me") == [True]


def test_a_flush_of_the_scripts_is_not_noticed(make_gate: MakeGate, admin: redis.Redis):
    gate = make_gate()
    gate.ask([FIRE], "you")
    admin.script_flush()
    assert gate.ask([FIRE], "me") == [False]


def test_a_full_redis_is_left_out_until_it_has_room(
    make_gate: MakeGate, admin: redis.Redis, eventually: Eventually
):
    gate = make_gate()
    gate.ask([FIRE], "me")
    admin.config_set("maxmemory", 1)
    assert "OOM" in refusal(gate)
    assert "left alone" in refusal(gate)
    admin.config_set("maxmemory", 0)
    eventually(lambda: gate.usable)


@pytest.mark.fault(26)
def test_a_replica_is_left_out_until_it_is_promoted(
    make_gate: MakeGate, admin: redis.Redis, eventually: Eventually
):
    gate = make_gate()
    gate.ask([FIRE], "me")
    admin.replicaof("127.0.0.1", free_port())
    assert "READONLY" in refusal(gate)
    assert "left alone" in refusal(gate)
    admin.replicaof("NO", "ONE")
    eventually(lambda: gate.usable)


def test_a_redis_busy_with_somebodys_script_is_left_out_until_that_ends(
    make_gate: MakeGate, own_redis: Redis, admin: redis.Redis, eventually: Eventually
):
    gate = make_gate()
    gate.ask([FIRE], "me")
    admin.config_set("busy-reply-threshold", 1)
    with socket.create_connection(("127.0.0.1", own_redis.port)) as somebody:
        somebody.sendall(b"EVAL 'while true do end' 0\r\n")
        eventually(lambda: is_busy(admin))
        assert "BUSY" in refusal(gate)
        admin.script_kill()
        eventually(lambda: gate.usable)


def is_busy(admin: redis.Redis) -> bool:
    try:
        return not admin.ping()
    except redis.ResponseError as problem:
        return "BUSY" in str(problem)


@pytest.mark.fault(27)
def test_a_redis_that_loads_its_data_is_left_out_until_it_has_it(
    make_gate: MakeGate, eventually: Eventually
) -> None:
    slowly = ["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"]
    with Redis(options=slowly) as server:
        with redis.Redis(port=server.port) as client:
            client.mset({f"key-{number}": "x" * 100 for number in range(500)})
            client.save()
        server.kill9()
        starting = threading.Thread(target=server.start)
        starting.start()
        gate = make_gate(server.url)
        eventually(lambda: "LOADING" in gate._problem)
        starting.join()
        eventually(lambda: gate.usable)


@pytest.mark.fault(29)
def test_a_host_without_a_descriptor_left_leaves_redis_out_until_it_has_one(
    make_gate: MakeGate, admin: redis.Redis, eventually: Eventually
) -> None:
    gate = make_gate()
    gate.ask([FIRE], "me")
    admin.ping()  # it has its connection now
    with no_descriptor_left():
        admin.client_kill_filter(_type="normal", skipme=True)
        assert "closed" in refusal(gate)
        eventually(lambda: "Too many open files" in gate._problem)
    eventually(lambda: gate.usable)


@contextmanager
def no_descriptor_left() -> Generator[None]:
    """This process keeps those that it has, and gets no other."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "MISCONF"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "CLUSTERDOWN"),
        (b"-NOPERM this user has no permissions\r\n", "NOPERM"),
        (b"HTTP/1.1 400 Bad Request\r\n", "Protocol Error"),
        (b":1\r\n", "1 answers expected"),
        (b"*2\r\n:1\r\n:1\r\n", "1 answers expected"),
    ],
)
def test_a_reply_that_is_no_answer_is_an_error(make_gate: MakeGate, proxy: Proxy, reply: bytes, said: str):
    gate = make_gate(proxy.url)
    gate.ask([RunKey(NOON, 1)], "me")
    proxy.answer = lambda _: reply
    assert said in refusal(gate)


def test_options_in_the_url_cannot_bring_back_retries_or_long_time_outs(
    make_gate: MakeGate, own_redis: Redis
):
    gate = make_gate(f"{own_redis.url}?socket_timeout=60&retry_on_timeout=yes&protocol=3")
    gate.ask([FIRE], "me")
    links = gate._links
    assert links is not None
    connection: Any = links.of("any")._connection
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (PATIENCE_S, PATIENCE_S)
    assert (connection.retry.get_retries(), connection.retry_on_error, connection.protocol) == (0, [], 2)


def test_the_time_out_is_what_a_fire_may_be_delayed_by():
    assert TIMEOUT_S == 0.2


# Passwords, URLs and the import


def test_a_missing_password_is_told(make_gate: MakeGate, admin: redis.Redis, eventually: Eventually):
    admin.config_set("requirepass", "hunter2")
    gate = make_gate()
    assert "left alone" in refusal(gate)
    eventually(lambda: "Authentication required" in refusal(gate))


def test_the_right_password_opens(make_gate: MakeGate, admin: redis.Redis, own_redis: Redis):
    admin.config_set("requirepass", "hunter/2")
    assert make_gate(f"redis://:hunter%2F2@127.0.0.1:{own_redis.port}").ask([FIRE], "me") == [True]


@pytest.mark.fault(27)
def test_a_wrong_password_is_not_repeated(
    make_gate: MakeGate, admin: redis.Redis, own_redis: Redis, log_lines: list[str], eventually: Eventually
):
    admin.config_set("requirepass", "hunter2")
    gate = make_gate(f"redis://:swordfish@127.0.0.1:{own_redis.port}")
    refusal(gate)
    eventually(lambda: any("gate_lost" in line for line in log_lines))
    assert "WRONGPASS" in "".join(log_lines)
    assert "swordfish" not in "".join(log_lines)


def test_a_server_that_repeats_the_password_is_masked(make_gate: MakeGate, proxy: Proxy):
    gate = make_gate(proxy.url)
    gate.ask([RunKey(NOON, 1)], "me")
    links = gate._links
    assert links is not None
    links.of("any")._server._secrets.add("swordfish")
    proxy.answer = lambda _: b"-ERR unknown command 'AUTH', with args beginning with: 'swordfish'\r\n"
    with pytest.raises(GateUnavailable) as caught:
        gate.ask([FIRE], "me")
    assert ("'***'" in str(caught.value), caught.value.__cause__) == (True, None)


@pytest.mark.parametrize(
    "url",
    [
        *("http://:swordfish@a", "redis://:swordfish@a:port", "redis://:swordfish@a?foo=1", ""),
        *(
            "redis+sentinel://:swordfish@a",
            "redis+sentinel://:swordfish@a/b/c",
            "redis+sentinel://:swordfish@/b",
        ),
        *(
            "redis+cluster://:swordfish@a/1",
            "redis+cluster://:swordfish@a,:1",
            "redis+cluster://:swordfish@a:b",
        ),
        "redis+sentinel://:swordfish@a/b/0?foo=1",
    ],
)
def test_an_unusable_url_is_refused_without_its_password(url: str):
    with pytest.raises(SettingsError, match="expected redis://") as caught:
        at(url)
    assert "swordfish" not in str(caught.value)


def test_redis_py_is_not_imported_before_a_gate_is_made():
    code = "import sys, leasebeat.gate.redis; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# The channel


def listening(gate: RedisGate, eventually: Eventually) -> list[str]:
    """What the gate hears from now on."""
    heard: list[str] = []
    gate.listen(heard.append)

    def noticed() -> bool:
        gate.notify("start")
        return "start" in heard

    eventually(noticed)
    return heard


def test_nodes_hear_each_other(make_gate: MakeGate, eventually: Eventually):
    heard = listening(make_gate(), eventually)
    make_gate().notify("queue")
    make_gate().notify("kill")
    eventually(lambda: {"queue", "kill"} <= set(heard))


def test_another_installation_is_not_heard(make_gate: MakeGate, eventually: Eventually):
    gate = make_gate()
    heard = listening(gate, eventually)
    make_gate(installation="two").notify("queue")
    gate.notify("end")
    eventually(lambda: "end" in heard)
    assert "queue" not in heard


def test_a_listener_comes_back_after_a_restart(make_gate: MakeGate, own_redis: Redis, eventually: Eventually):
    gate = make_gate()
    heard = listening(gate, eventually)
    own_redis.kill9()
    own_redis.start()

    def noticed() -> bool:
        gate.notify("again")
        return "again" in heard

    eventually(noticed)


def test_a_word_that_reaches_nobody_is_lost_without_a_trace(make_gate: MakeGate, own_redis: Redis):
    gate = make_gate()
    gate.ask([FIRE], "me")
    own_redis.kill9()
    gate.notify("queue")
    assert not gate.usable


def test_a_closed_gate_sends_everybody_to_the_store_and_leaves_no_thread(
    make_gate: MakeGate, eventually: Eventually
):
    gate = make_gate()
    listening(gate, eventually)
    gate.close()
    assert "left alone" in refusal(gate)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("gate")]
