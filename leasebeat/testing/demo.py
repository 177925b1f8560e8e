"""`scripts/demo`: one node on an embedded store, a few living schedules, and what becomes of them."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

__all__ = ["main"]

ROOT = Path(__file__).parents[2]

SETTINGS = """\
[store]
url = "sqlite:///leasebeat.db"

[node]
name = "demo"
beat_s = 2
drain_s = 5
state_dir = "state"
python_path = ["."]
allow_urls = ["http://127.0.0.1:{port}/"]
"""

TASKS = """\
import os

import leasebeat


def count_words():
    run = leasebeat.current_run()
    print(f"process {os.getpid()} counts the words of {run.run_key}")
"""

INSERTS = """\
INSERT INTO schedules (name, cron, command)
VALUES ('greet', '*/2 * * * * *', 'echo "process $$ says hello for $LEASEBEAT_FIRE_AT"');

INSERT INTO schedules (name, cron, kind, command)
VALUES ('count', '*/5 * * * * *', 'python', 'tasks:count_words');

INSERT INTO schedules (name, cron, kind, command, args)
VALUES ('ping', '*/5 * * * * *', 'http', 'http://127.0.0.1:{port}/ping', '{{"method": "POST"}}');

INSERT INTO schedules (name, cron, command, retries, retry_delay_s)
VALUES ('flaky', '*/10 * * * * *', 'echo "process $$ needs two tries"; test $LEASEBEAT_ATTEMPT = 2', 1, 1);

INSERT INTO schedules (name, cron, command)
VALUES ('slow', '*/4 * * * * *', 'echo "process $$ takes its time"; sleep 6');
"""

ENDED = """\
SELECT r.key, s.kind, r.attempt, r.status, r.reason, r.duration_s,
       (SELECT o.output FROM outputs o WHERE o.fire_at = r.fire_at AND o.schedule_id = r.schedule_id
        AND o.shard = r.shard AND o.attempt = r.attempt) AS output
FROM run_list r LEFT JOIN schedules s ON s.id = r.schedule_id
WHERE r.status NOT IN ('queued', 'running') ORDER BY r.fire_at, r.schedule_id
"""

COLOURS = {"succeeded": "32", "skipped": "33"}


def main(words: Sequence[str] | None = None) -> int:
    """Run the demonstration until ctrl-C or for so many seconds; 1 when the worker did not stay."""
    parser = argparse.ArgumentParser("scripts/demo", description=__doc__)
    parser.add_argument("--seconds", type=float, metavar="N", help="end after that time [until ctrl-C]")
    parser.add_argument("--folder", type=Path, help="where; it is kept [a temporary one, removed at the end]")
    options = parser.parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="leasebeat-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _demonstrate(folder.resolve(), options.seconds)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _demonstrate(folder: Path, seconds: float | None) -> int:
    with _http_server() as port:
        if not _make_store(folder, port):
            return 1
        with _worker(folder) as worker:
            print(f"\nNode `demo` is worker.py, process {worker.pid}. Press ctrl-C to end.\n", flush=True)
            told = Counter[str]()
            try:
                stayed = _watch(folder, worker, seconds, told)
            except KeyboardInterrupt:
                stayed = True
            print(
                "\nThe node drains and leaves ..." if stayed else "\nThe worker ended by itself:", flush=True
            )
    if not stayed:
        print((folder / "worker.log").read_text()[-2000:], file=sys.stderr)
        return 1
    summary = ", ".join(f"{count} {status}" for status, count in sorted(told.items()))
    print(f"Runs that ended: {summary or 'none'}.")
    return 0


@contextmanager
def _http_server() -> Generator[int]:
    """A target for the http task; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # the name that http.server calls
        body = f"process {os.getpid()} answers the worker's request\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        del format, args  # the terminal belongs to the runs


def _make_store(folder: Path, port: int) -> bool:
    """Whether there is one now; `init` has said why not."""
    (folder / "leasebeat.toml").write_text(SETTINGS.format(port=port))
    (folder / "tasks.py").write_text(TASKS)
    fresh = not (folder / "leasebeat.db").exists()
    print(f"python scheduler.py init            # a SQLite file in {folder}", flush=True)
    init = [sys.executable, "scheduler.py", "init"]
    made = subprocess.run(init, cwd=ROOT, env=_environ(folder), check=False).returncode == 0
    if made and fresh:
        inserts = INSERTS.format(port=port)
        print(f"\n{inserts}", flush=True)
        with closing(sqlite3.connect(folder / "leasebeat.db")) as store:
            store.executescript(inserts)
    return made


def _environ(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEASEBEAT_")}
    return {**kept, "LEASEBEAT_CONFIG": str(folder / "leasebeat.toml")}


@contextmanager
def _worker(folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """A running node, drained at the end."""
    with (folder / "worker.log").open("ab") as log:
        # A session of its own: ctrl-C ends the demonstration, which then drains the node.
        command = [sys.executable, "worker.py"]
        worker = subprocess.Popen(
            command, cwd=ROOT, env=_environ(folder), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield worker
    finally:
        worker.terminate()
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _watch(folder: Path, worker: subprocess.Popen[bytes], seconds: float | None, told: Counter[str]) -> bool:
    """Print each run as it ends; False when the worker ended by itself."""
    end = None if seconds is None else time.monotonic() + seconds
    seen: set[str] = set()
    with closing(sqlite3.connect(f"file:{folder}/leasebeat.db?mode=ro", uri=True)) as store:
        store.row_factory = sqlite3.Row
        while end is None or time.monotonic() < end:
            if worker.poll() is not None:
                return False
            for run in store.execute(ENDED):
                if run["key"] not in seen:
                    seen.add(run["key"])
                    told[run["status"]] += 1
                    print(_line(run), flush=True)
            time.sleep(0.2)
    return True


def _line(run: sqlite3.Row) -> str:
    status = f"{run['status']:<9}"
    if sys.stdout.isatty():
        status = f"\x1b[{COLOURS.get(run['status'], '31')}m{status}\x1b[0m"
    printed = bytes(run["output"] or b"").decode(errors="replace").strip().splitlines()
    said = printed[-1] if printed and printed[-1].isprintable() else run["reason"] or ""
    took = "" if run["duration_s"] is None else f"{run['duration_s']:.2f} s"
    return f"{run['key']:<28} {run['kind'] or '':<6} {status} attempt {run['attempt']} {took:>7}  {said}"


if __name__ == "__main__":
    sys.exit(main())
