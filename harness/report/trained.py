"""How far training went along an axis on which tasks are asked beyond it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .summary import Comparison, Row, is_number, lookup

CONTEXT = "context bytes"
POSITION = "position"


class Reach(NamedTuple):
    """at: the last number trained on, in the unit of its axis. words: "windows of 128 tokens"."""

    at: float
    words: str


def trained(comparison: Comparison, axis: str, numbers: Iterable[float]) -> Reach | None:
    """Where training ended along `axis`; None where the records do not say, or no number lies beyond.

    A window of text is known in tokens: of bytes of context it holds as many as its tokens take on average.
    """
    task = lookup(comparison.rows[0].runs[0], "config", "task") or {}
    found = _window(comparison, task, axis) if axis in (CONTEXT, POSITION) else _number(task, axis)
    return found if found and max(numbers, default=0) > found.at else None


def _window(comparison: Comparison, task: Mapping[str, Any], axis: str) -> Reach | None:
    window, segments = task.get("window"), task.get("segments", 1)
    if not (is_number(window) and is_number(segments)):
        return None
    tokens = window * segments
    words = f"windows of {tokens:,} tokens"
    if axis == POSITION:
        return Reach(tokens, words)
    per_byte = next(filter(None, map(tokens_per_byte, comparison.rows)), None)
    return Reach(tokens / per_byte, f"{words}, about {tokens / per_byte:,.0f} bytes") if per_byte else None


def tokens_per_byte(row: Row) -> float | None:
    """Of the text that a row was trained on; None where its runs do not say."""
    tokens, read = row.mean("tokens"), row.mean("bytes")
    return tokens / read if tokens and read else None


def _number(task: Mapping[str, Any], axis: str) -> Reach | None:
    """The largest of a key of the task, as task.length or task.pairs."""
    own: Any = task.get(axis.replace(" ", "_"))
    numbers = [float(each) for each in (own if isinstance(own, list) else [own]) if is_number(each)]
    if not numbers or isinstance(task.get("segments"), list):  # which names what is trained on point by point
        return None
    return Reach(max(numbers), f"{axis} {'up to ' if len(numbers) > 1 else ''}{max(numbers):g}")
