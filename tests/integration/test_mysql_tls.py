"""TLS to a real server: required with `ssl_ca`, and verified unless the settings say otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from leasebeat.errors import SettingsError, Unavailable
from leasebeat.runtime import SystemRuntime
from leasebeat.store.mysql import MysqlSession
from leasebeat.store.url import StoreUrl
from leasebeat.testing.servers import MariaDB
from tests.certificates import certificate


@dataclass(frozen=True, slots=True)
class Secured:
    """A server with a certificate, and the URL of a store on it."""

    server: MariaDB
    certificate: Path
    url: StoreUrl

    def cipher(self, ca: Path | None, verify: bool = True) -> str:
        """How a session's connection is encrypted; empty: not at all."""
        session = MysqlSession(self.url, SystemRuntime(), ssl_ca=str(ca or ""), ssl_verify=verify)
        try:
            with session._connection().cursor() as cursor:
                cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
                (row,) = cursor.fetchall()
            for _ in range(3):
                session.query("installation")  # an idle connection does not look as if it had hung up
            return row["Value"]
        finally:
            session.close()


@pytest.fixture(params=["127.0.0.1"])
def secured(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Secured]:
    cert, key = certificate(tmp_path, "server", request.param)
    with MariaDB(options=[f"--ssl-cert={cert}", f"--ssl-key={key}"]) as server:
        url = server.mysql.create_accounts(server.mysql.create_store())["worker"]
        yield Secured(server, cert, StoreUrl.parse(url))


def test_with_a_ca_the_connection_is_encrypted(secured: Secured) -> None:
    assert secured.cipher(secured.certificate)


def test_a_certificate_of_another_ca_is_refused(secured: Secured, tmp_path: Path) -> None:
    other, _ = certificate(tmp_path, "other")
    with pytest.raises(Unavailable, match="certificate verify failed"):
        secured.cipher(other)
    assert secured.cipher(other, verify=False)


@pytest.mark.parametrize("secured", ["192.0.2.1"], indirect=True)
def test_a_certificate_of_another_host_is_refused(secured: Secured) -> None:
    with pytest.raises(Unavailable, match="certificate verify failed"):
        secured.cipher(secured.certificate)
    assert secured.cipher(secured.certificate, verify=False)


def test_with_a_ca_a_server_without_tls_is_refused(own_mariadb: MariaDB, tmp_path: Path) -> None:
    url = StoreUrl.parse(own_mariadb.mysql.create_accounts(own_mariadb.mysql.create_store())["worker"])
    cert, _ = certificate(tmp_path, "server")
    with pytest.raises(Unavailable, match="SSL is required"):
        Secured(own_mariadb, cert, url).cipher(cert)


def test_a_ca_that_cannot_be_read_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("nothing.pem", "empty.pem"):
        with pytest.raises(SettingsError, match="ssl_ca"):
            MysqlSession(
                StoreUrl.parse("mysql://a@localhost/b"), SystemRuntime(), ssl_ca=str(tmp_path / name)
            )
