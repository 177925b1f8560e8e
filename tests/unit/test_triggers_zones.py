"""Zones are those of the pinned package: what the host's own files say changes no instant."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tzdata

ROOT = Path(__file__).parents[2]

THE_HOSTS_OWN = "from zoneinfo import ZoneInfo as zone"
OURS = "from leasebeat.triggers.zones import zone"

ASK = "import datetime; print(datetime.datetime(2027, 7, 1, tzinfo=zone('Europe/Berlin')).utcoffset())"


@pytest.mark.fault(58)
@pytest.mark.parametrize(("rules", "offset"), [(THE_HOSTS_OWN, "0:00:00"), (OURS, "2:00:00")])
def test_an_edited_zone_file_of_the_host_changes_nothing(tmp_path: Path, rules: str, offset: str) -> None:
    edited = tmp_path / "Europe/Berlin"
    edited.parent.mkdir()
    shutil.copy(Path(str(tzdata.__file__)).parent / "zoneinfo/Etc/UTC", edited)
    said = subprocess.run(
        [sys.executable, "-c", f"{rules}; {ASK}"],
        env={**os.environ, "PYTHONTZPATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == offset
