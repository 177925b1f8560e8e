"""How often each policy was met: a seed in which nobody waited proves nothing about waiting."""

from __future__ import annotations

from collections import Counter

from leasebeat.testing.simstore.base import Replaced
from leasebeat.testing.simstore.tables import Run
from leasebeat.testing.simulation.evidence import Evidence
from leasebeat.testing.simulation.lateness import is_late


def policies_met(evidence: Evidence) -> Counter[str]:
    """Rows by what their schedules asked for."""
    found: Counter[str] = Counter()
    for run in evidence.rows.values():
        found.update(_names(evidence, run))
    found["replaced"] = sum(1 for _ in evidence.of(Replaced))
    return found


def _names(evidence: Evidence, run: Run) -> list[str]:
    schedule = evidence.schedule(run.version)
    if not schedule:
        return []
    route = str(schedule["route"])
    wanted = {
        f"overlap {schedule['overlap']}": True,
        "skipped for overlap": run.reason_code == "overlap",
        "in lanes": run.lane is not None,
        "sharded": run.shards > 1 and route != "all",
        f"route {route.partition(':')[0]}": True,
        "followers": bool(schedule["after"]),
        "skipped for upstreams": run.reason_code == "upstream",
        "@after_end": str(schedule["cron"]).startswith("@after_end"),
        "with jitter": float(schedule["jitter_s"]) > 0,
        f"caught up, misfire {schedule['misfire']}": is_late(run),
        "missed for misfire": run.reason_code == "misfire",
        "by hand": run.origin == "manual",
    }
    return [name for name, met in wanted.items() if met]
