"""A history as a picture: a lane for each node, with its runs and what was done to it, on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from leasebeat.testing.chaos.nemesis import SERVERS, Suffered
from leasebeat.testing.evidence import Evidence, Execution, executions

__all__ = ["svg"]

WIDTH, LEFT, RIGHT, TOP = 1800, 90, 20, 60
ROW, ROWS = 4, 22
LANE = ROW * ROWS + 16
NARROW = 22

FAULTS = {
    "kill": "#d62728",
    "stop": "#ff7f0e",
    "cut_mysql": "#9467bd",
    "cut_redis": "#e7a1c4",
    "cut_zookeeper": "#8c564b",
    "one_way": "#bcbd22",
    "slow": "#c7c7c7",
    "server": "#7f7f7f",
    "clock": "#17becf",
}
RUNS = {"first attempt": "#4c9a5b", "next attempt": "#1f5fa8", "cut off": "#111111"}


def svg(evidence: Evidence, log: Sequence[Suffered], names: Sequence[str]) -> str:
    """The picture as SVG text. Hovering over a run or a fault says which it is."""
    ran = executions(evidence.lines)
    moments = [at for e in ran for at in (e.begin, e.last)] + [suffered.at for suffered in log]
    scale = _Scale(min(moments, default=0), max(moments, default=1))
    height = TOP + NARROW + 8 + len(names) * LANE + 30
    node_names = {node.id: node.name for node in evidence.nodes}
    lines = [_rect(0, 0, WIDTH, height, "white"), *_legend(), *_axis(scale, height)]
    lines += _lane(SERVERS, TOP, NARROW, scale, log)
    for number, name in enumerate(names):
        top = TOP + NARROW + 8 + number * LANE
        lines += _lane(name, top, LANE - 8, scale, log)
        lines += _runs([e for e in ran if node_names.get(e.node_id) == name], top + 4, scale)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
    return "\n".join([f'{head} font-family="sans-serif" font-size="12">', *lines, "</svg>\n"])


@dataclass(frozen=True, slots=True)
class _Scale:
    """From CLOCK_BOOTTIME in nanoseconds to the place on the axis."""

    first: int
    last: int

    def x(self, at: int) -> float:
        part = (min(at, self.last) - self.first) / max(1, self.last - self.first)
        return LEFT + part * (WIDTH - LEFT - RIGHT)


def _rect(
    x: float, y: float, wide: float, high: float, colour: str, title: str = "", opacity: float = 1
) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
    return f'<rect {where} fill="{colour}" opacity="{opacity}"><title>{escape(title)}</title></rect>'


def _text(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def _lane(name: str, top: float, high: float, scale: _Scale, log: Sequence[Suffered]) -> Iterator[str]:
    yield _text(8, top + 14, name)
    yield _rect(LEFT, top, WIDTH - LEFT - RIGHT, high, "#f4f4f4", opacity=0.6)
    for suffered in (each for each in log if each.node == name):
        begin = scale.x(suffered.at)
        wide = max(2.0, scale.x(suffered.until) - begin)
        title = f"{suffered.kind}: {suffered.detail}"
        yield _rect(begin, top, wide, high, FAULTS[suffered.kind], title, 0.45)


def _runs(found: Sequence[Execution], top: float, scale: _Scale) -> Iterator[str]:
    for row, execution in _stacked(found):
        y, begin, last = top + row * ROW, scale.x(execution.begin), scale.x(execution.last)
        colour = RUNS["first attempt" if execution.attempt == 1 else "next attempt"]
        title = f"{execution.key} attempt {execution.attempt}"
        yield _rect(begin, y, max(1.0, last - begin), ROW - 1, colour, title)
        if not execution.ended:
            yield _rect(last, y, 2.5, ROW - 1, RUNS["cut off"], title)


def _stacked(found: Sequence[Execution]) -> Iterator[tuple[int, Execution]]:
    """Each with the first row that is free for it; what is beyond the last row shares that."""
    until = [0] * ROWS
    for execution in sorted(found, key=lambda execution: execution.begin):
        row = next((row for row, end in enumerate(until) if end <= execution.begin), ROWS - 1)
        until[row] = max(until[row], execution.last)
        yield row, execution


def _legend() -> Iterator[str]:
    across = float(LEFT)
    for name, colour in {**RUNS, **FAULTS}.items():
        yield _rect(across, 14, 14, 12, colour, name)
        yield _text(across + 18, 24, name)
        across += 40 + 7 * len(name)


def _axis(scale: _Scale, height: int) -> Iterator[str]:
    seconds = (scale.last - scale.first) // 1_000_000_000
    for second in range(0, seconds + 1, 10 if seconds < 200 else 60):
        x = scale.x(scale.first + second * 1_000_000_000)
        yield _rect(x, TOP - 8, 1, height - TOP - 10, "#dddddd")
        yield _text(x, TOP - 12, f"{second} s")
