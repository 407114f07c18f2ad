"""Points as files: one JSON each in STUDY/bench, written whole or not at all, read by the report.

arch, base, family, side, length, other_length, mode, batch, setting, precision     what was measured
model      short digest of everything else that decides the result and is alike at all lengths: the
           architecture as configured, the code behind it (of archs and of plugins) and that which
           measures it, kernels, versions of PyTorch and of what kernels need, precision, what saves memory,
           threads, device, vocabulary. Not in it: length, batch, mode, side, the rows of a position table
           that grow with the length, and the setting. Points of one curve with another model are of another
           thing
biased     whether positions add to the scores of attention
status     ok where any kind of work was timed, else out-of-memory, over-time, failed, beyond-positions, or
           skipped after one of these at a shorter length
ended      {work: status} of the kinds of work that were not timed; error: why the first, in one line, or
           null. What ended by a limit is tried again where a limit has risen, and not because the machine
           was slow: of work that was not timed there is no telling. What failed is tried again by every sweep
measured   when: ISO 8601, UTC
seconds    {train_step, forward, prefill, decode}: median of one call; quartiles, repeats likewise
tokens_per_second   along the length, all rows of a batch together; decode: of one sequence
memory     {work: {allocator, system, baseline}}: peak bytes above what the process held before (weights
           and the optimiser's moments), by the allocator's count and by the system's, null where there
           is none; baseline in bytes. memory_method: how, in words
state_bytes   that decoding holds for one sequence, null for an encoder
flops, peak_share   {work: of one call}, and their rate as a share of matmul_peak, in FLOP/s, which was
           measured around this work; drift: of that from the median of the folder's points on the same
           machine, relative, null where they are few; attempts
copied     whether all of it is of the point with the same batch in mode tokens, which counts as measured
environment   versions, device, threads, kernels, load average
limits     {seconds, memory} of the point; free: bytes that were, where it ran out of them, else null
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ..counts import parse_count
from ..errors import note
from ..record import DamagedRecord, read_json, write_json
from .points import Point
from .subject import OTHER

ENDED = ("out-of-memory", "over-time", "failed")  # longer points would end the same way
MORE = 1.25  # times what was free, from which on a point that ran out of it is tried again
FEW = 3  # points without which there is no median to drift from
ALIKE = ("memory_method", "state_bytes", "matmul_peak", "environment", "measured")  # for all kinds of work
BY_WORK = ("seconds", "quartiles", "repeats", "tokens_per_second", "memory", "flops", "peak_share")
ABOUT = ("arch", "base", "family", "side", "length", "other_length", "mode", "batch", "setting", "precision")
MACHINE = ("processor", "device", "threads", "torch")  # of an environment: what a matmul rate depends on

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
        "precision": point.spec["precision"],
        "model": point.model,
        "biased": point.biased,
    }


def empty() -> Result:
    """The rest of a record of which nothing is known."""
    nothing = ("error", "memory_method", "state_bytes", "matmul_peak", "drift", "free")
    several = (*BY_WORK, "ended", "environment")
    return {**dict.fromkeys(nothing), **{key: {} for key in several}, "attempts": 0, "copied": False}


def part(result: Result, works: Sequence[str]) -> Result | None:
    """What a record says of some of its kinds of work; None where one of them was not timed."""
    if not set(works) <= result["seconds"].keys():
        return None
    own = {key: {work: result[key][work] for work in works if work in result[key]} for key in BY_WORK}
    return {"status": "ok", "copied": True, **{key: result[key] for key in ALIKE}, **own}


def read(path: Path) -> Result:
    """The record in a file. Raises DamagedRecord for one that cannot be read, or is of an older form."""
    found = read_json(path)
    needed = {*ABOUT, "model", *empty(), "status", "measured", "limits"}
    if not isinstance(found, dict) or not needed <= found.keys():
        raise DamagedRecord(f"{path}: no point of ours")
    return found


def limits(config: DictConfig) -> dict[str, Any]:
    """Those of every point: {seconds, memory}, memory in bytes, None for what is free."""
    memory = None if config.memory is None else parse_count(config.memory)
    return {"seconds": config.seconds_per_point, "memory": memory}


def known(point: Point) -> Result | None:
    """The record of an earlier sweep with the same spec; None where there is none that can be read."""
    if not point.path.exists():
        return None
    try:
        return read(point.path)
    except DamagedRecord as error:
        note(f"{error}; the point is measured again")
        return None


def others(folder: Path, points: Sequence[Point]) -> dict[Path, Result]:
    """The records in a sweep's folder, by file, that are of none of the points."""
    found: dict[Path, Result] = {}
    for path in sorted({*folder.glob("*.json")} - {point.path for point in points}):
        with contextlib.suppress(DamagedRecord):  # which a report names
            found[path] = read(path)
    return found


def holds(result: Result | None, limits: Mapping[str, Any], free: Callable[[], int | None]) -> bool:
    """Whether a result stands: a finished one always, one that a limit cut short until a limit rises.

    What failed does not: that may have been the machine's doing. free: bytes that are free now, asked where
    a point took all there was and ran out of it.
    """
    if result is None or failed(result):
        return False
    cut = set(result["ended"].values()) - {"beyond-positions"}
    if cut and rose(result, limits):
        return False
    if "out-of-memory" in cut and limits["memory"] is None and result["free"] is not None:
        now = free()
        return now is None or now < MORE * result["free"]
    return True


def rose(result: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    """Whether a limit is larger than a result's. No limit of memory is the largest there is, and one that is
    given is larger than none where the point ran out of less."""
    memory, had = limits["memory"], result["limits"]["memory"]
    if memory is not None and had is None:
        had = result["free"]
    most, least = (math.inf if size is None else size for size in (memory, had))
    return bool(limits["seconds"] > result["limits"]["seconds"] or most > least)


def failed(result: Mapping[str, Any]) -> bool:
    """Whether anything ended otherwise than by a limit."""
    return "failed" in result["ended"].values()


def write(path: Path, result: Result) -> None:
    write_json(path, result)


def drifts(results: Mapping[Path, Result]) -> dict[Path, float]:
    """How far the matmul rate of every finished point lies from the median on its machine, relative to it.

    Points of other machines, PyTorches or precisions are no measure for it; of few there is no median.
    """
    machines: dict[str, dict[Path, Result]] = {}
    for path, result in results.items():
        if result["status"] == "ok":
            machine = [*(result["environment"].get(key) for key in MACHINE), result["precision"]]
            machines.setdefault(str(machine), {})[path] = result
    found: dict[Path, float] = {}
    for own in machines.values():
        rates = [result["matmul_peak"] for result in own.values() if not result["copied"]]
        if len(rates) >= FEW:
            middle = statistics.median(rates)
            found |= {path: result["matmul_peak"] / middle - 1 for path, result in own.items()}
    return found
