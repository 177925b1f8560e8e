"""What a follower is told of the runs that it followed fits into its environment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leasebeat.context import current_run, in_thread
from leasebeat.executors.base import Launch
from leasebeat.executors.environment import task_variables
from leasebeat.model.run import RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.model.upstream import UPSTREAM_BYTES, fit


def run(shard: int = 0, result: object = None, shards: int = 1) -> dict[str, Any]:
    key = f"extract@2026-11-20T03:00:00Z#{shard}"
    return {
        "key": key,
        "schedule": "extract",
        "shard": shard,
        "shards": shards,
        "status": "succeeded",
        "exit_code": 0,
        "result": result,
    }


def told(*runs: dict[str, Any], most_bytes: int = UPSTREAM_BYTES) -> list[dict[str, Any]]:
    text = fit(json.dumps(runs), most_bytes)
    assert len(json.dumps(text)) <= most_bytes
    return json.loads(text)


def launch(upstream: str | None) -> Launch:
    schedule = Schedule(7, "load", "@manual", "true")
    return Launch(
        RunKey(0, 7), 1, "load@1970-01-01T00:00:00Z", 1, schedule, {}, "n-1", "web", upstream=upstream
    )


def test_what_fits_is_told_as_it_is() -> None:
    text = json.dumps([run(0, {"rows": 5}), run(1)])
    assert fit(text) is text


def test_the_largest_results_are_left_out_first() -> None:
    runs = [run(0, "small"), run(1, "x" * 60_000), run(2, "y" * 50_000)]
    said = told(*runs)
    assert [said[0], said[2]] == [runs[0], runs[2]]
    assert said[1] == {name: runs[1][name] for name in runs[1] if name != "result"} | {"result_omitted": True}


def test_only_as_many_results_are_left_out_as_must_be() -> None:
    said = told(*(run(shard, "x" * 10_000, 20) for shard in range(20)))
    assert [("result" in told_of) for told_of in said].count(True) in (8, 9)


def test_where_not_even_the_keys_fit_the_list_is_cut_and_says_how_many_are_missing() -> None:
    said = told(*(run(shard, 1, 5000) for shard in range(5000)))
    kept = said[:-1]
    assert 300 < len(kept) < 1000
    assert [each["shard"] for each in kept] == list(range(len(kept)))
    assert said[-1] == {"more": 5000 - len(kept)}


def test_quotes_count_as_they_travel() -> None:
    said = told(run(0, '"' * 40_000), run(1, '"' * 5_000))
    assert [each.get("result_omitted", False) for each in said] == [True, False]


@pytest.mark.parametrize("most_bytes", [0, 10, 30])
def test_with_no_room_at_all_only_the_number_of_runs_is_told(most_bytes: int) -> None:
    assert json.loads(fit(json.dumps([run(), run(1)]), most_bytes)) == [{"more": 2}]


def test_what_is_told_is_ascii_whatever_the_results_hold() -> None:
    text = fit(json.dumps([run(0, "Grüße \ud800")], ensure_ascii=False))
    assert text.isascii()
    assert json.loads(text)[0]["result"] == "Grüße \ud800"


def test_a_task_that_follows_none_is_told_nothing() -> None:
    assert "LEASEBEAT_UPSTREAM" not in task_variables(launch(None))
    assert task_variables(launch("[]"))["LEASEBEAT_UPSTREAM"] == "[]"


def test_python_in_a_thread_is_told_what_others_find_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = launch(json.dumps([run(0, "x" * 100_000), run(1, 2)]))
    token = in_thread.set(large)
    in_a_thread = current_run()
    in_thread.reset(token)
    for name, value in task_variables(large).items():
        monkeypatch.setenv(name, value)
    assert current_run() == in_a_thread
    assert [each.get("result") for each in in_a_thread.upstream] == [None, 2]


def test_a_run_without_upstreams_has_an_empty_list() -> None:
    token = in_thread.set(launch(None))
    assert current_run().upstream == []
    in_thread.reset(token)
