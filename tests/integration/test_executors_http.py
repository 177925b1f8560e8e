"""HTTP tasks against a real server on this host."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from leasebeat.executors.base import Launch
from leasebeat.executors.http import HttpExecutor
from leasebeat.executors.options import ExecutorOptions
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode
from tests.integration.executing import Bench, bench, launch, until

OK, FAILED, NOT_STARTED = OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.START_FAILED


class Handler(BaseHTTPRequestHandler):
    """Answers as its path says, and remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        _, what, *rest = self.path.split("/", 2)
        getattr(self, f"do_{what}")(*rest)

    do_GET = do_POST = do_PUT = answer  # noqa: N815

    def do_status(self, code: str) -> None:
        self.reply(int(code), b"body of " + code.encode())

    def do_redirect(self, target: str) -> None:
        self.reply(302, b"elsewhere", Location=target)

    def do_keep(self, target: str) -> None:
        self.reply(307, b"", Location=target)

    def do_large(self) -> None:
        self.reply(200, b"x" * 300_000 + b"end")

    def do_trickle(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.closing.wait(0.02):
            self.wfile.write(b".")

    def do_hang(self) -> None:
        self.server.closing.wait(60)

    def do_break(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"part")
        self.connection.shutdown(socket.SHUT_RDWR)

    def reply(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that hang up are what is tested


@contextmanager
def serving(server: Server) -> Generator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Generator[Server]:
    with serving(Server()) as made:
        yield made


class HttpBench:
    def __init__(self, made: Bench, *allowed: str) -> None:
        self.bench = made
        options = ExecutorOptions(allow_urls=allowed)
        self.executor = HttpExecutor(options, made.runtime, made.loop, made.leash)

    def start(self, url: str, args: dict[str, object] | None = None, **columns: Any) -> Launch:
        return self.bench.start(launch(url, args, kind="http", **columns), self.executor)

    def run(self, url: str, args: dict[str, object] | None = None, **columns: Any) -> Outcome:
        self.start(url, args, **columns)
        return self.bench.next()[1]


@pytest.fixture
def http(server: Server) -> Generator[HttpBench]:
    with bench() as made:
        client = HttpBench(made, server.url)
        yield client
        client.executor.close()


def test_a_request_succeeds_by_its_status_code_and_its_body_is_the_output(
    http: HttpBench, server: Server
) -> None:
    outcome = http.run(f"{server.url}/status/204")
    assert (outcome.kind, outcome.exit_code) == (OK, 204)
    assert http.run(f"{server.url}/status/200").output == b"body of 200"


def test_another_status_code_is_a_failure_unless_success_codes_name_it(
    http: HttpBench, server: Server
) -> None:
    outcome = http.run(f"{server.url}/status/503")
    assert (outcome.kind, outcome.exit_code, outcome.reason_code) == (FAILED, 503, ReasonCode.EXIT_CODE)
    assert outcome.reason == "status code 503, expected 200-299"
    assert http.run(f"{server.url}/status/503", {"success_codes": [503]}).kind is OK
    assert http.run(f"{server.url}/status/200", {"success_codes": [503]}).kind is FAILED


def test_the_other_end_is_told_who_asks(http: HttpBench, server: Server) -> None:
    http.start(f"{server.url}/status/200")
    what = http.bench.next()[0]
    (_, _, headers, _) = server.asked[0]
    assert {name: headers[name] for name in headers if name.startswith(("Leasebeat", "Idempotency"))} == {
        "Idempotency-Key": what.key_text,
        "Leasebeat-Schedule": what.schedule.name,
        "Leasebeat-Run-Key": what.key_text,
        "Leasebeat-Fire-At": "2026-11-20T03:00:00Z",
        "Leasebeat-Attempt": "1",
        "Leasebeat-Fence": "1234",
        "Leasebeat-Shard": "0",
        "Leasebeat-Shards": "1",
        "Leasebeat-Node": "host-a",
    }
    assert headers["Host"] == server.url.removeprefix("http://")


def test_method_headers_and_body_are_sent(http: HttpBench, server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer s3cret\n")
    args: dict[str, object] = {
        "method": "PUT",
        "headers": {"Authorization": {"file": f"{tmp_path}/token"}},
        "body": {"days": 7},
    }
    assert http.run(f"{server.url}/status/200", args).kind is OK
    method, _, headers, body = server.asked[0]
    assert (method, headers["Authorization"], headers["Content-Type"]) == (
        "PUT",
        "Bearer s3cret",
        "application/json",
    )
    assert json.loads(body) == {"days": 7}


def test_a_secret_that_is_no_header_is_not_told(http: HttpBench, server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\r\nHost: x\n")
    outcome = http.run(f"{server.url}/status/200", {"headers": {"A": {"file": f"{tmp_path}/token"}}})
    assert (outcome.kind, server.asked) == (NOT_STARTED, [])
    assert "s3cret" not in outcome.reason


def test_a_large_body_is_cut_to_its_end(http: HttpBench, server: Server) -> None:
    outcome = http.run(f"{server.url}/large")
    assert (outcome.output_bytes, len(outcome.output), outcome.output[-4:]) == (300_003, 65_536, b"xend")


def test_a_redirect_within_the_host_is_followed(http: HttpBench, server: Server) -> None:
    outcome = http.run(f"{server.url}/redirect//status/200", {"method": "POST", "body": "x"})
    assert (outcome.kind, outcome.output) == (OK, b"body of 200")
    assert [(method, path) for method, path, _, _ in server.asked] == [
        ("POST", "/redirect//status/200"),
        ("GET", "/status/200"),
    ]


def test_a_redirect_that_keeps_the_method_keeps_the_body(http: HttpBench, server: Server) -> None:
    http.run(f"{server.url}/keep//status/200", {"method": "POST", "body": "x"})
    assert [(method, body) for method, _, _, body in server.asked] == [("POST", b"x")] * 2


def test_a_redirect_to_another_host_or_port_is_not_followed(http: HttpBench, server: Server) -> None:
    with serving(Server()) as other:
        outcome = http.run(f"{server.url}/redirect/{other.url}/status/200")
        assert (outcome.kind, outcome.exit_code, other.asked) == (FAILED, 302, [])
        assert "is not the same host" in outcome.reason
        assert (
            http.run(f"{server.url}/redirect/http://localhost:{server.server_port}/status/200").kind is FAILED
        )


def test_redirects_without_end_are_not_followed_for_ever(http: HttpBench, server: Server) -> None:
    server.RequestHandlerClass.do_again = lambda self: self.reply(302, b"", Location="/again")  # pyright: ignore
    outcome = http.run(f"{server.url}/again")
    assert (outcome.reason, len(server.asked)) == ("status code 302, not followed: more than 5 redirects", 6)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "127.1"]
)
def test_this_host_is_not_asked_unless_it_is_named(server: Server, host: str) -> None:
    with bench() as made:
        client = HttpBench(made, "*", "http://example.invalid")
        outcome = client.run(f"http://{host}:{server.server_port}/status/200")
        client.executor.close()
    assert (outcome.kind, server.asked) == (NOT_STARTED, [])
    assert "this host itself" in outcome.reason


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "224.0.0.1"])
def test_the_link_and_multicast_are_not_asked(host: str) -> None:
    with bench() as made:
        client = HttpBench(made, "*")
        outcome = client.run(f"http://{host}/latest/meta-data")
        client.executor.close()
    assert outcome.kind is NOT_STARTED
    assert "allow_urls of this host must name it" in outcome.reason


def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_that_is_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["93.184.215.14", "127.0.0.1"])
    asked: list[str] = []

    def rebinding(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr("leasebeat.executors.urls.socket.getaddrinfo", rebinding)
    connected: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *_, **__: refuse(connected, address))
    with bench() as made:
        client = HttpBench(made, "*")
        outcome = client.run(f"http://rebind.example:{server.server_port}/status/200")
        client.executor.close()
    assert (outcome.kind, asked, server.asked) == (NOT_STARTED, ["rebind.example"], [])
    assert connected == [("93.184.215.14", server.server_port)]


def refuse(connected: list[Any], address: Any) -> None:
    connected.append(address)
    raise ConnectionRefusedError("refused")


def test_where_nobody_listens_nothing_was_sent(http: HttpBench, server: Server) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with bench() as made:
            client = HttpBench(made, url)
            outcome = client.run(url)
            client.executor.close()
    assert outcome.kind is NOT_STARTED
    assert "nothing was sent" in outcome.reason


def test_a_name_without_an_address_did_not_start(http: HttpBench) -> None:
    outcome = http.run("http://no-such-host.invalid/")
    assert outcome.kind is NOT_STARTED
    assert "cannot be found" in outcome.reason


def test_an_answer_that_breaks_off_is_a_failure(http: HttpBench, server: Server) -> None:
    outcome = http.run(f"{server.url}/break")
    assert (outcome.kind, outcome.output) == (FAILED, b"part")
    assert "no answer" in outcome.reason


@pytest.mark.parametrize("path", ["hang", "trickle"])
def test_a_timeout_counts_over_the_whole_request(http: HttpBench, server: Server, path: str) -> None:
    outcome = http.run(f"{server.url}/{path}", timeout_s=0.3)
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.TIMED_OUT, ReasonCode.TIMEOUT)


def test_stop_cuts_the_connection_and_frees_the_thread(server: Server) -> None:
    with bench() as made:
        client = HttpBench(made, server.url)
        client.executor._options = ExecutorOptions(allow_urls=(server.url,), slots=1)
        what = client.start(f"{server.url}/hang")
        until(lambda: server.asked, "the request")
        client.executor.stop(what.id, OutcomeKind.KILLED, 0)
        assert made.next()[1].kind is OutcomeKind.KILLED
        assert client.run(f"{server.url}/status/200").kind is OK
        client.executor.close()


def test_nothing_is_sent_past_the_deadline(http: HttpBench, server: Server) -> None:
    http.bench.renew(-0.001)
    outcome = http.run(f"{server.url}/status/200")
    assert (outcome.kind, server.asked) == (OutcomeKind.LOST, [])
    http.bench.renew(60)


def test_many_requests_at_once_all_end(http: HttpBench, server: Server) -> None:
    started = {http.start(f"{server.url}/status/200").id for _ in range(60)}
    ended = [http.bench.next() for _ in range(60)]
    assert {what.id for what, _ in ended} == started
    assert [outcome.kind for _, outcome in ended] == [OK] * 60


def test_a_certificate_is_checked_against_the_name_in_the_url(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -days 2 -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    secure = Server()
    secure.socket = tls.wrap_socket(secure.socket, server_side=True)
    with serving(secure), bench() as made:
        names = f"https://localhost:{secure.server_port}", f"https://127.0.0.1:{secure.server_port}"
        client = HttpBench(made, *names)
        unknown = client.run(f"{names[0]}/status/200")
        client.executor._tls = ssl.create_default_context(cafile=str(certificate))
        known, misnamed = (client.run(f"{name}/status/200") for name in names)
        client.executor.close()
    assert [outcome.kind for outcome in (unknown, known, misnamed)] == [NOT_STARTED, OK, NOT_STARTED]
    assert "certificate verify failed" in unknown.reason
