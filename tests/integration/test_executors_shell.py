"""Shell tasks as real processes: what is captured, what is contained, what is told."""

from __future__ import annotations

import json
import os
import resource
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leasebeat.executors import environment, processes
from leasebeat.executors.base import OUTPUT_TAIL_BYTES
from leasebeat.executors.kinds import open_executors
from leasebeat.executors.options import ExecutorOptions
from leasebeat.model.run import OutcomeKind, ReasonCode
from tests.integration.executing import Bench, bench, carrying, launch, until

OK = OutcomeKind.SUCCEEDED


@pytest.fixture(scope="module")
def shells() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_a_task_succeeds_and_its_output_of_both_streams_is_kept_in_order(shells: Bench) -> None:
    outcome = shells.run("echo one; echo two >&2; echo three")
    assert (outcome.kind, outcome.exit_code, outcome.output) == (OK, 0, b"one\ntwo\nthree\n")
    assert outcome.output_bytes == 14


def test_an_exit_code_is_failure_unless_success_codes_name_it(shells: Bench) -> None:
    failed = shells.run("exit 3")
    assert (failed.kind, failed.exit_code, failed.reason_code) == (
        OutcomeKind.FAILED,
        3,
        ReasonCode.EXIT_CODE,
    )
    assert failed.reason == "exit code 3, expected 0"
    assert shells.run("exit 3", {"success_codes": [0, 3]}).kind is OK
    assert shells.run("exit 0", {"success_codes": [3]}).kind is OutcomeKind.FAILED


@pytest.mark.fault(74)
def test_a_command_that_is_not_there_did_not_start(shells: Bench) -> None:
    outcome = shells.run("/no/such/command")
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.START_FAILED, 127)
    assert b"/no/such/command" in outcome.output


@pytest.mark.fault(74)
def test_a_file_that_cannot_be_executed_did_not_start(shells: Bench, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no program")
    outcome = shells.run(f"{tmp_path}/plain")
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.START_FAILED, 126)


@pytest.mark.fault(74)
def test_a_missing_cwd_did_not_start_and_says_so(shells: Bench) -> None:
    outcome = shells.run("pwd", {"cwd": "/no/such/folder"})
    assert outcome.kind is OutcomeKind.START_FAILED
    assert outcome.reason == "cwd '/no/such/folder': No such file or directory"


@pytest.mark.fault(74)
def test_an_argument_that_the_kernel_refuses_did_not_start(shells: Bench) -> None:
    outcome = shells.run("true", {"env": {"BIG": "x" * 140_000}})
    assert outcome.kind is OutcomeKind.START_FAILED
    assert "Argument list too long" in outcome.reason


def test_what_the_guardian_cannot_be_handed_did_not_start(shells: Bench) -> None:
    outcome = shells.run("true", {"env": {"A": "x" * 120_000, "B": "x" * 120_000}})
    assert outcome.kind is OutcomeKind.START_FAILED
    assert "put large values into files" in outcome.reason


def test_an_unknown_user_did_not_start(shells: Bench) -> None:
    outcome = shells.run("true", run_as="nobody-of-that-name")
    assert outcome.kind is OutcomeKind.START_FAILED
    assert "no user of that name" in outcome.reason


def test_a_foreign_signal_is_a_failure_that_names_it(shells: Bench) -> None:
    outcome = shells.run("kill -SEGV $$")
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.FAILED, ReasonCode.SIGNAL)
    assert "SIGSEGV" in outcome.reason


@pytest.mark.fault(70)
def test_output_of_any_bytes_is_kept_as_it_is(shells: Bench) -> None:
    outcome = shells.run(r"printf '\000\377\033[31m\200no newline'")
    assert outcome.output == b"\x00\xff\x1b[31m\x80no newline"


@pytest.mark.fault(69)
def test_a_flood_of_output_is_drained_counted_and_cut_to_its_end(shells: Bench) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = shells.run("head -c 200000000 /dev/zero; echo the end")
    assert (outcome.kind, outcome.output_bytes) == (OK, 200_000_008)
    assert len(outcome.output) == OUTPUT_TAIL_BYTES
    assert outcome.output.endswith(b"\0the end\n")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # KiB


def test_a_task_that_closes_its_output_is_still_waited_for(shells: Bench) -> None:
    outcome = shells.run("exec >&- 2>&-; sleep 0.2; exit 7")
    assert outcome.exit_code == 7


def test_stdin_is_empty_or_what_args_say(shells: Bench) -> None:
    assert shells.run("wc -c").output.strip() == b"0"
    assert shells.run("cat", {"stdin": "hällo"}).output == "hällo".encode()


def test_a_timeout_ends_a_task_by_sigterm(shells: Bench) -> None:
    outcome = shells.run("trap 'echo bye; exit 9' TERM; while :; do sleep 0.05; done", timeout_s=0.3)
    assert (outcome.kind, outcome.reason_code) == (OutcomeKind.TIMED_OUT, ReasonCode.TIMEOUT)
    assert (outcome.output.endswith(b"bye\n"), outcome.exit_code) == (True, 9)


@pytest.mark.fault(71)
def test_a_task_deaf_to_sigterm_is_killed_with_all_its_children(shells: Bench) -> None:
    what = launch("trap '' TERM; sleep 1000 & sleep 1000 & wait; sleep 1000", timeout_s=0.2)
    shells.start(what)
    assert shells.next()[1].kind is OutcomeKind.TIMED_OUT
    assert carrying(what.key_text) == []


def test_the_child_of_a_shell_that_died_of_sigterm_keeps_its_grace(shells: Bench, tmp_path: Path) -> None:
    slow = f"(trap 'sleep 0.1; echo clean > {tmp_path}/log; exit' TERM; sleep 1000 & wait)"
    outcome = shells.run(f"{slow}; true", timeout_s=0.3)
    assert outcome.kind is OutcomeKind.TIMED_OUT
    assert (tmp_path / "log").read_text() == "clean\n"


@pytest.mark.fault(11)
def test_a_stopped_task_still_ends_at_its_timeout(shells: Bench) -> None:
    outcome = shells.run("kill -STOP $$; echo woken", timeout_s=0.2)
    assert outcome.kind is OutcomeKind.TIMED_OUT


def test_stop_decides_the_outcome_and_unknown_ids_are_ignored(shells: Bench) -> None:
    what = shells.start(launch("sleep 1000"))
    shells.shell.stop(launch("never started").id, OutcomeKind.KILLED, 0)
    shells.shell.stop(what.id, OutcomeKind.KILLED, 5)
    assert shells.next()[1].kind is OutcomeKind.KILLED


def test_a_second_stop_without_grace_does_not_wait_for_the_first(shells: Bench) -> None:
    what = shells.start(launch("trap '' TERM; echo deaf; while :; do sleep 1000; done"))
    shells.shell.stop(what.id, OutcomeKind.KILLED, 1000)
    shells.shell.stop(what.id, OutcomeKind.LOST, 0)
    assert shells.next()[1].kind is OutcomeKind.KILLED


COUNTING = "trap 'echo TERM' TERM; touch {folder}/ready; while ! [ -e {folder}/go ]; do sleep 0.02; done"


def test_a_stop_that_is_repeated_sends_no_second_sigterm(shells: Bench, tmp_path: Path) -> None:
    what = shells.start(launch(COUNTING.format(folder=tmp_path)))
    until((tmp_path / "ready").exists, "the start")
    for _ in range(5):
        shells.shell.stop(what.id, OutcomeKind.KILLED, 60)
        shells.runtime.waiter().wait(0.1)
    (tmp_path / "go").touch()
    assert shells.next()[1].output.count(b"TERM") == 1


def test_a_second_stop_with_a_shorter_grace_sends_sigterm_again_and_counts(
    shells: Bench, tmp_path: Path
) -> None:
    what = shells.start(launch(COUNTING.format(folder=tmp_path)))
    until((tmp_path / "ready").exists, "the start")
    for grace in (60, 0.5):
        shells.shell.stop(what.id, OutcomeKind.KILLED, grace)
        shells.runtime.waiter().wait(0.2)
    assert shells.next()[1].output.count(b"TERM") == 2


@pytest.mark.parametrize(
    "daemon", ["sleep 1000 &", "setsid sleep 1000 &", "setsid sh -c 'sleep 1000 & exit' &"]
)
@pytest.mark.fault(72)
def test_what_a_task_leaves_behind_is_killed_and_does_not_hold_its_slot(shells: Bench, daemon: str) -> None:
    what = shells.start(launch(f"{daemon} echo started"))
    ended, outcome = shells.next(5)
    assert (ended.id, outcome.kind, outcome.output) == (what.id, OK, b"started\n")
    assert carrying(what.key_text) == []


def test_leftovers_are_left_alone_where_the_schedule_says_so(shells: Bench) -> None:
    what = shells.start(launch("setsid sleep 1000 & echo $!", {"leftovers": "leave"}))
    _, outcome = shells.next(5)
    left = carrying(what.key_text)
    assert (outcome.kind, len(left)) == (OK, 1)
    processes.kill(left)


@pytest.mark.fault(73)
def test_no_zombie_is_left_after_two_hundred_runs(shells: Bench) -> None:
    for _ in range(200):
        shells.start(launch("true & true"))
    kinds = [shells.next()[1].kind for _ in range(200)]
    assert kinds == [OK] * 200
    until(lambda: zombies() == [], "the reaping of the last one")


def zombies() -> list[int]:
    below = [processes.look(pid) for pid in processes.below(os.getpid())]
    return [process.pid for process in below if process and process.ended]


def test_no_descriptor_is_left_after_many_runs(shells: Bench) -> None:
    shells.run("true")
    pid = shells.leash.guardian_pid
    before = len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(20):
        shells.run("exit 1")
        shells.run("true", {"cwd": "/no/such/folder"})
    assert (len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{pid}/fd"))) == before


def test_a_task_is_told_who_it_is(shells: Bench) -> None:
    what = shells.start(launch("env"))
    told = dict(line.split("=", 1) for line in shells.next()[1].output.decode().splitlines())
    assert {
        name: told[f"LEASEBEAT_{name}"] for name in ("RUN_KEY", "FIRE_AT", "FENCE", "NODE", "SHARDS")
    } == {
        "RUN_KEY": f"{what.schedule.name}@2026-11-20T03:00:00Z",
        "FIRE_AT": "2026-11-20T03:00:00Z",
        "FENCE": "1234",
        "NODE": "host-a",
        "SHARDS": "1",
    }


@pytest.mark.fault(75)
def test_a_task_inherits_nothing_of_the_worker_but_the_allowed_names(
    shells: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASEBEAT_STORE__URL", "mysql://u:geheim@h/d")
    monkeypatch.setenv("MYSQL_PWD", "geheim")
    output = shells.run("env", {"env": {"MINE": "yes", "COUNT": 3}}).output.decode()
    names = {line.split("=")[0] for line in output.splitlines()}
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "PWD", "MINE", "COUNT"}
    assert {n for n in names - allowed if not n.startswith(("LC_", "LEASEBEAT_"))} == set()
    assert "geheim" not in output


def test_the_guardian_holds_no_secret_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASEBEAT_REDIS__URL", "redis://:geheim@h")
    with bench() as made:
        assert Path(f"/proc/{made.leash.guardian_pid}/environ").read_bytes() == b"LANG=C.UTF-8\0"


@pytest.mark.fault(44, 75)
def test_a_task_has_no_other_descriptors_than_the_three(shells: Bench) -> None:
    # The fourth is the folder that `ls` itself reads.
    assert shells.run("exec ls /proc/self/fd").output.split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.fault(75)
def test_a_task_has_a_session_of_its_own_default_signals_and_a_safe_umask(shells: Bench) -> None:
    outcome = shells.run("ps -o sid= -p $$; echo $$; umask; exec grep -E 'Sig(Blk|Ign)' /proc/self/status")
    session, pid, umask, blocked, ignored = outcome.output.decode().splitlines()
    assert (session.strip(), umask) == (pid, "0077")
    assert [int(line.split()[1], 16) for line in (blocked, ignored)] == [0, 0]


def test_references_are_resolved_on_the_node(
    shells: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    monkeypatch.setenv("TOKEN_OF_HOST", "t0ken")
    args: dict[str, object] = {
        "env": {"A": {"file": f"{tmp_path}/secret"}, "B": {"env": "TOKEN_OF_HOST"}},
        "stdin": {"file": f"{tmp_path}/secret"},
    }
    assert shells.run('echo "$A $B"; cat', args).output == b"s3cret t0ken\ns3cret"


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"file": "/no/such/file"}, "args.env.A: '/no/such/file' cannot be read on this node: No such file"),
        ({"file": "/dev/zero"}, "args.env.A: '/dev/zero' is no regular file"),
        ({"file": "/"}, "args.env.A: '/' is no regular file"),
        ({"file": "a\0b"}, "args.env.A: 'a\\x00b' cannot be read on this node: embedded null byte"),
        ({"env": "NO_SUCH_NAME"}, "has no variable NO_SUCH_NAME"),
        ({"env": "LEASEBEAT_STORE__URL"}, "belongs to the worker itself"),
    ],
)
def test_a_reference_to_nothing_did_not_start(shells: Bench, reference: dict[str, str], reason: str) -> None:
    outcome = shells.run("true", {"env": {"A": reference}})
    assert outcome.kind is OutcomeKind.START_FAILED
    assert reason in outcome.reason


@pytest.mark.timeout(10)
def test_a_reference_to_a_pipe_without_a_writer_does_not_hold_up_the_caller(
    shells: Bench, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    outcome = shells.run("true", {"env": {"A": {"file": f"{tmp_path}/pipe"}}})
    assert outcome.kind is OutcomeKind.START_FAILED
    assert "is no regular file" in outcome.reason


def test_a_reference_to_a_file_of_more_than_64_kib_did_not_start(shells: Bench, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 65_537)
    outcome = shells.run("true", {"env": {"A": {"file": f"{tmp_path}/large"}}})
    assert outcome.kind is OutcomeKind.START_FAILED
    assert "is larger than 65,536 bytes" in outcome.reason


def test_the_result_file_becomes_the_result_and_is_removed(shells: Bench) -> None:
    outcome = shells.run("""echo '{"rows": 3}' > $LEASEBEAT_RESULT; echo $LEASEBEAT_RESULT""")
    assert json.loads(outcome.result or "") == {"rows": 3}
    assert not Path(outcome.output.decode().strip()).exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo '{rows' > $LEASEBEAT_RESULT", "it is not JSON"),
        ("head -c 70000 /dev/zero > $LEASEBEAT_RESULT", "it has more than 65,536 bytes"),
        ("ln -sf /etc/passwd $LEASEBEAT_RESULT", "its file cannot be read"),
        ("rm $LEASEBEAT_RESULT; mkfifo $LEASEBEAT_RESULT", "replaced by something that is no file"),
        ("rm $LEASEBEAT_RESULT", "its file cannot be read"),
        ("echo '{\"a\": NaN}' > $LEASEBEAT_RESULT", "NaN is no number of JSON"),
    ],
)
def test_a_result_that_cannot_be_kept_is_told_and_does_not_fail_the_run(
    shells: Bench, command: str, reason: str
) -> None:
    outcome = shells.run(command)
    assert (outcome.kind, outcome.result) == (OK, None)
    assert reason in outcome.reason


@pytest.mark.parametrize(
    ("end", "kind"), [("exit 3", OutcomeKind.FAILED), ("kill -9 $$", OutcomeKind.FAILED)]
)
def test_a_task_that_failed_hands_on_its_result_too(shells: Bench, end: str, kind: OutcomeKind) -> None:
    outcome = shells.run(f"echo '[7]' > $LEASEBEAT_RESULT; {end}")
    assert (outcome.kind, outcome.result) == (kind, "[7]\n")


def test_a_task_that_was_timed_out_hands_on_what_it_had_written(shells: Bench) -> None:
    outcome = shells.run("echo '[7]' > $LEASEBEAT_RESULT; sleep 60", timeout_s=0.3)
    assert (outcome.kind, outcome.result) == (OutcomeKind.TIMED_OUT, "[7]\n")


def test_of_a_failure_both_reasons_are_told(shells: Bench) -> None:
    outcome = shells.run("echo '[7' > $LEASEBEAT_RESULT; exit 3")
    assert outcome.reason.startswith("exit code 3, expected 0; the result was not kept: it is not JSON")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a file that others cannot read")
def test_a_second_name_of_somebody_elses_file_is_no_result(tmp_path: Path) -> None:
    account = environment.account_of("nobody")
    (tmp_path / "secret").write_text("[7]")
    with bench(ExecutorOptions(allow_users=("nobody",))) as made:
        made.start(launch("until [ -s $LEASEBEAT_RESULT ]; do sleep 0.01; done", run_as="nobody"))
        found = until(
            lambda: list(Path(tempfile.gettempdir()).glob(f"leasebeat-node-of-test-{os.getpid()}-*"))
        )
        assert found[0].stat().st_uid == account.uid
        found[0].unlink()  # what the task may do itself where the kernel does not protect hard links
        os.link(tmp_path / "secret", found[0])
        outcome = made.next()[1]
    assert (outcome.kind, outcome.result) == (OK, None)


def test_a_result_file_that_became_a_folder_does_not_keep_the_run_from_ending(tmp_path: Path) -> None:
    with bench(ExecutorOptions(state_dir=tmp_path)) as made:
        outcome = made.run("rm $LEASEBEAT_RESULT; mkdir $LEASEBEAT_RESULT")
    assert (outcome.kind, outcome.result) == (OK, None)
    assert "replaced by something that is no file" in outcome.reason


def test_result_files_of_a_killed_predecessor_are_removed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("dead")
    (tmp_path / "leasebeat-dead-0.json").mkdir()  # the work of a task: it stays, and costs nothing
    for name in ("leasebeat-dead-1.json", "leasebeat-other-1.json"):
        (tmp_path / name).touch()
    options = ExecutorOptions(state_dir=tmp_path)
    with bench(options, lock_path=lock) as made:
        open_executors(options, made.runtime, made.loop, made.leash)
    kept = ["leasebeat-dead-0.json", "leasebeat-other-1.json", "lock"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_run_as_changes_user_groups_and_home() -> None:
    with bench(ExecutorOptions(allow_users=("nobody",))) as made:
        outcome = made.run('id -un; id -G; echo "$HOME"; echo 1 > $LEASEBEAT_RESULT', run_as="nobody")
    assert outcome.output.decode().split() == ["nobody", "65534", "/nonexistent"]
    assert outcome.result == "1\n"


def test_many_starts_at_once_all_end(shells: Bench) -> None:
    started = {shells.start(launch("echo $LEASEBEAT_RUN_KEY")).key_text for _ in range(300)}
    ended = {shells.next()[1].output.decode().strip() for _ in range(300)}
    assert ended == started


def test_signals_of_a_terminal_do_not_reach_the_guardian(shells: Bench) -> None:
    pid = shells.leash.guardian_pid
    assert pid is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    assert shells.run("true").kind is OK
    assert shells.leash.guardian_pid == pid


def test_without_a_guardian_nothing_starts() -> None:
    made = Bench()
    outcome = made.run("true")
    made.close()
    assert outcome.kind is OutcomeKind.START_FAILED
    assert "there is no guardian process" in outcome.reason


def test_a_bench_that_closes_ends_what_runs() -> None:
    with bench() as made:
        what = made.start(launch("sleep 1000"))
        until(lambda: carrying(what.key_text), "the start")
    assert carrying(what.key_text) == []
    assert made.next()[1].kind is OutcomeKind.LOST


def test_what_a_follower_is_told_never_keeps_it_from_starting(shells: Bench) -> None:
    runs = [{"key": f"a@0#{n}", "result": 'é"\\' * 20_000} for n in range(3)]
    own = {"A": '"' * 40_000, "B": "\\" * 20_000}  # each counts double on its way
    command = 'printf %s "$LEASEBEAT_UPSTREAM"'
    shells.start(replace(launch(command, {"env": own}), upstream=json.dumps(runs)))
    outcome = shells.next()[1]
    assert outcome.kind is OK
    assert json.loads(outcome.output) == [{"key": f"a@0#{n}", "result_omitted": True} for n in range(3)]
