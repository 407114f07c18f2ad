"""Half of a point, measured in this process: `python -m harness.efficiency.child WHAT SPEC OUT`.

WHAT is `memory`, `times`, or `baseline`: what this process holds before there is a model. Spec: the JSON
of points.Point.spec with {"deadline": of time.monotonic(), "memory": limit in bytes or null, "ended": {work
that is not to be tried: status}}. Out: what was found, a part of the point's record, or {"status", "error"}.
It is written after every kind of work, `todo` naming those that are left, so that a process that is ended
in one of them has kept the others.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import one_line
from ..record import write_json
from ..searchpath import register
from .device import device_name, kernels, limit_memory, ran_out
from .heap import freed
from .memory import PeakMemory, field, watched
from .subject import DTYPES, Subject, works
from .timing import OverTime, Stopwatch, quartiles

Found = dict[str, Any]


def baseline(spec: Found) -> Iterator[Found]:
    """Bytes that a limit would count before there is a model; None where the system does not say.

    Among them is what a look at the machine's own speed takes, which every point has beside its model: on a
    GPU much more than libraries do.
    """
    Stopwatch(torch.device(spec["device"])).look()
    on_gpu = spec["device"] == "cuda"
    yield {"status": "ok", "bytes": torch.cuda.memory_reserved() if on_gpu else field("VmData")}


def shaped(spec: Found) -> Subject:
    """A subject with the point's tokens."""
    subject = Subject(spec)
    subject.resize(spec["batch"], spec["length"], spec["side"])
    return subject


def turns(spec: Found, subject: Subject, do: Callable[[str], None], *without: str) -> Iterator[Found]:
    """Warm up and do each kind of work in turn, and say after each what became of it, and which are left.

    One that does not fit, or fails, costs the others nothing; one that takes too long leaves no time to
    those after it, which are no lighter. Status: ok if any was done.
    """
    todo = [name for name in works(spec["family"], spec["mode"]) if name not in {*spec["ended"], *without}]
    done, ended, error = 0, dict[str, str](), None
    while todo:
        name = todo.pop(0)
        try:
            subject.warm(name)
            do(name)
            done += 1
        except OverTime as late:
            ended |= dict.fromkeys([name, *todo], "over-time")
            error, todo = error or one_line(late), []
        except Exception as wrong:  # of a plugin's code, too: whatever it is, the sweep goes on
            ended[name] = became(wrong)
            error = error or f"{name}: {one_line(wrong)}"
        status = "ok" if done or not ended else next(iter(ended.values()))
        yield {"status": status, "error": error, "ended": dict(ended), "todo": list(todo)}


def memory(spec: Found) -> Iterator[Found]:
    """Peak bytes of every kind of work but decoding, whose memory is the state, and the kernels that ran."""
    subject, method = shaped(spec), ""
    found: dict[str, dict[str, int | None]] = {}
    operators: set[str] = set()

    def watch(name: str) -> None:
        nonlocal method
        work = subject.work(name)
        with watched() as allocated:
            peak = PeakMemory(spec["device"])
            work()
            taken, method = peak.bytes(), peak.method
        operators.update(allocated.operators)
        on_gpu = spec["device"] == "cuda"
        found[name] = {
            "allocator": taken if on_gpu else allocated.peak,
            "system": None if on_gpu or not taken else taken,
            "baseline": peak.baseline,
        }

    for state in turns(spec, subject, watch, "decode"):
        yield {
            **state,
            "memory": found,
            "memory_method": words(spec["device"], method, torch.profiler.kineto_available()),
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


def times(spec: Found) -> Iterator[Found]:
    """Median seconds of every kind of work, with what they mean in tokens and operations."""
    device = torch.device(spec["device"])
    subject = shaped(spec)
    watch = Stopwatch(device, DTYPES[spec["precision"]], spec["deadline"])
    seconds: dict[str, list[float]] = {}
    counted = subject.flops()

    def clock(name: str) -> None:
        seconds[name] = watch.time(subject.work(name), name)

    for state in turns(spec, subject, clock):
        median = {name: statistics.median(values) for name, values in seconds.items()}
        tokens = dict.fromkeys(median, spec["batch"] * spec["length"]) | {"decode": 1}
        flops = {name: count for name, count in counted.items() if name in median}
        rate = watch.matmul_peak
        yield {
            **state,
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
                "freed": freed(),
                "load": os.getloadavg()[0],
            },
        }


WHAT: dict[str, Callable[[Found], Iterator[Found]]] = {
    "baseline": baseline,
    "memory": memory,
    "times": times,
}


def became(error: Exception) -> str:
    """The status of work that raised this."""
    return "over-time" if isinstance(error, OverTime) else "out-of-memory" if ran_out(error) else "failed"


def outcome(what: str, spec: Found, tell: Callable[[Found], object] = lambda found: None) -> Found:
    """What was found, or what became of it. tell: given what there is, after every kind of work."""
    found: Found = {}
    # Of a processor's memory the starter tells what is free, which no system's kill can keep from it.
    free = {"free": torch.cuda.mem_get_info()[0]} if spec["device"] == "cuda" else {}
    try:
        torch.set_num_threads(spec["threads"])
        limit_memory(spec["device"], spec["memory"])
        for found in WHAT[what](spec):
            tell(found := {**free, **found})
    except Exception as error:  # before there is anything to measure
        found = {"status": became(error), "error": one_line(error), **free}
    return found


def main() -> None:
    register()
    what, spec, out = sys.argv[1:]
    path = Path(out)
    found = outcome(what, json.loads(Path(spec).read_text()), lambda found: write_json(path, found))
    write_json(path, found)


if __name__ == "__main__":
    main()
