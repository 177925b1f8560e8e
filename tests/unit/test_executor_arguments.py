"""What schedules may say about their tasks, and what this host's settings forbid."""

from __future__ import annotations

from typing import Any

import pytest

from leasebeat.errors import StartFailed
from leasebeat.executors import arguments, environment, urls
from leasebeat.executors.http import HttpExecutor
from leasebeat.executors.kinds import open_executors
from leasebeat.executors.leash import GuardianLeash
from leasebeat.executors.loop import Loop
from leasebeat.executors.options import ExecutorOptions
from leasebeat.executors.publish import Line, PublishExecutor
from leasebeat.executors.shell import ShellExecutor
from leasebeat.model.schedule import Schedule
from leasebeat.runtime import SystemRuntime


def connect(key: str) -> Line:
    raise AssertionError(f"nobody connects to find out what may be published, not even for {key}")


def refusal(kind: Any, command: str, options: ExecutorOptions | None = None, **columns: Any) -> str:
    runtime, chosen = SystemRuntime(), options or ExecutorOptions()
    loop = Loop(runtime)
    leash = GuardianLeash(runtime, loop)
    executors = {
        "shell": ShellExecutor(chosen, loop, leash),
        "python": open_executors(chosen, runtime, loop, leash)["python"],
        "http": HttpExecutor(chosen, runtime, loop, leash),
        "publish": PublishExecutor(chosen, runtime, loop, leash, connect),
    }
    said = executors[kind].refuse(Schedule(1, "a", "@manual", command, kind=kind, **columns))
    loop.close()
    return said or ""


GOOD = {"shell": "true", "python": "os.path:join", "http": "https://example.org/x", "publish": "stream:x"}


@pytest.mark.parametrize("kind", list(GOOD))
def test_a_plain_schedule_is_not_refused(kind: str) -> None:
    assert refusal(kind, GOOD[kind]) == ""


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("shell", {"env": {"A": "b", "N": 1, "S": {"file": "/x"}}, "cwd": "/srv", "stdin": {"env": "A"}}),
        ("shell", {"success_codes": [0, 3], "leftovers": "leave"}),
        ("python", {"kwargs": {"days": 7, "x": [1, {"y": None}]}, "env": {"A": "b"}, "cwd": "/srv"}),
        ("publish", {"message": {"a": [1, {"env": "A"}]}, "maxlen": 1000}),
        ("http", {"method": "POST", "headers": {"X-A": "b"}, "body": {"a": 1}, "success_codes": [204]}),
    ],
)
def test_the_published_keys_of_args_are_taken(kind: str, args: dict[str, object]) -> None:
    assert refusal(kind, GOOD[kind], args=args) == ""


@pytest.mark.parametrize(
    ("kind", "args", "part"),
    [
        (
            "shell",
            {"shel": 1},
            "args.shel is unknown; known are cpu_pct, cwd, env, leftovers, memory_mb, pids_max, stdin",
        ),
        ("shell", {"memory_mb": 3}, "args.memory_mb = 3: expected a whole number from 4 to 16,777,216"),
        ("python", {"pids_max": True}, "args.pids_max = True: expected a whole number from 1 to"),
        ("shell", {"env": ["A=b"]}, "args.env = ['A=b']: expected an object of texts"),
        ("shell", {"env": {"A=": "b"}}, "expected an object of texts"),
        ("shell", {"env": {"A": {"vault": "b"}}}, "expected an object of texts"),
        ("shell", {"env": {"A": "b\0c"}}, "expected an object of texts"),
        ("shell", {"cwd": "srv"}, "args.cwd = 'srv': expected an absolute path"),
        ("shell", {"success_codes": 0}, "expected a list of whole numbers, like [0, 3]"),
        ("shell", {"success_codes": [True]}, "expected a list of whole numbers"),
        ("shell", {"leftovers": "keep"}, "args.leftovers = 'keep': expected kill or leave"),
        ("python", {"kwargs": [1]}, "expected an object of keyword arguments"),
        ("python", {"kwargs": {"not a name": 1}}, "expected an object of keyword arguments"),
        ("python", {"stdin": "x"}, "args.stdin is unknown"),
        ("http", {"method": "get"}, "args.method = 'get': expected GET or POST"),
        ("http", {"headers": {"Host": "x"}}, "expected an object of headers without Host"),
        ("http", {"headers": {"A": "x\r\nB: y"}}, "expected an object of headers"),
        ("publish", {"message": "a\0b"}, "expected text without NUL"),
        ("publish", {"maxlen": True}, "args.maxlen = True: expected a whole number from 1"),
        ("publish", {"body": 1}, "args.body is unknown; known are maxlen, message"),
        ("http", {"env": {}}, "args.env is unknown; known are body, headers, method, success_codes"),
    ],
)
def test_other_args_are_refused_with_what_was_expected(kind: str, args: dict[str, object], part: str) -> None:
    assert part in refusal(kind, GOOD[kind], args=args)


def test_all_problems_are_told_at_once() -> None:
    said = refusal(
        "shell", " ", ExecutorOptions(allow_kinds=("http",)), args={"x": 1, "cwd": 2}, run_as="nosuch"
    )
    assert [part.split()[0] for part in said.split("; ") if " = " in part or "is unknown" in part] == [
        "args.x",
        "args.cwd",
        "kind",
        "command",
        "run_as",
    ]


@pytest.mark.parametrize("kind", list(GOOD))
def test_a_kind_that_this_host_does_not_run_is_refused(kind: str) -> None:
    assert f"kind = '{kind}' is not among [node] allow_kinds" in refusal(
        kind, GOOD[kind], ExecutorOptions(allow_kinds=())
    )


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("/opt/jobs/a.sh", True),
        ("/opt/jobs/a.sh --days 7 'two words' \"and\" a=b", True),
        ("/usr/bin/exact --flag; and more", True),
        ("/opt/other/a.sh", False),
        ("/opt/jobs/../../bin/sh", False),
        *(
            (f"/opt/jobs/a{active}b", False)
            for active in [";", "&", "|", "<", ">", "$", "`", "(", ")", "\n", "\\", "{", "}"]
        ),
    ],
)
def test_a_pattern_of_commands_does_not_let_the_shell_do_more(command: str, allowed: bool) -> None:
    patterns = ("/opt/jobs/*", "/usr/bin/exact --flag; and more")
    assert arguments.command_is_allowed(command, patterns) is allowed


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("jobs", True),
        ("jobs.daily", True),
        ("jobsearch", False),
        ("other", False),
        ("tools.x.y", True),
        ("tools", True),
    ],
)
def test_an_allowed_package_allows_what_is_in_it(module: str, allowed: bool) -> None:
    assert arguments.module_is_allowed(module, ("jobs", "tools.*")) is allowed


@pytest.mark.parametrize("command", ["os.system", "os:", ":f", "os:system('x')", "os path:join", "a..b:c"])
def test_what_names_no_function_is_refused(command: str) -> None:
    assert "expected package.module:function" in refusal("python", command)


def test_a_module_that_is_not_allowed_is_refused() -> None:
    assert "not covered by [node] allow_modules" in refusal(
        "python", "os:system", ExecutorOptions(allow_modules=("jobs",))
    )


def test_in_threads_a_task_cannot_have_its_own_environment_or_folder() -> None:
    options = ExecutorOptions(python_isolation="thread")
    assert "args.cwd is unknown; known are kwargs" in refusal(
        "python", "os:getpid", options, args={"cwd": "/"}
    )


def test_run_as_needs_an_allowed_user() -> None:
    assert "neither the worker's own user nor in [node] allow_users" in refusal(
        "shell", "true", run_as="daemon"
    )
    assert refusal("shell", "true", run_as=arguments.own_user()) == ""
    assert "run as the worker's own user" in refusal("python", "os:getpid", run_as="daemon")
    assert "means nothing" in refusal("http", GOOD["http"], run_as="daemon")


def test_run_as_needs_a_worker_that_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    assert "only a worker that runs as root" in refusal(
        "shell", "true", ExecutorOptions(allow_users=("daemon",)), run_as="daemon"
    )


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        ("https://api.example.org/jobs/a", True),
        ("https://API.example.org:443/jobs/", True),
        ("https://api.example.org/other", False),
        ("https://api.example.org/jobs/../admin", False),
        ("https://api.example.org/jobs/%2e%2e/admin", False),
        ("https://api.example.org.evil.net/jobs/", False),
        ("http://api.example.org/jobs/", False),
        ("https://api.example.org:8443/jobs/", False),
        ("https://whole.example.org/a/../%2e", True),
    ],
)
def test_an_allowed_url_covers_what_begins_alike_on_the_same_host(url: str, covered: bool) -> None:
    allowed = ("https://api.example.org/jobs/", "https://whole.example.org")
    assert (urls.problem_of(url, allowed) is None) is covered


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "https:///path",
        "/path",
        "https://host:99999/",
        "https://good.example\\@evil/",
        "https://a b/",
        "https://host/\nx",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    assert "expected a URL like https://host/path" in refusal("http", url)


def test_a_password_in_a_url_is_refused() -> None:
    assert "a password does not belong into a URL" in refusal("http", "https://me:pw@host/")


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("169.254.169.254", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("224.0.0.251", True),
        ("ff02::1", True),
        ("255.255.255.255", True),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("93.184.215.14", False),
        ("2606:4700::1111", False),
    ],
)
def test_addresses_of_this_host_its_link_and_multicast_are_refused(address: str, refused: bool) -> None:
    assert (urls.problem_of_address(address) is not None) is refused


@pytest.mark.parametrize(
    ("target", "same"),
    [
        ("http://h/b", True),
        ("https://h/b", True),
        ("http://H:80/b", True),
        ("http://h:8080/", False),
        ("http://i/", False),
        ("ftp://h/", False),
    ],
)
def test_a_redirect_stays_on_its_host(target: str, same: bool) -> None:
    assert urls.same_host("http://h/a", target) is same


def test_a_redirect_does_not_leave_tls() -> None:
    assert not urls.same_host("https://h/a", "http://h/b")


def test_values_that_only_look_like_references_stay_as_they_are() -> None:
    values = {"a": {"file": "x", "env": "y"}, "b": {"file": 3}, "c": ["x", {"d": 1}], "e": None}
    assert environment.resolve(values, "args") == values


def test_a_reference_deep_in_a_value_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEP", "found")
    assert environment.resolve({"a": [{"b": {"env": "DEEP"}}]}, "args.kwargs") == {"a": [{"b": "found"}]}
    with pytest.raises(StartFailed, match=r"^args.kwargs.a\[0\]: the worker"):
        environment.resolve({"a": [{"env": "NOT_THERE"}]}, "args.kwargs")


def test_a_variable_may_have_the_name_of_a_reference() -> None:
    assert environment.resolve_each({"env": "production"}, "args.env") == {"env": "production"}
