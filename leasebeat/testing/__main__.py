"""`python -m leasebeat.testing`: private servers until somebody no longer needs them.

Prints where they are, as shell assignments or JSON, and keeps them until ctrl-C, SIGTERM or the end
of standard input; with `--until-pid`, until that process has ended, however it ended. Then the
servers are gone, and so is everything else that was started in their folder.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from leasebeat.testing.mysql import url_text
from leasebeat.testing.servers import MariaDB, Missing, Redis, sweep
from leasebeat.testing.zookeeper import ZooKeeper


def main(words: Sequence[str] | None = None) -> int:
    """Start, tell, wait, clean up. The exit code: 0, or 69 when a server is not installed."""
    options = _parser().parse_args(words)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lb-servers-"))
    try:
        with ExitStack() as stack:
            _tell(_started(stack, options, folder), options, folder)
            _wait(options.until_pid)
    except Missing as problem:
        print(problem, file=sys.stderr)
        return 69
    finally:
        sweep(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("scripts/servers", description="Private servers on free loopback ports.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of shell assignments")
    parser.add_argument(
        "--durable", action="store_true", help="MariaDB writes through to the disk at each commit"
    )
    parser.add_argument("--zookeeper", action="store_true", help="start ZooKeeper too")
    parser.add_argument("--folder", type=Path, help="where; also gets servers.json. Removed at the end")
    parser.add_argument("--until-pid", type=int, metavar="PID", help="end when that process has ended")
    return parser


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)


def _started(stack: ExitStack, options: argparse.Namespace, folder: Path) -> dict[str, str]:
    mariadb = stack.enter_context(MariaDB(folder, durable=options.durable))
    redis = stack.enter_context(Redis(folder))
    places = {"MYSQL_URL": url_text(mariadb.mysql.admin), "REDIS_URL": redis.url}
    if options.zookeeper:
        places["ZOOKEEPER_HOSTS"] = stack.enter_context(ZooKeeper(folder)).hosts
    return places


def _tell(places: dict[str, str], options: argparse.Namespace, folder: Path) -> None:
    text = json.dumps(places)
    fresh = folder / "servers.new"
    fresh.write_text(text)
    fresh.replace(folder / "servers.json")  # in one step: others wait for it to appear
    print(
        text if options.json else "\n".join(f"{name}='{value}'" for name, value in places.items()), flush=True
    )


def _wait(pid: int | None) -> None:
    if pid is None:
        while os.read(0, 4096):
            pass
        return
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # gone already
    select.select([ended], [], [])


if __name__ == "__main__":
    sys.exit(main())
