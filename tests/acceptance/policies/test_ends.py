"""How a run ends, what becomes of it then, and what follows: each column and value, on three nodes."""

from __future__ import annotations

import json

import pytest

from leasebeat.model.instant import SECOND, Micros
from leasebeat.testing.trials.cases import job, once, proves
from leasebeat.testing.trials.seen import Seen

pytestmark = pytest.mark.slow

RAN = ("succeeded", None)
FAILED = ("failed", "exit_code")
UPSTREAM = ("skipped", "upstream")
MANUAL = {"cron": "@manual"}


@proves("timeout_s", "seconds", job("time-out", "sleep 6", timeout_s=1))
def test_a_task_that_takes_too_long_is_stopped(seen: Seen) -> None:
    assert seen.ends("time-out") == [("timed_out", "timeout")]


@proves("retries", "0", job("no-retry", "fail 1", retries=0, retry_delay_s=0.1), ignored=1)
def test_without_retries_a_failure_is_final(seen: Seen) -> None:
    assert (seen.ends("no-retry"), seen.of("attempt", "no-retry")) == ([FAILED], [1])


@proves("retries", "number", job("two-retries", "fail 1", retries=2, retry_delay_s=0.1))
def test_a_failure_is_tried_again_so_many_times(seen: Seen) -> None:
    assert (seen.ends("two-retries"), seen.of("failures", "two-retries")) == ([FAILED], [3])
    assert [row["outcome"] for row in seen.tries("two-retries")] == ["failed"] * 3


@proves(
    "retries",
    "-1",
    job("until", "[ $LEASEBEAT_ATTEMPT -ge 4 ] || fail 1", retries=-1, retry_delay_s=0.1, retry_backoff=1),
)
def test_a_task_may_be_tried_until_it_succeeds(seen: Seen) -> None:
    assert (seen.ends("until"), seen.of("attempt", "until")) == ([RAN], [4])


@proves(
    "retry_delay_s",
    "seconds",
    job("delay", "[ $LEASEBEAT_ATTEMPT = 2 ] || fail 1", retries=1, retry_delay_s=2),
)
def test_a_retry_waits_that_long(seen: Seen) -> None:
    assert 2 * SECOND <= last_delay(seen, "delay") < 4 * SECOND


@proves(
    "retry_backoff",
    "factor",
    job("backoff", "[ $LEASEBEAT_ATTEMPT = 3 ] || fail 1", retries=2, retry_delay_s=0.5, retry_backoff=4),
)
def test_each_retry_waits_longer_by_the_factor(seen: Seen) -> None:
    assert 2 * SECOND <= last_delay(seen, "backoff") < 4 * SECOND


LONG = "[ $LEASEBEAT_ATTEMPT = 2 ] || sleep 9"


@proves(
    "on_node_loss",
    "rerun",
    job("rerun", LONG, once(9), shards=6, on_node_loss="rerun"),
    ignored="fail",
    faults=True,
)
def test_what_ran_on_a_dead_node_runs_again(seen: Seen) -> None:
    assert seen.ends("rerun") == [RAN] * 6
    assert sorted(found.attempt for found in seen.begun("rerun")) == [1] * 6 + [2] * 4
    assert came_to_their_end(seen, "rerun", attempt=1) == {"a"}


@proves("on_node_loss", "fail", job("fail", LONG, once(9), shards=6, on_node_loss="fail"), faults=True)
def test_what_ran_on_a_dead_node_may_be_given_up(seen: Seen) -> None:
    assert (held(seen, "fail", "succeeded"), held(seen, "fail", "lost")) == ({"a"}, {"b", "c"})
    assert [found.attempt for found in seen.begun("fail")] == [1] * 6
    assert came_to_their_end(seen, "fail") == {"a"}


@proves("on_node_loss", "finish", job("finish", LONG, once(9), shards=6, on_node_loss="finish"), faults=True)
def test_what_runs_on_a_node_without_a_lease_may_be_left_to_end(seen: Seen) -> None:
    assert (held(seen, "finish", "succeeded"), held(seen, "finish", "lost")) == ({"a"}, {"b", "c"})
    assert [found.attempt for found in seen.begun("finish")] == [1] * 6
    assert came_to_their_end(seen, "finish") == {"a", "b"}


@proves("route", "all", job("all-lost", LONG, once(9), route="all"), faults=True)
def test_a_run_of_a_dead_node_is_lost_and_no_other_node_gets_it(seen: Seen) -> None:
    assert (held(seen, "all-lost", "succeeded"), held(seen, "all-lost", "lost")) == ({"a"}, {"b", "c"})
    assert sorted(seen.nodes("all-lost")) == ["a", "b", "c"]


@proves(
    "route",
    "node:NAME",
    job("comes-back", f"{LONG}; say $LEASEBEAT_NODE $LEASEBEAT_ATTEMPT", once(9), route="node:c"),
    faults=True,
)
def test_a_run_of_a_named_node_waits_until_that_node_is_back(seen: Seen) -> None:
    assert seen.said("comes-back") == ["c 2"]
    assert seen.nodes("comes-back") == ["c", "c"]


@proves(
    "runs.kill_requested",
    "1",
    job("killed", "sleep 5"),
    steps={
        2: "UPDATE runs SET kill_requested = 1"
        " WHERE schedule_id = (SELECT id FROM schedules WHERE name = 'killed')"
    },
)
def test_a_run_is_stopped_by_a_statement(seen: Seen) -> None:
    assert seen.ends("killed") == [("killed", "kill_requested")]


@proves(
    "after",
    "one schedule",
    job("upstream", """sleep 0.5; echo '{"rows": 5}' >$LEASEBEAT_RESULT"""),
    job("follower", "say $LEASEBEAT_UPSTREAM", MANUAL, after=["upstream"]),
)
def test_a_follower_has_its_upstreams_instant_and_is_told_of_it(seen: Seen) -> None:
    assert seen.of("fire_at", "follower") == [seen.at(0)]
    assert seen.order("upstream", "follower") == ["upstream", "follower"]
    (told,) = json.loads(seen.said("follower")[0])
    assert (told["key"], told["result"]) == (seen.key("upstream", 0), {"rows": 5})


@proves(
    "after",
    "several schedules",
    job("slow-part", "sleep 2"),
    job("quick-part"),
    job("both-parts", "", MANUAL, after=["slow-part", "quick-part"]),
    job("next-step", "", MANUAL, after=["both-parts"]),
)
def test_a_follower_waits_for_all_of_its_upstreams(seen: Seen) -> None:
    assert seen.at_once("slow-part", "both-parts") == 1
    assert seen.order("slow-part", "both-parts", "next-step") == ["slow-part", "both-parts", "next-step"]
    assert seen.of("fire_at", "both-parts", "next-step") == [seen.at(0), seen.at(0)]


@proves(
    "after",
    "a cycle",
    job("hen", "", MANUAL, after=["egg"]),
    job("egg", "", MANUAL, after=["hen"]),
)
def test_a_cycle_is_a_problem_that_says_its_path(seen: Seen) -> None:
    assert "hen -> egg -> hen" in str(seen.schedules["hen"]["problem"])


@proves("after", "an unknown name", job("follows-nobody", "", MANUAL, after=["no-such-schedule"]))
def test_an_upstream_that_is_not_there_is_a_problem(seen: Seen) -> None:
    assert "'no-such-schedule'" in str(seen.schedules["follows-nobody"]["problem"])


@proves(
    "after",
    "that never meet",
    job("first-of-month", when={"cron": "0 0 1 * *"}),
    job("second-of-month", when={"cron": "0 0 2 * *"}),
    job("never-due", "", MANUAL, after=["first-of-month", "second-of-month"]),
)
def test_upstreams_that_never_share_an_instant_are_a_problem(seen: Seen) -> None:
    assert "never share an instant" in str(seen.schedules["never-due"]["problem"])


@proves(
    "after_rule",
    "success",
    job("success-good"),
    job("success-bad", "fail 1"),
    job("after-good", "", MANUAL, after=["success-good"], after_rule="success"),
    job("after-bad", "", MANUAL, after=["success-bad"], after_rule="success"),
    ignored="done",
)
def test_a_follower_on_success_is_skipped_after_a_failure(seen: Seen) -> None:
    assert (seen.ends("after-good"), seen.ends("after-bad")) == ([RAN], [UPSTREAM])
    assert seen.key("success-bad", 0) in seen.run("after-bad")["reason"]


@proves(
    "after_rule",
    "done",
    job("done-good"),
    job("done-bad", "fail 1"),
    job("after-done", "", MANUAL, after=["done-good", "done-bad"], after_rule="done"),
)
def test_a_follower_on_done_runs_whatever_the_end(seen: Seen) -> None:
    assert seen.ends("after-done") == [RAN]


@proves(
    "after_rule",
    "failure",
    job("failure-good"),
    job("failure-bad", "[ $LEASEBEAT_SHARD != 1 ] || fail 1", shards=3),
    job("undo-nothing", "", MANUAL, after=["failure-good"], after_rule="failure"),
    job("undo", "say $LEASEBEAT_UPSTREAM", MANUAL, after=["failure-bad"], after_rule="failure"),
)
def test_a_follower_on_failure_runs_once_when_all_parts_have_ended(seen: Seen) -> None:
    assert (seen.ends("undo-nothing"), seen.ends("undo")) == ([UPSTREAM], [RAN])
    told = json.loads(seen.said("undo")[0])
    assert [part["status"] for part in told] == ["succeeded", "failed", "succeeded"]


@proves("alert", "NULL", job("told-default", "fail 1", alert=None), ignored={"off": True})
def test_a_failure_is_told_as_the_host_says(seen: Seen) -> None:
    assert "told-default" in told_of(seen)


@proves("alert", "command", job("told-command", "fail 1", alert=lambda plan: own_command(plan.folder, "own")))
def test_a_failure_is_told_by_the_schedules_own_command(seen: Seen) -> None:
    assert "told-command" in told_of(seen, "own")
    assert "told-command" not in told_of(seen)


@proves("alert", "on", job("told-lost", "fail 1", alert={"on": ["lost"]}))
def test_only_what_the_schedule_names_is_told(seen: Seen) -> None:
    assert seen.ends("told-lost") == [FAILED]
    assert "told-lost" not in told_of(seen)


@proves("alert", "off", job("told-nothing", "fail 1", alert={"off": True}))
def test_nothing_is_told_where_alerts_are_off(seen: Seen) -> None:
    assert seen.ends("told-nothing") == [FAILED]
    assert "told-nothing" not in told_of(seen)


def held(seen: Seen, name: str, status: str) -> set[str]:
    """The nodes that had the runs with that status."""
    return {run["node"] for run in seen.runs(name) if run["status"] == status}


def came_to_their_end(seen: Seen, name: str, attempt: int = 1) -> set[str]:
    """The nodes of executions that wrote their end."""
    return {
        seen.node_names[found.node_id]
        for found in seen.begun(name)
        if found.ended and found.attempt == attempt
    }


def last_delay(seen: Seen, name: str) -> Micros:
    """How long after the end of the last try but one the last was ready, by the store's clock."""
    former = seen.tries(name)[-2]
    return seen.run(name)["ready_at"] - former["ended_at"]


def own_command(folder: object, name: str) -> dict[str, str]:
    return {"command": f"cat >>{folder}/alerts-{name}; echo >>{folder}/alerts-{name}"}


def told_of(seen: Seen, name: str = "") -> set[str]:
    """The schedules of which an alert was given."""
    path = seen.folder / (f"alerts-{name}" if name else "alerts")
    lines = path.read_text().splitlines() if path.exists() else []
    return {json.loads(line).get("schedule") for line in lines if line}
