"""A failing seed is printed with as little in it as still fails."""

from __future__ import annotations

import pytest

from leasebeat.testing.simulation.kept import Drawn, Kept, shrink
from leasebeat.testing.simulation.many import run_many
from leasebeat.testing.simulation.mutations import MUTATIONS
from leasebeat.testing.simulation.seed import Plan, describe, run_seed, shrunk

ALL = Drawn(4, 12, 9, tuple(range(1, 21)))


def test_what_does_not_matter_is_left_out_and_what_does_is_kept() -> None:
    def fails(kept: Kept) -> bool:
        return {3, 11} <= set(kept.faults or ()) and 7 in (kept.schedules or ()) and (kept.nodes or 0) >= 2

    assert shrink(ALL, fails) == Kept(2, (3, 11), (), (7,))


def test_what_fails_only_as_a_whole_stays_whole() -> None:
    assert shrink(ALL, lambda kept: False) == Kept()


def test_shrinking_stops_when_its_time_is_over() -> None:
    whole = Kept(4, tuple(range(12)), tuple(range(9)), tuple(range(1, 21)))
    assert shrink(ALL, lambda kept: True, seconds=-1.0) == whole


@pytest.mark.parametrize("kept", [Kept(), Kept(2, (0, 5), (), (3, 7)), Kept(faults=(4,))])
def test_what_is_printed_can_be_read_again(kept: Kept) -> None:
    assert Kept.parse(str(kept)) == kept


def test_a_part_of_a_seed_that_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="expected nodes=N"):
        Kept.parse("hosts=2")


def test_a_mutation_is_caught_with_much_less_than_the_seed_had() -> None:
    plan = MUTATIONS["leash off"].plan
    report = next(found for seed in range(50) if (found := run_seed(seed, plan)).violations)
    report.mutation = "leash off"
    least = shrunk(report, plan)
    assert 1 <= len(least.kept.faults or ()) <= report.drawn.faults // 2
    assert len(least.kept.schedules or ()) <= len(report.drawn.schedules) // 2
    again = run_seed(report.seed, Plan(plan.faults, prepare=plan.prepare, kept=least.kept))
    assert (again.digest, bool(again.violations)) == (least.digest, True)
    assert f"--mutation 'leash off' --only '{least.kept}'" in describe(least)


def test_many_seeds_come_to_one_page() -> None:
    *_, summary = run_many(range(3), jobs=1)
    assert summary.totals["seeds"] == 3
    assert "3 seeds, 0 with violations" in summary.page()
    assert "a second of CPU" in summary.page()
