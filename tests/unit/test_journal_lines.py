"""The file of the journal: whatever was written of it can be read."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from leasebeat.journal.lines import Lines, line_of, records_of

RECORDS = st.lists(st.lists(st.one_of(st.none(), st.integers(), st.text())), max_size=8)


@given(RECORDS, st.data())
def test_of_any_prefix_the_whole_lines_are_read(records: list[list[object]], data: st.DataObject) -> None:
    lines = [line_of(record) for record in records]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    complete = sum(len(b"".join(lines[: n + 1])) - 1 <= cut for n in range(len(lines)))
    assert list(records_of(whole[:cut])) == records[:complete]


@given(RECORDS.filter(bool), st.data())
def test_a_line_that_was_damaged_costs_no_other_line(
    records: list[list[object]], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(records) - 1))
    lines = [line_of(record) for record in records]
    lines[at] = lines[at][:-2] + b"\0\n"
    assert list(records_of(b"".join(lines))) == records[:at] + records[at + 1 :]


def test_what_is_written_after_a_torn_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "web1.journal"
    path.write_bytes(line_of([1]) + line_of([2])[:-3])
    lines = Lines(path)
    lines.append([[3], [4]])
    assert lines.read() == [[1], [3], [4]]


def test_the_file_is_for_its_user_alone_also_after_it_was_replaced(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "web1.journal")
    lines.append([[1], [2]])
    lines.replace([[2]])
    lines.append([[3]])
    assert lines.read() == [[2], [3]]
    assert (tmp_path / "web1.journal").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["web1.journal"]
