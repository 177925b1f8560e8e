"""HTTP tasks: one request, judged by its status code.

The address is looked at before anything is sent: the name is resolved here, each address is checked,
and the connection goes to that very address, so that a name cannot mean one thing when it is checked
and another when it is used. This host, its link and multicast are refused unless `[node] allow_urls`
names the host. Redirects are followed within the same host only, and proxies are not used.

A request that was sent cannot be taken back: what it started at the other end goes on. `Idempotency-Key`
and `Leasebeat-Fence` are how the other end tells a repetition, and an attempt that was given up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urljoin

import leasebeat
from leasebeat.errors import LeasebeatError, StartFailed
from leasebeat.executors import arguments, rules, urls
from leasebeat.executors.base import Done, Launch
from leasebeat.executors.crew import Crew, Job
from leasebeat.executors.environment import resolve, resolve_each
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop
from leasebeat.executors.options import ExecutorOptions
from leasebeat.executors.output import Tail
from leasebeat.executors.shell import not_started
from leasebeat.model.instant import to_text
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.runtime import Runtime

if TYPE_CHECKING:
    import ssl


CONNECT_S = 10.0
MOST_REDIRECTS = 5
MOST_THREADS = 32

_SUCCESS = range(200, 300)
_REDIRECTS = (301, 302, 303, 307, 308)
_KEEPS_METHOD = (307, 308)
_HEADER_SAFE = "!#$%&'()*+,-./:;<=>?@[]^_`{|}~ "
_CHECKS = rules.ARGS["http"]


@dataclass(frozen=True, slots=True)
class _Message:
    """What is sent, over and over along redirects."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


class HttpExecutor:
    """Runs schedules of the kind `http` (base.Executor) in a few threads."""

    def __init__(self, options: ExecutorOptions, runtime: Runtime, loop: Loop, leash: GuardianLeash) -> None:
        self._options = options
        self._tls: ssl.SSLContext | None = None
        most = min(options.slots, MOST_THREADS)
        self._crew = Crew("http", most, runtime, loop, leash, self._run)

    def refuse(self, schedule: Schedule) -> str | None:
        """Why this host does not run it, as sentences; None if it does."""
        problems = list(arguments.problems_of_args(schedule.args, _CHECKS))
        if "http" not in self._options.allow_kinds:
            problems.append("kind = 'http' is not among [node] allow_kinds of this host")
        if (problem := urls.problem_of(schedule.command, self._options.allow_urls)) is not None:
            problems.append(f"command = {schedule.command!r}: {problem}")
        if schedule.run_as is not None:
            problems.append(f"run_as = {schedule.run_as!r} means nothing for an http task: leave it empty")
        return "; ".join(problems) or None

    def start(self, launch: Launch, done: Done) -> None:
        """Start the attempt and return at once. With all threads busy it waits; its time-out does not."""
        self._crew.start(launch, done)

    def stop(self, launch_id: tuple[RunKey, int], kind: OutcomeKind, grace_s: float) -> None:
        """Cut the connection; its outcome is `kind`."""
        del grace_s
        self._crew.stop(launch_id, kind)

    def renew(self) -> None:
        """Read the certificates of authorities again."""
        self._tls = None

    def close(self) -> None:
        """Let the threads end."""
        self._crew.close()

    # -- in the threads

    def _run(self, job: Job) -> Outcome:
        import httpx2

        try:
            arguments.insist(job.launch.args, _CHECKS)
            message = _message(job.launch)
        except (LeasebeatError, ValueError) as problem:
            return not_started(str(problem))
        if (refused := self._crew.begin(job)) is not None:
            return refused
        try:
            return self._follow(job, message)
        except (StartFailed, httpx2.ConnectError, httpx2.ConnectTimeout) as problem:
            return not_started(f"nothing was sent: {problem}")
        # Whatever a hostile answer provokes ends this run only.
        except Exception as problem:
            text = f"no answer: {type(problem).__name__}: {problem}"
            return Outcome(OutcomeKind.FAILED, reason_code=ReasonCode.EXCEPTION, reason=text)

    def _follow(self, job: Job, message: _Message) -> Outcome:
        codes = cast("list[int] | range", job.launch.args.get("success_codes", _SUCCESS))
        followed = 0
        while True:
            status, location = self._exchange(job, message)
            if status not in _REDIRECTS or status in codes or location is None:
                return _judge(status, codes)
            target = urljoin(message.url, location)
            if followed == MOST_REDIRECTS:
                return _not_followed(status, f"more than {MOST_REDIRECTS} redirects")
            if not urls.same_host(message.url, target) or urls.problem_of(target, self._options.allow_urls):
                return _not_followed(status, f"it leads to {target!r}, which is not the same host")
            message, followed = _redirected(message, status, target), followed + 1

    def _exchange(self, job: Job, message: _Message) -> tuple[int, str | None]:
        """Send it to the first address that answers; its status and `Location`. The body goes to the tail."""
        import httpx2

        problem: Exception | None = None
        for address in self._addresses(message.url):
            try:
                return self._send(job, message, address)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as refused:
                problem = refused
                if job.stopped:
                    break
        assert problem is not None
        raise problem

    def _addresses(self, url: str) -> Iterator[str]:
        named = urls.is_named(url, self._options.allow_urls)
        host, port = urls.host_and_port(url)
        for address in urls.resolve(host, port):
            if not named and (reason := urls.problem_of_address(address)) is not None:
                raise StartFailed(
                    f"{host!r} is {address}, {reason}; [node] allow_urls of this host must name it"
                )
            yield address

    def _send(self, job: Job, message: _Message, address: str) -> tuple[int, str | None]:
        import httpx2

        url = httpx2.URL(message.url)
        limit = job.launch.schedule.timeout
        timeout = httpx2.Timeout(limit, connect=min(CONNECT_S, limit or CONNECT_S))
        # A client for each: a kept connection would be found by its address, whatever name it was made for.
        with httpx2.Client(verify=self._context(), trust_env=False, timeout=timeout) as client:
            request = client.build_request(
                message.method,
                url.copy_with(host=address),
                content=message.body,
                headers={**message.headers, "Host": url.netloc.decode("ascii")},
                extensions={"sni_hostname": url.raw_host.decode("ascii"), "trace": partial(_trace, job)},
            )
            job.tail = Tail()  # the bodies of redirects are nobody's output
            response = client.send(request, stream=True)
            try:
                for chunk in response.iter_raw():
                    job.tail.feed(chunk)
            finally:
                response.close()
            return response.status_code, response.headers.get("Location")

    def _context(self) -> ssl.SSLContext:
        import httpx2

        if (context := self._tls) is None:
            context = self._tls = httpx2.create_ssl_context(trust_env=False)
        return context


def _trace(job: Job, event: str, info: dict[str, Any]) -> None:
    if event == "connection.connect_tcp.complete":
        job.hold_line(info["return_value"].get_extra_info("socket"))


def _message(launch: Launch) -> _Message:
    """The request of an attempt. Raises StartFailed where a reference in it cannot be resolved."""
    given = cast("Mapping[str, object]", launch.args.get("headers", {}))
    headers = {name: _header(name, value) for name, value in resolve_each(given, "args.headers").items()}
    body = launch.args.get("body")
    content = resolve(body, "args.body")
    if content is not None and not isinstance(content, str):
        content = json.dumps(content)
        headers = {"Content-Type": "application/json", **headers}
    headers = {
        "User-Agent": f"leasebeat/{leasebeat.__version__}",
        "Accept-Encoding": "identity",
        **headers,
        **_told(launch),
    }
    method = cast("str", launch.args.get("method", "GET"))
    return _Message(method, launch.schedule.command, headers, None if content is None else content.encode())


def _header(name: str, value: object) -> str:
    text = str(value)
    if not (text.isascii() and text.isprintable()):  # it may be a secret: not into the message
        raise StartFailed(f"args.headers.{name}: what it refers to is not one line of ASCII text")
    return text


def _told(launch: Launch) -> dict[str, str]:
    told: dict[str, object] = {
        "Idempotency-Key": launch.key_text,
        "Leasebeat-Schedule": launch.schedule.name,
        "Leasebeat-Run-Key": launch.key_text,
        "Leasebeat-Fire-At": to_text(launch.key.fire_at),
        "Leasebeat-Attempt": launch.attempt,
        "Leasebeat-Fence": launch.fence,
        "Leasebeat-Shard": launch.key.shard,
        "Leasebeat-Shards": launch.shards,
        "Leasebeat-Node": launch.node_name,
    }
    # Names may be of any script, headers may not.
    return {name: quote(str(value), safe=_HEADER_SAFE) for name, value in told.items()}


def _redirected(message: _Message, status: int, target: str) -> _Message:
    if status in _KEEPS_METHOD or message.method == "HEAD":
        return _Message(message.method, target, message.headers, message.body)
    headers = {name: value for name, value in message.headers.items() if name.lower() != "content-type"}
    return _Message("GET", target, headers, None)


def _judge(status: int, codes: list[int] | range) -> Outcome:
    if status in codes:
        return Outcome(OutcomeKind.SUCCEEDED, status)
    expected = "200-299" if isinstance(codes, range) else " or ".join(map(str, codes))
    text = f"status code {status}, expected {expected}"
    return Outcome(OutcomeKind.FAILED, status, ReasonCode.EXIT_CODE, text)


def _not_followed(status: int, why: str) -> Outcome:
    return Outcome(
        OutcomeKind.FAILED, status, ReasonCode.EXIT_CODE, f"status code {status}, not followed: {why}"
    )
