"""The journal on disk: what a worker that follows another one knows of its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from leasebeat.journal import base
from leasebeat.journal.base import Ended, Start
from leasebeat.journal.file import FileJournal
from leasebeat.model.run import RunKey
from leasebeat.store.rows import FinishRow
from leasebeat.testing.manual import ManualRuntime


def opened(folder: Path) -> FileJournal:
    return FileJournal(folder, "web1.0123", ManualRuntime())


def outcome(n: int) -> Ended:
    row = FinishRow(
        RunKey(n, 7, 2), n, "failed", again=True, delay=5, exit_code=3, reason="é", output=b"\xff\0\n"
    )
    return Ended("a" * 32, row)


def test_what_the_store_has_not_confirmed_is_left_to_the_next_worker(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.ended([outcome(1), outcome(2), outcome(3)])
    journal.recorded(1)
    assert opened(tmp_path).left() == [outcome(2), outcome(3)]


def test_the_next_worker_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    opened(tmp_path).ended([outcome(1), outcome(2)])
    journal = opened(tmp_path)
    journal.ended([outcome(3)])
    journal.recorded(2)
    assert opened(tmp_path).left() == [outcome(3)]


def test_a_journal_of_what_is_all_recorded_is_empty(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.ended([outcome(1), outcome(2)])
    journal.recorded(2)
    assert (tmp_path / "web1.0123.outcomes").stat().st_size == 0
    assert opened(tmp_path).left() == []


def test_a_journal_that_is_never_empty_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leasebeat.journal.file._MOST_BYTES", 2000)
    journal = opened(tmp_path)
    journal.ended([outcome(0)])
    for n in range(1, 200):
        journal.ended([outcome(n)])
        journal.recorded(1)
    assert (tmp_path / "web1.0123.outcomes").stat().st_size < 3000
    assert opened(tmp_path).left() == [outcome(199)]


def test_a_torn_line_costs_no_other_outcome(tmp_path: Path) -> None:
    opened(tmp_path).ended([outcome(1), outcome(2)])
    path = tmp_path / "web1.0123.outcomes"
    path.write_bytes(path.read_bytes()[:-4])
    journal = opened(tmp_path)
    assert journal.left() == [outcome(1)]
    journal.recorded(1)
    assert opened(tmp_path).left() == []


def test_a_disk_that_takes_no_more_is_told_of_once_and_stops_nothing(
    tmp_path: Path, log_lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path)
    monkeypatch.setattr("os.write", lambda fd, data: len(data) // 2)  # as write(2) does on a full disk
    journal.ended([outcome(1)])
    journal.started([Start(RunKey(1, 7), 1, 5)])
    journal.recorded(1)
    assert sum("action=journal_failed" in line for line in log_lines) == 1
    assert journal.start_of(RunKey(1, 7)) == Start(RunKey(1, 7), 1, 5)


def test_the_last_start_of_a_run_is_known_to_the_next_worker(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.started([Start(RunKey(1, 7), 1, 5), Start(RunKey(1, 8), 1, 5)])
    journal.started([Start(RunKey(1, 7), 2, 9)])
    assert opened(tmp_path).start_of(RunKey(1, 7)) == Start(RunKey(1, 7), 2, 9)
    assert opened(tmp_path).start_of(RunKey(2, 7)) is None


def test_only_the_newest_starts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MOST_STARTS", 10)
    monkeypatch.setattr("leasebeat.journal.file.MOST_STARTS", 10)
    journal = opened(tmp_path)
    for n in range(100):
        journal.started([Start(RunKey(n, 7), 1, n)])
    again = opened(tmp_path)
    assert [n for n in range(100) if again.start_of(RunKey(n, 7))] == list(range(90, 100))
    assert len((tmp_path / "web1.0123.starts").read_bytes().splitlines()) <= 21
