"""Every policy of the table at once, on three workers of which two break; each is judged by itself.

A proof brings schedules of its own, inserted by plain SQL, and a function that judges what became of
them: by what their tasks wrote and by the tables. With `ignored` the same is done with each proof's
policy left out: then every judge must object.

    recorded    schedules of an outage are read by one worker, which leaves; 15 minutes pass by SQL
    first       all other schedules are there; the instants of the proofs are counted from here, in seconds
    FAULTS      worker c dies and is started again, worker b stands still until it is purged
    END         nothing is due any more
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from leasebeat.model.instant import SECOND, Instant
from leasebeat.testing.fleet import Fleet, sleep_until, until, utc
from leasebeat.testing.private import PrivateStore, value
from leasebeat.testing.trials import zones
from leasebeat.testing.trials.cases import MINUTE, TURNED_MIN, Case, Plan
from leasebeat.testing.trials.seen import Seen, collect
from leasebeat.testing.trials.sinks import Messages, Requests

__all__ = ["run"]

FAULTS, END = 12, 16

TASK = """\
# Sourced by each task. `tell` writes its life, `say` what it was told, `fail` ends it with a code.
export EVIDENCE=%s
attempt="$LEASEBEAT_RUN_KEY $LEASEBEAT_ATTEMPT $LEASEBEAT_FENCE $LEASEBEAT_NODE_ID"
tell() {
    read -r up idle </proc/uptime
    echo "$attempt $1 ${up%%.*}${up#*.}0000000" >>"$EVIDENCE"
}
say() { echo "$LEASEBEAT_RUN_KEY $*" >>"$EVIDENCE.said"; }
fail() { tell end; exit "$1"; }
trap 'tell alive; exit 143' TERM
tell begin
"""

MODULE = """\
import os
from pathlib import Path

import leasebeat

def say(**words):
    told = [leasebeat.current_run().run_key, os.getcwd(), os.environ.get("COLOUR"), *words.values()]
    with Path(__file__).with_name("evidence.said").open("a") as file:
        print(*told, file=file)
    return words
"""


# --- the trial ----------------------------------------------------------------------------------


NODES: Mapping[str, Mapping[str, object]] = {
    "a": {"node_queues": "default,resting,two,tight:1,strict:1,uneven:1"},
    "b": {"node_queues": "default,resting,two,only-b,uneven:4"},
    "c": {"node_queues": "default,resting"},
}


def run(
    folder: Path, store: PrivateStore, cases: Sequence[Case], redis_url: str = "", *, ignored: bool = False
) -> Seen:
    """Let the fleet run the schedules of all cases; what is to be seen then."""
    cases = [case.without() for case in cases] if ignored else list(cases)
    with (
        Requests() as requests,
        Messages(redis_url) as messages,
        Fleet(folder, store, redis_url, **_settings(folder, requests.url)) as fleet,
    ):
        minute = store.now() // MINUTE * MINUTE
        _prepare(fleet, minute)
        _outage(fleet, cases, Plan(folder, requests.url, minute, minute))
        fleet.start(*NODES)
        fleet.await_live(*NODES)
        plan = Plan(folder, requests.url, minute, fleet.next_second(4))
        store.rows(*(sql for case in cases for sql in case.setup(case.own(plan))))
        store.rows(*_inserts(cases, plan, early=False))
        assert store.now() < plan.first, "the schedules were not there in time"
        _play(fleet, cases, plan)
        settled = _settles(fleet, plan.first + END * SECOND, 5 if ignored else 30)
        return collect(fleet, plan.first, minute, settled, requests.kept, messages.kept())


def _settings(folder: Path, url: str) -> dict[str, object]:
    return {
        "node_beat_s": 2,
        "node_kill_grace_s": 1,
        "node_python_processes": 2,
        "node_python_path": str(folder),
        "node_allow_urls": f"{url}/",
        "node_allow_users": "nobody",
        "alerts_command": f"cat >>{folder}/alerts; echo >>{folder}/alerts",
    }


def _prepare(fleet: Fleet, minute: Instant) -> None:
    zones.write(fleet.folder / "zones", minute - TURNED_MIN * MINUTE)
    fleet.environ["PYTHONPATH"] = str(fleet.folder / "zones")
    (fleet.folder / "task.sh").write_text(TASK % fleet.evidence)
    (fleet.folder / "policy_tasks.py").write_text(MODULE)
    (fleet.folder / "evidence.said").touch()
    for name, settings in NODES.items():
        fleet.add(name, **settings)


def _inserts(cases: Sequence[Case], plan: Plan, *, early: bool) -> list[str]:
    return [statement for case in cases for statement in case.inserts(plan, early=early)]


def _outage(fleet: Fleet, cases: Sequence[Case], plan: Plan) -> None:
    """A node has read the schedules, all nodes stop, and a quarter of an hour later they come back."""
    wanted = _inserts(cases, plan, early=True)
    if not wanted:
        return
    fleet.store.rows(*wanted)
    fleet.start("a")
    until(partial(_recorded, fleet, len(wanted)), 30, f"the schedules are read\n{fleet.tails()}")
    fleet["a"].terminate()
    fleet.store.rows(
        f"UPDATE schedule_history SET valid_from = '{utc(plan.minute - 20 * MINUTE)}'",
        f"UPDATE roles SET watermark = '{utc(plan.minute - 15 * MINUTE)}'",
    )


def _recorded(fleet: Fleet, count: int) -> bool:
    recorded = value(fleet.store, "SELECT COUNT(*) AS versions FROM schedule_history")
    return recorded == count and value(fleet.store, "SELECT watermark FROM roles") is not None


def _play(fleet: Fleet, cases: Sequence[Case], plan: Plan) -> None:
    steps: list[tuple[float, Callable[[], Any]]] = [(FAULTS, partial(_break, fleet))]
    steps += [
        (case.offset + at, partial(fleet.store.rows, sql)) for case in cases for at, sql in case.steps.items()
    ]
    for at, step in sorted(steps, key=lambda step: step[0]):
        sleep_until(fleet.store, plan.first + round(at * SECOND))
        step()
    sleep_until(fleet.store, plan.first + END * SECOND)


def _break(fleet: Fleet) -> None:
    """One dies and is started again at once, one stands still until it is purged."""
    paused = fleet["b"].node_id
    fleet["b"].stop()
    fleet["c"].kill()
    fleet["c"].start()
    state = f"SELECT state FROM nodes WHERE id = '{paused}'"
    until(lambda: value(fleet.store, state) == "purged", 30, f"the paused node is purged\n{fleet.tails()}")
    fleet["b"].resume()


def _settles(fleet: Fleet, end: Instant, seconds: float) -> bool:
    """Whether every run and every task ends in that time."""
    try:
        until(lambda: fleet.settled(end) and not fleet.task_pids(), seconds, "everything ends")
    except AssertionError:
        return False
    return True
