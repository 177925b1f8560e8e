"""Functions that the tests of the `python` kind run as tasks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import leasebeat

ready: list[str] = []
gate = threading.Event()
passed: list[bool] = []
begun: list[str] = []


def nothing() -> None:
    pass


def init() -> None:
    ready.append("yes")


def bad_init() -> None:
    raise ValueError("no licence")


def exiting_init() -> None:
    sys.exit("no licence")


def gated_init() -> None:
    passed.append(gate.wait(5))


def through_the_gate() -> list[bool]:
    return passed


def begins(name: str) -> None:
    begun.append(name)


def initialised() -> list[str]:
    return ready


def add(a: int, b: int = 0) -> dict[str, int]:
    print("adding")
    print("on the other stream", file=sys.stderr)
    return {"sum": a + b}


async def later(value: str) -> str:
    await asyncio.sleep(0.001)
    return value


def who() -> dict[str, object]:
    run = leasebeat.current_run()
    return {"key": run.run_key, "at": run.fire_at.isoformat(), "fence": run.fence, "pid": os.getpid()}


def who_in_a_child() -> str:
    code = "import leasebeat; print(leasebeat.current_run().run_key)"
    root = str(Path(leasebeat.__file__).parents[1])
    return subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True).strip()


def environment() -> dict[str, str]:
    return dict(os.environ)


def where() -> str:
    return os.getcwd()


def raises() -> None:
    raise ValueError("of no\nuse")


def exits(code: object) -> None:
    sys.exit(code)  # pyright: ignore[reportArgumentType]


def vanishes(code: int) -> None:
    print("last words")
    os._exit(code)


def crashes() -> None:
    ctypes.string_at(0)


def loops() -> None:
    while True:
        pass


def deaf() -> None:
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            continue


def cleans_up(path: str) -> None:
    try:
        time.sleep(1000)
    finally:
        Path(path).write_text("clean")


def cleans_up_slowly(folder: str) -> None:
    place = Path(folder)
    try:
        (place / "begun").touch()
        time.sleep(1000)
    finally:
        (place / "cleaning").touch()
        while not (place / "go").exists():
            time.sleep(0.02)
        (place / "clean").touch()


def sleeps(seconds: float) -> None:
    time.sleep(seconds)


def leaves_a_child() -> int:
    return subprocess.Popen(["sleep", "1000"]).pid


def closes_everything() -> None:
    os.closerange(3, 100)
    time.sleep(1000)


def thing() -> object:
    return object()


def large() -> str:
    return "x" * 70_000


def floods() -> None:
    for _ in range(1000):
        sys.stdout.write("x" * 99_999 + "\n")


def prints_later() -> None:
    threading.Timer(0.1, print, ["late"]).start()


NOT_A_FUNCTION = 3


def follows() -> list[dict[str, object]]:
    return [{**each, "seen": True} for each in leasebeat.current_run().upstream]


def deep() -> list[object]:
    nested: list[object] = []
    for _ in range(31):
        nested = [nested]
    return nested


def misbehave(limit: int = 0) -> int:
    os.umask(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    if limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return os.getpid()


def manners() -> list[object]:
    """Its process, umask, whether SIGTERM reaches it, its limit of files, and /proc's word on new rights."""
    umask = os.umask(0o077)
    deaf = signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    deaf = deaf or signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    rights = "NoNewPrivs:\t1" in Path("/proc/self/status").read_text()
    return [os.getpid(), umask, deaf, files, rights]


def hoard() -> int:
    return len(bytearray(200_000_000))
