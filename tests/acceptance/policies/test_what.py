"""What is run, by kind and `args`, and what it is told: each column and value, on three nodes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from leasebeat.testing.trials.cases import Plan, job, proves
from leasebeat.testing.trials.seen import Seen

pytestmark = pytest.mark.slow

RAN = ("succeeded", None)
ODD = "über/nächtlich_1.2-東京"

PYTHON: dict[str, Any] = {"kind": "python", "command": "policy_tasks:say"}


def url(name: str) -> Callable[[Plan], str]:
    return lambda plan: f"{plan.http}/{name}"


@proves("name", "odd letters", job(ODD, "say $LEASEBEAT_SCHEDULE"), ignored="plain")
def test_a_name_may_have_letters_of_any_script(seen: Seen) -> None:
    assert seen.run(ODD)["key"] == seen.key(ODD, 0)
    assert seen.said(ODD) == [ODD]


@proves("description", "text", job("described", description="for people"))
def test_a_description_is_shown(seen: Seen) -> None:
    assert seen.schedules["described"]["description"] == "for people"
    assert seen.ends("described") == [RAN]


@proves("owner", "text", job("owned", owner="ops@example.com"))
def test_an_owner_is_shown(seen: Seen) -> None:
    assert seen.schedules["owned"]["owner"] == "ops@example.com"
    assert seen.ends("owned") == [RAN]


@proves("command", "text", job("command", command="echo as it stands"), ignored="true")
def test_the_command_is_run_as_it_stands(seen: Seen) -> None:
    assert (seen.ends("command"), seen.output("command")) == ([RAN], "as it stands\n")


@proves("kind", "shell", job("shell", "say $(( 6 * 7 ))", kind="shell"), ignored="python")
def test_a_shell_task_is_a_line_of_the_shell(seen: Seen) -> None:
    assert (seen.ends("shell"), seen.said("shell")) == ([RAN], ["42"])


@proves("kind", "python", job("python", **PYTHON, args={"kwargs": {"word": "called"}}))
def test_a_python_task_is_a_call_of_a_function(seen: Seen) -> None:
    assert json.loads(seen.run("python")["result"]) == {"word": "called"}
    assert [said.split()[-1] for said in seen.said("python")] == ["called"]


@proves("kind", "http", job("http", kind="http", command=url("http")))
def test_an_http_task_is_one_request(seen: Seen) -> None:
    (request,) = seen.asked("http")
    assert (request.method, request.headers["Leasebeat-Run-Key"]) == ("GET", seen.key("http", 0))
    assert seen.ends("http") == [RAN]


SENT = '{"do": "refresh"}'
PUBLISHED: dict[str, Any] = {"kind": "publish", "args": {"message": {"do": "refresh"}}}


@pytest.mark.parametrize("seen", ["mariadb"], indirect=True)
@proves(
    "kind",
    "publish",
    job("stream", command="stream:proof", **PUBLISHED),
    job("list", command="list:proofs", **PUBLISHED),
    job("channel", command="channel:proof", **PUBLISHED),
)
def test_a_publish_task_is_one_message(seen: Seen) -> None:
    assert seen.ends("stream", "list", "channel") == [RAN] * 3
    assert [SENT in seen.messages[target] for target in ("stream", "list", "channel")] == [True] * 3


@pytest.mark.parametrize("seen", ["mariadb"], indirect=True)
@proves(
    "args.message",
    "JSON",
    job("message", kind="publish", command="list:proofs", args={"message": "a text of its own"}),
)
def test_a_message_of_its_own_is_sent_as_it_is(seen: Seen) -> None:
    assert "a text of its own" in seen.messages["list"]


@proves("args.env", "object", job("env", "say $COLOUR", args={"env": {"COLOUR": "green"}}))
def test_a_variable_of_its_own_is_in_the_environment(seen: Seen) -> None:
    assert seen.said("env") == ["green"]


@proves(
    "args.env", "object", job("python-env", **PYTHON, args={"env": {"COLOUR": "green"}, "kwargs": {"n": 1}})
)
def test_a_python_task_has_its_variables_too(seen: Seen) -> None:
    assert [said.split()[1:] for said in seen.said("python-env")] == [["green", "1"]]


@proves("args.cwd", "folder", job("cwd", "say $PWD", args={"cwd": "/usr"}))
def test_a_task_begins_in_its_folder(seen: Seen) -> None:
    assert seen.said("cwd") == ["/usr"]


@proves("args.cwd", "folder", job("python-cwd", **PYTHON, args={"cwd": "/usr"}))
def test_a_python_task_is_called_in_its_folder(seen: Seen) -> None:
    assert [said.split()[0] for said in seen.said("python-cwd")] == ["/usr"]


@proves("args.stdin", "text", job("stdin", "say $(cat)", args={"stdin": "typed in"}))
def test_a_task_can_read_its_input(seen: Seen) -> None:
    assert seen.said("stdin") == ["typed in"]


@proves("args.success_codes", "list", job("codes", "fail 3", args={"success_codes": [0, 3]}))
def test_an_exit_code_may_be_a_success(seen: Seen) -> None:
    assert (seen.ends("codes"), seen.of("exit_code", "codes")) == ([RAN], [3])


@proves(
    "args.success_codes",
    "list",
    job("http-codes", kind="http", command=url("http-codes?404"), args={"success_codes": [200, 404]}),
)
def test_a_status_code_may_be_a_success(seen: Seen) -> None:
    assert (seen.ends("http-codes"), seen.of("exit_code", "http-codes")) == ([RAN], [404])


LEFT_BEHIND = "(sleep 1; say later) >/dev/null 2>&1 &"


@proves("args.leftovers", "leave", job("leave", f"{LEFT_BEHIND} true", args={"leftovers": "leave"}))
def test_what_a_task_left_behind_may_go_on(seen: Seen) -> None:
    assert (seen.ends("leave"), seen.said("leave")) == ([RAN], ["later"])


@proves(
    "args.leftovers",
    "kill",
    job("tidy", f"{LEFT_BEHIND} true", args={"leftovers": "kill"}),
    ignored="leave",
)
def test_what_a_task_left_behind_is_killed(seen: Seen) -> None:
    assert (seen.ends("tidy"), seen.said("tidy")) == ([RAN], [])


@proves("args.kwargs", "object", job("kwargs", **PYTHON, args={"kwargs": {"days": 7}}))
def test_a_function_gets_its_arguments(seen: Seen) -> None:
    assert json.loads(seen.run("kwargs")["result"]) == {"days": 7}


@proves("args.method", "word", job("method", kind="http", command=url("method"), args={"method": "POST"}))
def test_a_request_has_its_method(seen: Seen) -> None:
    assert [request.method for request in seen.asked("method")] == ["POST"]


@proves(
    "args.headers",
    "object",
    job("headers", kind="http", command=url("headers"), args={"headers": {"Colour": "green"}}),
)
def test_a_request_has_its_headers(seen: Seen) -> None:
    assert [request.headers.get("Colour") for request in seen.asked("headers")] == ["green"]


@proves(
    "args.body",
    "text or JSON",
    job("body", kind="http", command=url("body"), args={"method": "POST", "body": {"days": 7}}),
)
def test_a_request_has_its_body(seen: Seen) -> None:
    assert [json.loads(request.body or "null") for request in seen.asked("body")] == [{"days": 7}]


@proves(
    "runs.args",
    "object",
    job("for-once", "say $COLOUR", when={"cron": "@manual"}, args={"env": {"COLOUR": "green"}}),
    steps={
        2: "INSERT INTO runs (schedule_id, args)"
        """ SELECT id, '{"env": {"COLOUR": "red"}}' FROM schedules WHERE name = 'for-once'"""
    },
)
def test_a_single_run_may_have_args_of_its_own(seen: Seen) -> None:
    assert seen.said("for-once") == ["red"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run tasks as another user")
@proves("run_as", "user", job("nobody", command="id -un", run_as="nobody"))
def test_a_task_runs_as_its_user(seen: Seen) -> None:
    assert (seen.ends("nobody"), seen.output("nobody")) == ([RAN], "nobody\n")
