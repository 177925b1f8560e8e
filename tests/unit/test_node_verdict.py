"""What an outcome means for the run."""

from dataclasses import replace

import pytest

from leasebeat.executors.base import Launch
from leasebeat.model.run import Outcome, OutcomeKind, ReasonCode, RunKey
from leasebeat.model.schedule import Schedule
from leasebeat.node import verdict
from leasebeat.node.verdict import Held, OutputLimits, retry_delay
from leasebeat.store.base import FinishRow
from leasebeat.testing.trials.cases import proves

KIND = OutcomeKind


def finish_row(held: Held, outcome: Outcome) -> FinishRow:
    return verdict.finish_row(held, outcome, OutputLimits(succeeded=4, failed=6))


def held(
    started: bool = True, failures: int = 0, take_overs: int = 0, former: str | None = None, **policy: object
) -> Held:
    schedule = Schedule(id=7, name="backup", cron="0 3 * * *", command="true", **policy)  # type: ignore[arg-type]
    launch = Launch(RunKey(0, 7), 1, "backup@1970-01-01T00:00:00Z", 1, schedule, {}, "n", "web1")
    return Held(launch, "default", failures, take_overs, former, started_at=5 if started else None)


def test_success_is_the_end():
    row = finish_row(held(retries=3), Outcome(KIND.SUCCEEDED, 0))
    assert (row.status, row.again, row.failed, row.lost) == ("succeeded", False, False, False)


@proves("retries", "0")
def test_a_failure_without_retries_is_the_end():
    row = finish_row(held(), Outcome(KIND.FAILED, 3, ReasonCode.EXIT_CODE))
    assert (row.status, row.again, row.failed, row.exit_code) == ("failed", False, True, 3)


@pytest.mark.parametrize(("failures", "again"), [(0, True), (1, True), (2, False)])
@proves("retries", "number")
def test_retries_count_failures(failures: int, again: bool):
    assert finish_row(held(retries=2, failures=failures), Outcome(KIND.FAILED, 1)).again is again


@proves("retries", "-1")
def test_minus_one_retries_until_it_succeeds():
    assert finish_row(held(retries=-1, failures=500), Outcome(KIND.TIMED_OUT)).again


@proves("retry_backoff", "factor")
def test_retry_delays_grow_and_stop_at_an_hour():
    schedule = held(retry_delay_s=10, retry_backoff=2.0).launch.schedule
    assert [retry_delay(schedule, n) for n in (0, 1, 2, 20, 5000)] == [
        10_000_000,
        20_000_000,
        40_000_000,
        3_600_000_000,
        3_600_000_000,
    ]


def delay_of(number: int, retry_delay_s: float, attempt: int = 1) -> int:
    """The delay of a retry of one of many runs that fail at once."""
    one = held(retries=9, retry_delay_s=retry_delay_s)
    text = f"job{number}@1970-01-01T00:00:00Z"
    launch = replace(one.launch, key_text=text, attempt=attempt)
    return finish_row(replace(one, launch=launch), Outcome(KIND.FAILED, 1)).delay


def test_what_fails_together_comes_back_within_a_tenth_more_than_its_delay_and_not_together():
    delays = [delay_of(number, retry_delay_s=100) for number in range(1000)]
    assert 100_000_000 <= min(delays) < 101_000_000
    assert 109_000_000 < max(delays) <= 110_000_000
    assert len(set(delays)) > 990
    tenths = [sum(delay // 1_000_000 == 100 + part for delay in delays) for part in range(10)]
    assert min(tenths) > 50


def test_the_delay_of_an_attempt_is_the_same_wherever_it_is_worked_out():
    assert delay_of(1, retry_delay_s=100) == delay_of(1, retry_delay_s=100) == 108_307_203
    assert delay_of(1, attempt=2, retry_delay_s=100) != delay_of(1, attempt=1, retry_delay_s=100)


def test_no_delay_is_longer_than_an_hour_whatever_its_jitter():
    assert {delay_of(number, retry_delay_s=3600) for number in range(100)} == {3_600_000_000}


def test_the_result_of_an_attempt_that_will_be_repeated_is_not_that_of_the_run():
    said = Outcome(KIND.FAILED, 1, result="[1]")
    assert finish_row(held(), said).result == "[1]"
    assert finish_row(held(retries=1), said).result is None


def test_a_kill_is_never_retried():
    assert not finish_row(held(retries=5), Outcome(KIND.KILLED)).again


def test_a_lost_attempt_goes_back_and_counts_as_a_take_over():
    row = finish_row(held(), Outcome(KIND.LOST, None, ReasonCode.LEASE_LOST))
    assert (row.again, row.lost, row.failed) == (True, True, False)


@pytest.mark.fault(62)
def test_after_two_take_overs_without_an_outcome_it_is_lost():
    row = finish_row(held(take_overs=2), Outcome(KIND.LOST, None, ReasonCode.LEASE_LOST))
    assert (row.status, row.again) == ("lost", False)


@pytest.mark.parametrize("policy", ["fail", "finish"])
def test_what_must_not_run_twice_is_lost_once_it_began(policy: str):
    assert not finish_row(held(on_node_loss=policy), Outcome(KIND.LOST)).again


@pytest.mark.parametrize("policy", ["rerun", "fail", "finish"])
def test_what_never_began_always_goes_to_another_node(policy: str):
    row = finish_row(held(started=False, take_overs=9, on_node_loss=policy), Outcome(KIND.LOST))
    assert (row.again, row.lost) == (True, False)


def test_a_drain_is_no_take_over():
    row = finish_row(held(), Outcome(KIND.LOST, None, ReasonCode.DRAIN))
    assert (row.again, row.lost) == (True, False)


def test_the_first_failed_start_goes_to_another_node_and_costs_no_retry():
    row = finish_row(held(), Outcome(KIND.START_FAILED, 127, ReasonCode.START_FAILED))
    assert (row.again, row.failed, row.reason_code) == (True, False, "start_failed")


def test_the_second_failed_start_is_a_failure():
    row = finish_row(held(former="start_failed"), Outcome(KIND.START_FAILED, 127, ReasonCode.START_FAILED))
    assert (row.status, row.again, row.failed) == ("failed", False, True)


def test_the_second_failed_start_may_be_retried():
    row = finish_row(held(former="start_failed", retries=1), Outcome(KIND.START_FAILED, 127))
    assert (row.again, row.failed) == (True, True)


@pytest.mark.parametrize(("kind", "kept"), [(KIND.SUCCEEDED, b"cdef"), (KIND.FAILED, b"abcdef")])
def test_the_end_of_the_output_is_kept_more_of_it_when_it_failed(kind: OutcomeKind, kept: bytes):
    row = finish_row(held(), Outcome(kind, 0, output=b"..abcdef", output_bytes=8))
    assert (row.output, row.output_bytes) == (kept, 8)


def test_no_output_is_kept_where_the_limit_is_nothing():
    assert OutputLimits(succeeded=0).cut(Outcome(KIND.SUCCEEDED, output=b"text")) == b""
