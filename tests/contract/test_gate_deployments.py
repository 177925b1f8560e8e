"""The gate over Redis in all its deployments: the same answers, and what a fail-over costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from leasebeat import settings
from leasebeat.cli import doctor
from leasebeat.errors import GateUnavailable
from leasebeat.gate.deployment import deployment
from leasebeat.gate.redis import RedisGate
from leasebeat.model.instant import SECOND
from leasebeat.model.run import RunKey
from leasebeat.runtime import SystemRuntime
from leasebeat.store.url import StoreUrl
from leasebeat.testing.redis_servers import RedisCluster, Sentinels, admin, tls_options
from leasebeat.testing.servers import Redis, free_port
from tests.certificates import certificate
from tests.contract.store_bench import NODE, OTHER, START, MysqlBench, empty, opening

NOON = 1_795_176_000_000_000
PATIENCE_S = 0.9
FAILED_OVER_S = 40
USER, PASSWORD = "lb_worker", "sword/fish"

Eventually = Callable[..., None]
MakeGate = Callable[..., RedisGate]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that is its own authority, and its key."""
    return certificate(tmp_path_factory.mktemp("tls"), "redis")


@pytest.fixture(scope="module")
def single(servers: object, authority: tuple[Path, Path]) -> Iterator[tuple[Redis, str]]:
    """One server, and its URL by TLS."""
    port = free_port()
    with Redis(options=tls_options(port, *authority)) as server:
        yield server, f"rediss://127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def sentinels(servers: object, authority: tuple[Path, Path]) -> Iterator[Sentinels]:
    with Sentinels(password="watchman", tls=authority) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(servers: object, authority: tuple[Path, Path]) -> Iterator[RedisCluster]:
    with RedisCluster(tls=authority) as made:
        yield made


@pytest.fixture(params=["single", "sentinels", "cluster"])
def where(request: pytest.FixtureRequest, authority: tuple[Path, Path]) -> settings.Redis:
    """`[redis]` of each deployment in turn."""
    made = request.getfixturevalue(request.param)
    url = made[1] if request.param == "single" else made.url
    return by_tls(url, authority, "watchman" if request.param == "sentinels" else "")


def by_tls(url: str, authority: tuple[Path, Path], sentinel_auth: str = "watchman") -> settings.Redis:
    return settings.Redis(url, ssl_ca=str(authority[0]), sentinel_auth=sentinel_auth)


@pytest.fixture
def make_gate(request: pytest.FixtureRequest) -> Iterator[MakeGate]:
    gates: list[RedisGate] = []

    def make(redis: settings.Redis) -> RedisGate:
        # Its own keys: servers are shared.
        installation = str(abs(hash(request.node.name)))
        gates.append(RedisGate(deployment(redis, PATIENCE_S), installation, SystemRuntime()))
        return gates[-1]

    yield make
    for gate in gates:
        gate.close()


def fires(second: int, count: int = 3) -> list[RunKey]:
    return [RunKey(NOON + second * SECOND, number) for number in range(1, count + 1)]


def answers(gate: RedisGate, redis_fires: list[RunKey], token: str) -> bool:
    """Whether it has an answer; errors are no answers."""
    try:
        return len(gate.ask(redis_fires, token)) == len(redis_fires)
    except GateUnavailable:
        return False


def test_the_first_to_ask_has_the_fire_and_keeps_it(
    where: settings.Redis, make_gate: MakeGate, eventually: Eventually
) -> None:
    gates = make_gate(where), make_gate(where)
    eventually(lambda: all(gate.usable for gate in gates))
    for second in range(20):  # of a cluster each second is another slot
        assert gates[0].ask(fires(second), "me") == [True] * 3
        assert gates[1].ask(fires(second, 4), "you") == [False] * 3 + [True]
        assert gates[0].ask(fires(second, 4), "me") == [True] * 3 + [False]


def test_nodes_hear_each_other(where: settings.Redis, make_gate: MakeGate, eventually: Eventually) -> None:
    heard: list[str] = []
    make_gate(where).listen(heard.append)
    other = make_gate(where)

    def noticed() -> bool:
        other.notify("queue")
        return "queue" in heard

    eventually(noticed)


def test_a_publish_task_reaches_the_server_of_its_key(where: settings.Redis) -> None:
    connect = deployment(where, PATIENCE_S).connect
    for name in map("events-{}".format, range(12)):  # over all slots
        link = connect(name)
        assert link.call("RPUSH", name, "hello") == 1
        link.close()


def test_doctor_finds_nothing_wrong(where: settings.Redis) -> None:
    found = list(doctor.redis(settings.Settings(redis=where)))
    assert [(finding.name, finding.found) for finding in found if not finding.ok] == []
    assert len(found) == {"rediss": 2, "rediss+sentinel": 3, "rediss+cluster": 9}[where.url.partition(":")[0]]


# TLS, users and passwords


def trouble(redis: settings.Redis) -> str:
    with pytest.raises(GateUnavailable) as caught:
        deployment(redis, PATIENCE_S).open()
    return str(caught.value)


def test_a_certificate_of_nobody_that_is_known_is_refused_unless_that_is_wanted(
    single: tuple[Redis, str], sentinels: Sentinels, cluster: RedisCluster
) -> None:
    for url in (single[1], sentinels.url, cluster.url):
        assert "certificate verify failed" in trouble(settings.Redis(url, sentinel_auth="watchman"))
        lax = settings.Redis(url, ssl_verify=False, sentinel_auth="watchman")
        deployment(lax, PATIENCE_S).open().close()


def acl_of_the_docs(server: Redis, *more: str) -> None:
    """Make the user as docs/operations.md says, with the rights `more`."""
    page = (Path(__file__).parents[2] / "docs/operations.md").read_text()
    (line,) = re.findall(rf"^ACL SETUSER {USER} (.*)$", page, re.MULTILINE)
    with admin(server) as client:
        client.execute_command("ACL", "SETUSER", USER, *line.replace("PASSWORD", PASSWORD).split(), *more)


def test_the_rights_that_the_docs_name_are_enough(
    own_redis: Redis, make_gate: MakeGate, eventually: Eventually
) -> None:
    acl_of_the_docs(own_redis)
    gate = make_gate(settings.Redis(f"redis://{USER}:sword%2Ffish@127.0.0.1:{own_redis.port}/7"))
    eventually(lambda: gate.usable)
    heard: list[str] = []
    gate.listen(heard.append)

    def noticed() -> bool:
        gate.notify("queue")
        return "queue" in heard

    eventually(noticed)
    assert gate.ask(fires(0), "me") == [True] * 3
    link = deployment(settings.Redis(f"redis://{USER}:sword%2Ffish@127.0.0.1:{own_redis.port}"), 1).connect(
        ""
    )
    with pytest.raises(GateUnavailable, match="NOPERM"):
        link.call("SET", "of-somebody-else", 1)


def test_each_right_that_the_docs_name_is_needed(own_redis: Redis) -> None:
    rights = {"+eval": ("EVAL", "return 1", 0), "+set": ("SET", "lb:a", 1), "+get": ("GET", "lb:a")}
    for right, command in rights.items():
        acl_of_the_docs(own_redis, right.replace("+", "-"))
        url = f"redis://{USER}:sword%2Ffish@127.0.0.1:{own_redis.port}"
        link = deployment(settings.Redis(url), 1).connect("")
        with pytest.raises(GateUnavailable, match="NOPERM") as caught:
            link.call(*command)
        assert PASSWORD not in str(caught.value)


def test_in_a_cluster_the_rights_of_the_docs_are_enough(
    cluster: RedisCluster, authority: tuple[Path, Path], make_gate: MakeGate, eventually: Eventually
) -> None:
    for node in cluster.nodes:
        acl_of_the_docs(node, "+cluster|slots")
    url = cluster.url.replace("://", f"://{USER}:sword%2Ffish@")
    gate = make_gate(by_tls(url, authority))
    eventually(lambda: gate.usable)
    assert gate.ask(fires(0), "me") == [True] * 3


@pytest.mark.parametrize("auth", ["", "swordfish", "user:swordfish"])
def test_sentinels_want_their_own_password_and_nobody_repeats_it(
    sentinels: Sentinels, authority: tuple[Path, Path], auth: str
) -> None:
    said = trouble(by_tls(sentinels.url, authority, auth))
    assert said.startswith("no Sentinel names a primary: Redis at 127.0.0.1")
    assert ("NOAUTH" in said or "Authentication required" in said) if not auth else "WRONGPASS" in said
    assert "swordfish" not in said


def test_a_service_that_no_sentinel_knows_is_told(sentinels: Sentinels, authority: tuple[Path, Path]) -> None:
    url = f"rediss+sentinel://{sentinels.places}/nobody"
    assert "knows no service 'nobody'" in trouble(by_tls(url, authority))


def test_who_is_gone_is_passed_over(
    sentinels: Sentinels, cluster: RedisCluster, authority: tuple[Path, Path]
) -> None:
    gone = f"://127.0.0.1:{free_port()},"
    watched = by_tls(sentinels.url.replace("://", gone), authority)
    deployment(watched, PATIENCE_S).open().close()
    deployment(by_tls(cluster.url.replace("://", gone), authority), PATIENCE_S).open().close()
    (finding,) = (f for f in doctor.redis(settings.Settings(redis=watched)) if not f.ok)
    assert (finding.name, finding.found[:24]) == ("Redis Sentinels", "3 of 4 name the primary;")


def test_a_node_of_a_cluster_is_not_taken_for_a_single_server(cluster: RedisCluster) -> None:
    (finding,) = (
        f for f in doctor.redis(settings.Settings(redis=settings.Redis(cluster.nodes[0].url))) if not f.ok
    )
    assert finding.found == "ok, 3 primaries with slots; named as a single server"


# What a change costs; these change the servers, and come last


def test_a_slot_that_has_moved_is_found_at_its_new_place(
    cluster: RedisCluster, authority: tuple[Path, Path], make_gate: MakeGate, eventually: Eventually
) -> None:
    gate = make_gate(by_tls(cluster.url, authority))
    eventually(lambda: gate.usable)
    slot = cluster.ask(cluster.nodes[0], "CLUSTER KEYSLOT", f"{{{NOON // SECOND + 500}}}")
    home, other = slot * 3 // 16384, (slot * 3 // 16384 + 1) % 3
    myself = cluster.ask(cluster.nodes[other], "CLUSTER MYID")
    for node in (cluster.nodes[other], cluster.nodes[home]):
        cluster.ask(node, "CLUSTER SETSLOT", slot, "NODE", myself)
    with pytest.raises(GateUnavailable, match="MOVED"):
        gate.ask(fires(500), "me")
    eventually(lambda: answers(gate, fires(500), "me"), FAILED_OVER_S)
    assert gate.ask(fires(500), "you") == [False] * 3


@pytest.mark.fault(20)
def test_a_primary_of_a_cluster_that_dies_is_replaced(
    cluster: RedisCluster, authority: tuple[Path, Path], make_gate: MakeGate, eventually: Eventually
) -> None:
    gate = make_gate(by_tls(cluster.url, authority))
    eventually(lambda: gate.usable)
    cluster.nodes[0].kill9()
    lost = [second for second in range(600, 620) if not answers(gate, fires(second), "me")]
    assert lost, "no second was of the dead one"
    eventually(lambda: answers(gate, fires(lost[0]), "me"), FAILED_OVER_S)
    assert gate.ask(fires(lost[0]), "you") == [False] * 3


@pytest.mark.fault(20)
def test_after_a_fail_over_two_nodes_may_pass_the_gate_and_one_has_the_row(
    sentinels: Sentinels,
    authority: tuple[Path, Path],
    make_gate: MakeGate,
    mysql_accounts: dict[str, StoreUrl],
    eventually: Eventually,
) -> None:
    gate = make_gate(by_tls(sentinels.url, authority))
    eventually(lambda: gate.usable)
    sentinels.replica.freeze()
    with admin(sentinels.primary) as client:
        client.execute_command(
            "CLIENT", "KILL", "TYPE", "replica"
        )  # else it reads what has been sent already
    fire = RunKey(START, 1)
    assert gate.ask([fire], NODE) == [True]
    sentinels.primary.kill9()
    sentinels.replica.thaw()
    assert not answers(gate, [fire], NODE)
    eventually(lambda: answers(gate, fires(701), NODE), FAILED_OVER_S)
    assert gate.ask([fire], OTHER) == [True]
    with closing(empty_bench(mysql_accounts)) as bench:
        version = bench.schedule(1)
        claims = [bench.store.claim(node, START, [opening(version)]).count for node in (NODE, OTHER)]
    assert claims == [1, 0]


def empty_bench(accounts: dict[str, StoreUrl]) -> MysqlBench:
    """A store without schedules and with two nodes."""
    empty(accounts["owner"])
    bench = MysqlBench(accounts["worker"], accounts["owner"])
    bench.join(NODE)
    bench.join(OTHER)
    return bench
