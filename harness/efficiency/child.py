"""Half of a point, measured in this process: `python -m harness.efficiency.child WHAT SPEC OUT`.

WHAT is `memory`, `times`, or `baseline`: what this process holds before there is a model. Spec: the JSON
of points.Point.spec with {"seconds": time left, "memory": limit in bytes or null}. Out: what was found, a
part of the point's record, or {"status", "error"}.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import one_line
from ..record import write_json
from ..searchpath import register
from .device import device_name, kernels, limit_memory, ran_out
from .memory import PeakMemory, field, watched
from .subject import DTYPES, WARM_UP, Subject
from .timing import OverTime, Stopwatch, quartiles

BEGIN = time.monotonic()


def baseline(spec: dict[str, Any]) -> dict[str, Any]:
    """Bytes of data that a limit would count already; None where the system does not say."""
    return {"bytes": field("VmData")}


def warmed(spec: dict[str, Any]) -> Subject:
    """A subject of the point's shape that has done each kind of its work once, on a short sequence."""
    subject = Subject(spec)
    subject.resize(1, min(WARM_UP, spec["length"]), spec["side"])
    for name, work in subject.work(spec["mode"]).items():
        subject.module.train(name == "train_step")
        work()
        if name == "prefill":
            subject.decoder()()
    subject.resize(spec["batch"], spec["length"], spec["side"])
    return subject


def memory(spec: dict[str, Any]) -> dict[str, Any]:
    """Peak bytes of every kind of work but decoding, whose memory is the state, and the kernels that ran."""
    subject, method = warmed(spec), ""
    found: dict[str, dict[str, int | None]] = {}
    took: dict[str, float] = {}
    operators: set[str] = set()
    for name, work in subject.work(spec["mode"]).items():
        subject.module.train(name == "train_step")
        with watched() as allocated:
            peak = PeakMemory(spec["device"])
            begin = time.monotonic()
            work()
            took[name] = time.monotonic() - begin
            taken, method = peak.bytes(), peak.method
        operators |= allocated.operators
        on_gpu = spec["device"] == "cuda"
        found[name] = {
            "allocator": taken if on_gpu else allocated.peak,
            "system": None if on_gpu or not taken else taken,
            "baseline": peak.baseline,
        }
    return {
        "took": took,
        "memory": found,
        "memory_method": words(spec["device"], method, bool(operators)),
        "state_bytes": subject.state_bytes(),
        "environment": {"kernels": kernels(subject.module, spec["device"], operators)},
    }


def words(device: str, method: str, counted: bool) -> str:
    """How memory was measured, for whoever reads the point."""
    if device == "cuda":
        return "allocator: torch.cuda.max_memory_allocated, reset before each"
    first = "torch.profiler's record of every allocation" if counted else "none, this PyTorch has no profiler"
    second = "VmHWM over VmRSS, reset before each"
    if method == "ru_maxrss":
        second = "ru_maxrss over the highest before, since /proc/self/clear_refs cannot be written here"
    return f"allocator: {first}; system: {second}"


def times(spec: dict[str, Any]) -> dict[str, Any]:
    """Median seconds of every kind of work, with what they mean in tokens and operations."""
    device = torch.device(spec["device"])
    subject = warmed(spec)
    watch = Stopwatch(device, DTYPES[spec["precision"]], BEGIN + spec["seconds"])
    seconds: dict[str, list[float]] = {}
    for name, work in subject.work(spec["mode"]).items():
        subject.module.train(name == "train_step")
        seconds[name] = watch.time(work, name)
        if name == "prefill":
            seconds["decode"] = watch.time(subject.decoder(), "decode")
    median = {name: statistics.median(values) for name, values in seconds.items()}
    tokens = dict.fromkeys(median, spec["batch"] * spec["length"]) | {"decode": 1}
    flops = {name: count for name, count in subject.flops().items() if name in median}
    rate = watch.matmul_peak
    return {
        "seconds": median,
        "quartiles": {name: quartiles(values) for name, values in seconds.items()},
        "repeats": {name: len(values) for name, values in seconds.items()},
        "tokens_per_second": {name: tokens[name] / value for name, value in median.items()},
        "flops": flops,
        "matmul_peak": rate,
        "peak_share": {name: count / median[name] / rate for name, count in flops.items()},
        "environment": {
            "device": device_name(spec["device"]),
            "threads": torch.get_num_threads(),
            "load": os.getloadavg()[0],
        },
    }


WHAT: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "baseline": baseline,
    "memory": memory,
    "times": times,
}


def outcome(what: str, spec: dict[str, Any]) -> dict[str, Any]:
    """What was found, or what became of it."""
    try:
        torch.set_num_threads(spec["threads"])
        limit_memory(spec["device"], spec["memory"])
        return {"status": "ok", **WHAT[what](spec)}
    except OverTime as error:
        return {"status": "over-time", "error": one_line(error)}
    except Exception as error:  # of a plugin's code, too: whatever it is, the sweep goes on
        return {"status": "out-of-memory" if ran_out(error) else "failed", "error": one_line(error)}


def main() -> None:
    register()
    what, spec, out = sys.argv[1:]
    write_json(Path(out), outcome(what, json.loads(Path(spec).read_text())))


if __name__ == "__main__":
    main()
