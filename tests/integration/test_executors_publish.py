"""Publishing into a real Redis: what arrives, what is handed on, and what becomes of it without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
import redis

from leasebeat import settings
from leasebeat.executors.options import ExecutorOptions
from leasebeat.executors.publish import Connect, Line, PublishExecutor
from leasebeat.gate.deployment import deployment
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode
from leasebeat.testing.servers import Redis
from leasebeat.testing.trials.cases import proves
from tests.integration.executing import Bench, bench, launch, until

OK = OutcomeKind.SUCCEEDED


def to(url: str, timeout_s: float) -> Connect:
    return deployment(settings.Redis(url), timeout_s).connect


class Publisher:
    """The executor under a real guardian, and a client that looks."""

    def __init__(self, made: Bench, connect: Connect) -> None:
        self.bench = made
        self.executor = PublishExecutor(made.options, made.runtime, made.loop, made.leash, connect)

    def run(self, command: str, args: dict[str, object] | None = None, **fields: Any) -> Outcome:
        what = replace(launch(command, args, kind="publish"), **fields)
        self.bench.start(what, self.executor)
        return self.bench.next()[1]


@pytest.fixture
def publisher(redis_url: str) -> Iterator[Publisher]:
    with bench(ExecutorOptions(kill_grace_s=0.3)) as made:
        yield Publisher(made, to(redis_url, 5.0))


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as made:
        yield made


def test_a_stream_gets_an_entry_that_says_which_run_it_is_of(publisher: Publisher, client: Any) -> None:
    outcome = publisher.run("stream:events", {"message": {"do": "refresh"}})
    ((entry, told),) = client.xrange("events")
    assert (outcome.kind, json.loads(outcome.result or "")) == (OK, entry)
    assert json.loads(told["message"]) == {"do": "refresh"}
    assert (told["run_key"].partition("@")[2], told["attempt"], told["fence"]) == (
        "2026-11-20T03:00:00Z",
        "1",
        "1234",
    )


@proves("args.maxlen", "number")
def test_a_stream_is_kept_at_about_its_length(publisher: Publisher, client: Any) -> None:
    for number in range(300):
        client.xadd("events", {"n": number})
    publisher.run("stream:events", {"maxlen": 10})
    assert 10 <= client.xlen("events") < 300


def test_a_list_grows_at_its_end_and_the_result_is_its_length(publisher: Publisher, client: Any) -> None:
    outcomes = [publisher.run("list:mails", {"message": text}) for text in ("one", "two")]
    assert [outcome.result for outcome in outcomes] == ["1", "2"]
    assert client.lrange("mails", 0, -1) == ["one", "two"]


def test_without_a_message_the_run_is_told(publisher: Publisher, client: Any) -> None:
    publisher.run("list:runs", shards=4, shard_arg="Beijing", upstream='[{"key":"a"}]')
    told = json.loads(client.lindex("runs", 0))
    assert told.pop("schedule").startswith("job")
    assert told.pop("run_key").endswith("@2026-11-20T03:00:00Z")
    assert told == {
        "fire_at": "2026-11-20T03:00:00Z",
        "attempt": 1,
        "fence": 1234,
        "shard": 0,
        "shards": 4,
        "shard_arg": "Beijing",
        "upstream": [{"key": "a"}],
    }


def test_a_channel_reaches_who_listens_and_the_result_is_how_many(publisher: Publisher, client: Any) -> None:
    assert publisher.run("channel:news", {"message": 1}).result == "0"
    with client.pubsub() as listener:
        listener.subscribe("news")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        assert publisher.run("channel:news", {"message": ["é"]}).result == "1"
        assert json.loads(listener.get_message(timeout=5)["data"]) == ["é"]


def test_text_that_no_message_can_hold_is_not_published(publisher: Publisher, client: Any) -> None:
    outcome = publisher.run("list:a", {"message": "\ud800"})
    assert (outcome.kind, client.llen("a")) == (OutcomeKind.START_FAILED, 0)
    assert outcome.reason.startswith("nothing was published: 'utf-8' codec can't encode")
    assert publisher.run("list:a", {"message": ["\ud800"]}).kind is OK


def test_an_error_of_redis_is_a_failure_that_says_it(publisher: Publisher, client: Any) -> None:
    client.set("events", "no stream")
    outcome = publisher.run("stream:events")
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.FAILED, ReasonCode.EXCEPTION)
    assert "WRONGTYPE" in outcome.reason


def test_a_secret_of_the_node_can_be_part_of_it_and_one_that_is_missing_ends_the_start(
    publisher: Publisher, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    assert publisher.run("list:t", {"message": [{"env": "TOKEN"}]}).kind is OK
    assert client.lindex("t", 0) == '["s3cret"]'
    outcome = publisher.run("list:t", {"message": {"env": "NOT_THERE"}})
    assert (outcome.kind, client.llen("t")) == (OutcomeKind.START_FAILED, 1)


def test_without_a_server_nothing_was_published_and_another_node_may_try() -> None:
    with bench() as made:
        outcome = Publisher(made, to("redis://:pw@127.0.0.1:1/0", 0.5)).run("list:a")
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.START_FAILED, ReasonCode.START_FAILED)
    assert outcome.reason.startswith("nothing was published: Redis at 127.0.0.1:1 gave no usable answer")


def test_a_lost_answer_is_a_failure_that_says_what_may_have_happened(own_redis: Redis) -> None:
    frozen = cast("Any", redis.Redis.from_url(own_redis.url))
    with bench() as made, frozen:
        connect = to(own_redis.url, 0.3)

        def connect_then_freeze(key: str) -> Line:
            line = connect(key)
            own_redis.freeze()
            return line

        lost = Publisher(made, connect_then_freeze).run("list:a")
        own_redis.thaw()
        until(lambda: frozen.llen("a") == 1, "the message whose answer was lost")
    assert (lost.kind, lost.reason_code) == (OutcomeKind.FAILED, ReasonCode.EXCEPTION)
    assert "unless Redis itself refused the message, it may have arrived" in lost.reason


def test_a_lapsed_lease_publishes_nothing(publisher: Publisher, client: Any) -> None:
    publisher.bench.renew(-1)
    # Not leashed: else the guardian would kill this process with the worker's threads in it.
    what = launch("list:a", kind="publish", on_node_loss="finish")
    publisher.bench.start(what, publisher.executor)
    outcome = publisher.bench.next()[1]
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.LOST, ReasonCode.LEASE_LOST)
    assert client.llen("a") == 0


def test_a_time_out_ends_it_while_redis_says_nothing(own_redis: Redis) -> None:
    with bench() as made:
        publisher = Publisher(made, to(own_redis.url, 5.0))
        own_redis.freeze()
        what = launch("list:a", kind="publish", timeout_s=0.2)
        made.start(what, publisher.executor)
        outcome = made.next(3)[1]
        own_redis.thaw()
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.TIMED_OUT, ReasonCode.TIMEOUT)


def test_a_host_without_redis_refuses_and_says_what_it_lacks() -> None:
    with bench() as made:
        executor = PublishExecutor(made.options, made.runtime, made.loop, made.leash, None)
        said = executor.refuse(launch("stream:a", kind="publish").schedule)
    assert said == "kind = 'publish' needs Redis, and [redis] url of this host is empty"
