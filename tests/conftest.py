"""What all rings share: a clean environment, real servers, and the time that each ring takes.

One MariaDB and one Redis serve the whole session, started by whoever needs them first and by nobody
when no test does; every test gets a database of its own. Tests that kill or freeze a server use
`own_mariadb` and `own_redis`.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from leasebeat import logs
from leasebeat.settings import Log
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.servers import MariaDB, Missing, Redis, need
from leasebeat.testing.zookeeper import ZooKeeperEnsemble

for name in [name for name in os.environ if name.startswith("LEASEBEAT_")]:
    del os.environ[name]  # what the developer's shell says must not reach the tests

# Never by the clock: a slow machine is no failure. A failing example prints how to replay it.
hypothesis.settings.register_profile("leasebeat", deadline=None, print_blob=True)
hypothesis.settings.load_profile("leasebeat")

RINGS = ("unit", "contract", "integration", "simulation", "acceptance", "chaos")
ROOT = Path(__file__).parent.parent
SERVERS = frozenset({"servers", "mariadb", "redis_url", "own_mariadb", "own_redis", "ensemble"})
FOLDER, OWNER = "LB_TEST_SERVERS", "LB_TEST_OWNER"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--store", metavar="URL", help="a MySQL or MariaDB server for the contract and integration rings"
    )

    parser.addoption("--quick", action="store_true", help="only what needs no server and is not slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    left_out = [item for item in items if _needs_time_or_servers(item)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _needs_time_or_servers(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    variant = item.callspec.id if hasattr(item, "callspec") else ""
    return (
        item.get_closest_marker("slow") is not None
        or not SERVERS.isdisjoint(item.fixturenames)
        or any(word in variant for word in ("mysql", "mariadb", "redis"))
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _check_given(config.getoption("--store"))
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="lb-session-")
        os.environ[OWNER] = str(os.getpid())


def _check_given(store: str | None) -> None:
    try:
        if store and not MySQL.parse(store).answers():
            raise pytest.UsageError("--store: no answer from there; does `mysql` reach it with that account?")
    except ValueError as problem:
        raise pytest.UsageError(f"--store: {problem}") from problem


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    if OWNER not in os.environ:
        return  # refused before it began
    folder = Path(os.environ[FOLDER])
    keeper = folder / "keeper.pid"
    if keeper.exists():
        _end_keeper(int(keeper.read_text()))
    shutil.rmtree(folder, ignore_errors=True)


def _end_keeper(pid: int) -> None:
    """End the process that keeps the servers, and wait until it has cleaned up."""
    try:
        ended = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # it ended by itself
    select.select([ended], [], [], 30)


def pytest_report_header(config: pytest.Config) -> str:
    store = config.getoption("--store")
    mariadb = (
        f"given store {MySQL.parse(store).version}"
        if store
        else _installed("mariadbd", "mariadb-server-core")
    )
    return f"servers: {mariadb}; {_installed('redis-server', 'redis-server')}"


def _installed(program: str, package: str) -> str:
    try:
        said = subprocess.run(
            [need(program, package), "--version"], capture_output=True, text=True, check=True
        )
    except Missing as problem:
        return str(problem)
    return " ".join(said.stdout.replace("=", " ").split()[:4])


def _cannot(problem: object) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{problem} (CI=true: nothing is skipped)", pytrace=False)
    pytest.skip(f"{problem}; scripts/test installs what is missing")


@pytest.fixture(scope="session")
def servers() -> dict[str, str]:
    """Where the session's servers are: MYSQL_URL, REDIS_URL."""
    try:
        need("mariadbd", "mariadb-server-core")
        need("redis-server", "redis-server")
    except Missing as problem:
        _cannot(problem)
    folder = Path(os.environ[FOLDER])
    with (folder / "lock").open("w") as lock:
        # With xdist several processes come here at once; the first starts the servers for all.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "servers.json").exists():
            _start_keeper(folder)
    return json.loads((folder / "servers.json").read_text())


def _start_keeper(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "leasebeat.testing",
        "--folder",
        str(folder),
        "--until-pid",
        os.environ[OWNER],
    ]
    with (folder / "keeper.log").open("wb") as log:
        # A session of its own: ctrl-C is for pytest, which then ends the keeper in good order.
        keeper = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=ROOT)
    (folder / "keeper.pid").write_text(str(keeper.pid))
    end = time.monotonic() + 90
    while not (folder / "servers.json").exists():
        if keeper.poll() is not None or time.monotonic() > end:
            pytest.fail(f"the servers did not start:\n{(folder / 'keeper.log').read_text()}", pytrace=False)
        time.sleep(0.02)
    keeper.returncode = 0  # it outlives the process that started it: no ResourceWarning for that


@pytest.fixture(scope="session")
def mariadb(request: pytest.FixtureRequest) -> MySQL:
    """The session's server (or the one of `--store`), as an account that may create databases."""
    given = request.config.getoption("--store")
    return MySQL.parse(given or request.getfixturevalue("servers")["MYSQL_URL"])


@pytest.fixture
def empty_mysql_url(mariadb: MySQL) -> Iterator[str]:
    """The URL of a new empty database."""
    url = mariadb.create_database()
    yield url
    mariadb.drop_database(url)


@pytest.fixture
def mysql_url(mariadb: MySQL) -> Iterator[str]:
    """The URL of a new store, as the admin account."""
    url = mariadb.create_store()
    yield url
    mariadb.drop_database(url)


@pytest.fixture
def accounts(mariadb: MySQL, mysql_url: str) -> dict[str, str]:
    """The URLs of that store as `worker`, `console` and `owner`."""
    return mariadb.create_accounts(mysql_url)


@pytest.fixture
def worker_url(accounts: dict[str, str]) -> str:
    """The URL of that store as a worker has it."""
    return accounts["worker"]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path}/leasebeat.db"


@pytest.fixture
def redis_url(servers: dict[str, str]) -> str:
    """A numbered database of the session's Redis that no other test of the session has."""
    with (Path(os.environ[FOLDER]) / "redis.count").open("a+") as count:
        fcntl.flock(count, fcntl.LOCK_EX)
        count.write(".")
        count.flush()
        number = count.tell() % 1000
    return servers["REDIS_URL"].removesuffix("/0") + f"/{number}"


@pytest.fixture
def own_mariadb() -> Iterator[MariaDB]:
    """A MariaDB that the test may kill, freeze and restart."""
    try:
        server = MariaDB(Path(os.environ[FOLDER]))
    except Missing as problem:
        _cannot(problem)
    with server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis that the test may kill, freeze and restart."""
    try:
        server = Redis(Path(os.environ[FOLDER]))
    except Missing as problem:
        _cannot(problem)
    with server:
        yield server


@pytest.fixture(scope="module")
def ensemble() -> Iterator[ZooKeeperEnsemble]:
    """Three ZooKeeper servers that the tests of the module may kill, freeze and start again."""
    try:
        found = ZooKeeperEnsemble(Path(os.environ[FOLDER]))
    except Missing as problem:
        _cannot(problem)
    with found:
        yield found


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """Every event of the test, from DEBUG up, as finished lines."""
    lines: list[str] = []
    logs.configure(Log(level="DEBUG"), sink=lines.append)
    yield lines
    logs.configure(Log(level="ERROR"), sink=_nowhere)


def _nowhere(line: str) -> None:
    del line


@pytest.fixture
def eventually() -> Callable[[Callable[[], object], float], None]:
    """Wait until something is true, at most so many seconds; fail otherwise."""

    def wait(true: Callable[[], object], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"still not true after {seconds:g} s"
            time.sleep(0.01)

    return wait


_tests: dict[str, int] = defaultdict(int)
_spent: dict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    parts = Path(report.nodeid.split("::")[0]).parts
    ring = parts[1] if len(parts) > 2 and parts[1] in RINGS else "other"
    _tests[ring] += report.when == "setup"
    _spent[ring] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # scripts/test adds up what its rings say; with xdist each worker comes by here, too.
    if "LB_TEST_TALLY" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        counts = {kind: len(reports) for kind, reports in terminalreporter.stats.items()}
        line = [
            counts.get("passed", 0),
            counts.get("failed", 0) + counts.get("error", 0),
            counts.get("skipped", 0),
        ]
        with Path(os.environ["LB_TEST_TALLY"]).open("a") as tally:
            print(*line, file=tally)
    terminalreporter.section("time by ring")
    for ring in (*RINGS, "other"):
        if ring in _spent:
            line = f"{ring:<12} {_tests[ring]:>5} tests {_spent[ring]:8.1f} s of test time"
            terminalreporter.write_line(line)
