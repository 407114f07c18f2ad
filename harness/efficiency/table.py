"""The points of a sweep on a terminal: lengths across, architectures down, a small table per question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..counts import format_length
from ..statistics.lengths import UNSTEADY
from .records import failed

MARKS = {
    "out-of-memory": "mem",
    "over-time": "time",
    "failed": "fail",
    "skipped": "·",
    "beyond-positions": "end",
}
MEANING = {
    "mem": "out of memory",
    "time": "over the time limit: a larger seconds_per_point tries again",
    "fail": "failed: the same command tries again",
    "·": "not tried, since a shorter length ended so",
    "end": "longer than its positions",
    "~": "the machine was faster or slower than for the rest of the folder, after every repetition too",
}
Result = Mapping[str, Any]


def short(number: float) -> str:
    """Three digits at most: 12,345 is "12.3k", 161,000,000 "161M".

    >>> short(987.4), short(1234), short(161e6)
    ('987', '1.23k', '161M')
    """
    for unit, size in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        scaled = number / size
        if scaled < 999.5:
            digits = 0 if scaled >= 99.95 or not unit else 1 if scaled >= 9.995 else 2
            return f"{scaled:.{digits}f}{unit}"
    return f"{number:.3g}"


def _speed(work: str) -> Callable[[Result], str | None]:
    def of(result: Result) -> str | None:
        value = result["tokens_per_second"].get(work)
        return None if value is None else short(value)

    return of


def _memory(work: str) -> Callable[[Result], str | None]:
    def of(result: Result) -> str | None:
        taken = result["memory"].get(work) or {}
        value = taken.get("allocator") or taken.get("system")
        return None if value is None else short(value)

    return of


def _latency(result: Result) -> str | None:
    value = result["seconds"].get("decode")
    return None if value is None else f"{1e3 * value:.3g}"


# What is asked of a mode's points: title, kind of work, and the answer.
QUESTIONS: dict[str, tuple[tuple[str, str, Callable[[Result], str | None]], ...]] = {
    "tokens": (
        ("training step: tokens/s", "train_step", _speed("train_step")),
        ("training step: peak memory (bytes)", "train_step", _memory("train_step")),
        ("forward: tokens/s", "forward", _speed("forward")),
    ),
    "single": (
        ("one sequence, encoding: tokens/s", "forward", _speed("forward")),
        ("one sequence, prefill: tokens/s", "prefill", _speed("prefill")),
        ("one sequence, decoding: ms per token after so many", "decode", _latency),
    ),
}


def tables(results: Sequence[Result]) -> Iterator[Table]:
    """A table per setting, mode and question; nothing is asked of those whom it does not concern."""
    for setting in dict.fromkeys(result["setting"] for result in results):
        for mode, questions in QUESTIONS.items():
            own = [r for r in results if r["setting"] == setting and r["mode"] == mode]
            for number, (title, work, of) in enumerate(questions):
                if any(of(result) for result in own):
                    yield table(own, title if number else f"{setting}\n{title}", work, of)


def table(results: Sequence[Result], title: str, work: str, of: Callable[[Result], str | None]) -> Table:
    lengths = sorted({result["length"] for result in results})
    out = Table(title=title, box=SIMPLE_HEAD, title_justify="left", padding=0)
    out.add_column("tokens", no_wrap=True)
    for length in lengths:
        out.add_column(format_length(length), justify="right", no_wrap=True)
    for curve in dict.fromkeys(map(named, results)):
        cells = {result["length"]: cell(result, work, of) for result in results if named(result) == curve}
        if any(cells.values()):
            out.add_row(curve, *(cells.get(length) or "–" for length in lengths))
    return out


def named(result: Result) -> str:
    return f"{result['arch']} ({result['side']})" if result["side"] else str(result["arch"])


def cell(result: Result, work: str, of: Callable[[Result], str | None]) -> str | None:
    """What was measured, a mark for what ended it, or None where there is nothing to measure."""
    value = of(result)
    if value is None:
        return MARKS.get(result["ended"].get(work, ""))
    return f"{value}~" if abs(result["drift"] or 0) > UNSTEADY else value


def remarks(results: Sequence[Result]) -> list[str]:
    """What the marks in the tables mean, and why points failed, in a line each."""
    marks = {MARKS[status] for result in results for status in result["ended"].values()}
    marks |= {"~"} if any(abs(result["drift"] or 0) > UNSTEADY for result in results) else set()
    lines = [f"{mark} {MEANING[mark]}" for mark in MEANING if mark in marks]
    if other := {r["memory_method"] for r in results if "ru_maxrss" in (r["memory_method"] or "")}:
        lines.append(f"memory: {other.pop()}")
    broken = [result for result in results if failed(result)]
    return lines + [f"{named(result)} at {result['length']}: {result['error']}" for result in broken]
