"""What a server refuses for reasons of its own: a login that another account hides, a row that changed."""

from __future__ import annotations

from dataclasses import replace

import pymysql
import pytest

from leasebeat.errors import Busy, Unavailable
from leasebeat.runtime import SystemRuntime
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.mysql_errors import kind_of
from leasebeat.store.url import StoreUrl
from leasebeat.testing.servers import MariaDB
from tests.integration.mysql_store import Fleet, fleet

__all__ = ["fleet"]

WITHOUT_NAME = [f"''@'{host}'" for host in ("localhost", "127.0.0.1")]


@pytest.mark.fault(47)
def test_a_login_that_an_account_without_a_name_hides_says_what_to_drop(own_mariadb: MariaDB) -> None:
    url = own_mariadb.mysql.create_store()
    worker = replace(StoreUrl.parse(own_mariadb.mysql.create_accounts(url)["worker"]), host="127.0.0.1")
    own_mariadb.mysql.run(*(f"CREATE USER {account}" for account in WITHOUT_NAME), database=None)
    session = MysqlSession(worker, SystemRuntime())
    with pytest.raises(Unavailable, match="1045 Access denied") as caught:
        session.query("installation")
    assert "DROP USER ''@'localhost'" in str(caught.value)
    assert str(worker.password) not in str(caught.value)
    own_mariadb.mysql.run(*(f"DROP USER {account}" for account in WITHOUT_NAME), database=None)
    assert session.query("installation")
    session.close()


@pytest.mark.fault(34)
def test_a_row_that_changed_since_it_was_read_is_busy_and_the_transaction_is_gone(fleet: Fleet) -> None:
    fleet.join()
    one, other = fleet.another_hand(), fleet.another_hand()
    one("SET SESSION innodb_snapshot_isolation = ON")
    one("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with one.open_transaction():
        one("SELECT slots FROM nodes")
        other("UPDATE nodes SET slots = 7")
        with pytest.raises(pymysql.MySQLError) as caught:
            one("UPDATE nodes SET slots = 8")
    assert caught.value.args[0] == 1020
    assert kind_of(caught.value) is Busy
    assert other.one("SELECT slots FROM nodes") == 7
