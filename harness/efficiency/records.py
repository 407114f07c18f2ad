"""Points as files: one JSON each in STUDY/bench, written whole or not at all, read by the report.

arch, base, family, side, length, other_length, mode, batch, setting     what was measured
status     ok where any kind of work was timed, else out-of-memory, over-time, failed, beyond-positions, or
           skipped after one of these at a shorter length
ended      {work: status} of the kinds of work that were not timed; error: why the first, in one line, or null
measured   when: ISO 8601, UTC
seconds    {train_step, forward, prefill, decode}: median of one call; quartiles, repeats likewise
tokens_per_second   along the length, all rows of a batch together; decode: of one sequence
memory     {work: {allocator, system, baseline}}: peak bytes above what the process held before (weights
           and the optimiser's moments), by the allocator's count and by the system's, null where there
           is none; baseline in bytes. memory_method: how, in words
state_bytes   that decoding holds for one sequence, null for an encoder
flops, peak_share   {work: of one call}, and their rate as a share of matmul_peak, in FLOP/s, which was
           measured around this work; drift: of that from the sweep's median, relative; attempts
environment   versions, device, threads, kernels, load average
limits     {seconds, memory} of the point; free: bytes that were, where it ran out of them, else null
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import note
from ..record import DamagedRecord, read_json, write_json
from .points import Point
from .subject import OTHER

ENDED = ("out-of-memory", "over-time", "failed")  # longer points would end the same way
MORE = 1.25  # times what was free, from which on a point that ran out of it is tried again
FEW = 3  # points without which there is no median to drift from

Result = dict[str, Any]


def about(point: Point) -> Result:
    """What a record says whatever became of the point."""
    return {
        "arch": point.label,
        "base": point.base,
        "family": point.family,
        "side": point.side,
        "length": point.length,
        "other_length": OTHER if point.side else None,
        "mode": point.mode,
        "batch": point.batch,
        "setting": point.setting,
    }


def empty() -> Result:
    """The rest of a record of which nothing is known."""
    works = ("seconds", "quartiles", "repeats", "tokens_per_second", "memory", "flops", "peak_share", "ended")
    nothing = ("error", "memory_method", "state_bytes", "matmul_peak", "drift", "free")
    return {**dict.fromkeys(nothing), **{key: {} for key in works}, "environment": {}, "attempts": 0}


def known(point: Point) -> Result | None:
    """The record of an earlier sweep with the same spec; None where there is none that can be read."""
    if not point.path.exists():
        return None
    try:
        found = read_json(point.path)
    except DamagedRecord as error:
        note(f"{error}; the point is measured again")
        return None
    needed = {*about(point), *empty(), "status", "measured", "limits"}
    if not isinstance(found, dict) or not needed <= found.keys():
        note(f"{point.path}: no point of ours; the point is measured again")
        return None
    return found


def holds(result: Result | None, limits: Mapping[str, Any], free: Callable[[], int | None]) -> bool:
    """Whether a result stands: a finished one always, one that a limit cut short under the same limits.

    free: bytes that are free now, asked where a point took all there was and ran out of it.
    """
    if result is None:
        return False
    cut = set(result["ended"].values()) - {"beyond-positions"}
    if cut and result["limits"] != limits:
        return False
    if "out-of-memory" in cut and limits["memory"] is None and result["free"] is not None:
        now = free()
        return now is None or now < MORE * result["free"]
    return True


def failed(result: Mapping[str, Any]) -> bool:
    """Whether anything ended otherwise than by a limit."""
    return "failed" in result["ended"].values()


def write(path: Path, result: Result) -> None:
    write_json(path, result)


def drifts(rates: Sequence[float]) -> list[float]:
    """How far each matmul rate lies from the median of all, relative to it; 0 where they are few."""
    middle = statistics.median(rates) if len(rates) >= FEW else None
    return [0.0 if middle is None else rate / middle - 1 for rate in rates]
