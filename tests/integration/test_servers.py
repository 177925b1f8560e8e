"""The private servers that the other tests stand on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest

from leasebeat.store.url import StoreUrl
from leasebeat.testing.mysql import MySQL
from leasebeat.testing.servers import MariaDB, Redis, asked, processes_in

ROOT = Path(__file__).parents[2]


def test_each_test_has_an_empty_database_of_its_own(mariadb: MySQL, empty_mysql_url: str) -> None:
    other = mariadb.create_database()
    assert other != empty_mysql_url
    assert MySQL.parse(other).run("SHOW TABLES") == ()
    mariadb.drop_database(other)


def test_a_database_that_no_test_made_is_never_dropped(mariadb: MySQL) -> None:
    with pytest.raises(ValueError, match="was not made by a test"):
        mariadb.drop_database("mysql://root@localhost/leasebeat")


def test_a_killed_server_comes_back_on_its_port_with_its_data(own_mariadb: MariaDB) -> None:
    url, port = own_mariadb.mysql.create_database(), own_mariadb.port
    MySQL.parse(url).run("CREATE TABLE kept (id INT)", "INSERT INTO kept VALUES (7)")
    own_mariadb.kill9()
    assert not own_mariadb.ready()
    own_mariadb.start()
    assert own_mariadb.port == port
    assert MySQL.parse(url).run("SELECT id FROM kept") == ((7,),)


def test_nobody_comes_in_over_tcp_without_an_account(own_mariadb: MariaDB) -> None:
    for user in ("root", "anybody"):
        with pytest.raises(pymysql.OperationalError, match="not allowed"):
            MySQL.parse(f"mysql://{user}@127.0.0.1:{own_mariadb.port}/mysql").run("SELECT 1")


def test_the_server_does_not_live_in_utc(mariadb: MySQL) -> None:
    assert mariadb.run("SELECT TIMEDIFF(NOW(), UTC_TIMESTAMP()) = '05:30:00'") == ((1,),)


def test_a_frozen_redis_keeps_its_port_and_says_nothing(own_redis: Redis) -> None:
    own_redis.freeze()
    assert asked(own_redis.port, b"PING\r\n") == b""
    own_redis.thaw()
    assert own_redis.ready()


def test_a_shifted_clock_moves_the_servers_time_only() -> None:
    with MariaDB(faketime=True) as server:
        server.shift_clock("+3600s")
        ahead = server.mysql.run("SELECT TIMESTAMPDIFF(MINUTE, '2000-01-01', UTC_TIMESTAMP())")[0][0]
        server.shift_clock("+0s")
        true = server.mysql.run("SELECT TIMESTAMPDIFF(MINUTE, '2000-01-01', UTC_TIMESTAMP())")[0][0]
    assert 59 <= ahead - true <= 60


def test_servers_end_with_the_process_that_they_are_for_however_it_ends(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    folder = tmp_path / "servers"
    folder.mkdir()
    owner = subprocess.Popen(["sleep", "600"])
    command = [
        sys.executable,
        "-m",
        "leasebeat.testing",
        "--folder",
        str(folder),
        "--until-pid",
        str(owner.pid),
    ]
    keeper = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        eventually((folder / "servers.json").exists, 60)
        assert len(processes_in(folder)) == 3  # the keeper, MariaDB and Redis
    finally:
        owner.kill()
        owner.wait()
        assert keeper.wait(30) == 0
    assert processes_in(folder) == []
    assert not folder.exists()


def test_a_store_has_the_three_accounts_with_rights_of_their_own(
    mysql_url: str, accounts: dict[str, str]
) -> None:
    insert = "INSERT INTO schedules (name, cron, command) VALUES ('a', '@daily', 'true')"
    MySQL.parse(accounts["console"]).run(insert)
    assert MySQL.parse(accounts["worker"]).run("SELECT name FROM schedule_list") == (("a",),)
    with pytest.raises(pymysql.OperationalError, match="INSERT command denied"):
        MySQL.parse(accounts["worker"]).run(insert)
    assert MySQL.parse(mysql_url).run("SELECT COUNT(*) FROM schedules") == ((1,),)


def test_accounts_go_with_their_store(mariadb: MySQL) -> None:
    url = mariadb.create_store()
    mariadb.create_accounts(url)
    name = StoreUrl.parse(url).database
    mariadb.drop_database(url)
    assert mariadb.run(f"SELECT User FROM mysql.user WHERE User LIKE '{name}%'") == ()
