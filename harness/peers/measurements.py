"""One figure against others, in this process: `python -m harness.peers.measurements SPEC` prints JSON.

Spec: {"what": a name of MEASUREMENTS, ...its arguments}. Speed is a ratio of two that take turns, so that
a noisy machine slows both; the figure is the median over pairs, with quartiles.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from archs.contract import Autoregressive
from archs.decoding import Special, generate
from archs.kernels import selective_scan

from ..efficiency.memory import PeakMemory
from ..efficiency.timing import Stopwatch
from . import contestants
from .contestants import BATCH, LENGTH, VOCABULARY

PROMPT, NEW = 16, 128  # tokens of the decoding measurement
CONTEXTS = (128, 1024, 8192, 32768)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def versus(mine: Callable[[], object], other: Callable[[], object], repeats: int) -> dict[str, Any]:
    """Median seconds of both, taking turns, and how many times faster mine is, pair by pair.

    A single pair is for what takes minutes: then the other is not warmed up either.
    """
    for _ in range(2):
        mine()
        if repeats > 1:
            other()
    pairs = []
    for pair in range(repeats):  # who goes first alternates
        first, second = (mine, other) if pair % 2 == 0 else (other, mine)
        times = seconds(first), seconds(second)
        pairs.append(times if first is mine else times[::-1])
    ratios = [other / mine for mine, other in pairs]
    low, _, high = statistics.quantiles(ratios, n=4) if repeats > 1 else ratios * 3
    return {
        "ours": statistics.median(mine for mine, _ in pairs),
        "theirs": statistics.median(other for _, other in pairs),
        "ratio": statistics.median(ratios),
        "quartiles": [low, high],
        "repeats": repeats,
    }


def train(arch: str, peer: str, width: int, precision: str, repeats: int) -> dict[str, Any]:
    """A whole training step against a peer's."""
    mine = contestants.ours(arch, width)
    other = dict(contestants.peers(arch, width))[peer]()
    found = versus(mine.step(precision), other.step(precision), repeats)
    per_batch = BATCH[width] * LENGTH
    return found | {
        "tokens_per_second": [per_batch / found["ours"], per_batch / found["theirs"]],
        "parameters": [mine.parameters, other.parameters],
    }


def decode(arch: str, repeats: int) -> dict[str, Any]:
    """Greedy decoding of NEW tokens after PROMPT, one sequence: seconds per token."""
    mine = contestants.ours(arch, 128).module.eval()
    other: Any = contestants.transformers_model(arch, 128, eos_token_id=None).eval()
    prompt = torch.randint(107, VOCABULARY, (1, PROMPT), generator=torch.Generator().manual_seed(0))
    special = Special(start=0 if arch == "t5" else None)
    mine_: Any = mine

    def ours() -> Tensor:
        return generate(mine_, prompt, max_tokens=NEW, special=special, temperature=0).ids

    def theirs() -> Tensor:
        return other.generate(prompt, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False)

    found = versus(ours, theirs, repeats)
    return found | {"ours": found["ours"] / NEW, "theirs": found["theirs"] / NEW}


@torch.inference_mode()
def context(repeats: int) -> dict[str, float]:
    """Mamba's seconds per token after contexts of different lengths, taking turns."""
    model: Any = contestants.ours("mamba", 128).module.eval()
    assert isinstance(model, Autoregressive)
    states: dict[int, Any] = {}
    times: dict[int, list[float]] = {length: [] for length in CONTEXTS}
    for length in CONTEXTS:
        state = model.start(1, max_len=length + repeats)
        for piece in torch.zeros(1, length, dtype=torch.int64).split(2048, 1):
            state = model.step(piece, state).state
        states[length] = state
    token = torch.zeros(1, 1, dtype=torch.int64)

    def step(length: int) -> None:
        hidden, states[length], _ = model.step(token, states[length])
        model.head(hidden)

    for _ in range(10 * repeats):
        for length in CONTEXTS:
            times[length].append(seconds(partial(step, length)))
    return {str(length): statistics.median(values) for length, values in times.items()}


def scan(length: int, repeats: int) -> dict[str, float]:
    """Selective scan, B1 E256 N16: seconds of forward and backward, and peak bytes over what must exist."""
    E, N = 256, 16

    def run(T: int) -> int:
        shapes = [(1, T, E), (1, T, E), (E, N), (1, T, N), (1, T, N), (E,), (1, E, N)]
        args = [torch.full(shape, 0.1) for shape in shapes]
        args[2].neg_()
        x, delta, A, B, C, D, h0 = (t.requires_grad_() for t in args)
        y, h = selective_scan(x, delta, A, B, C, D, h0)
        dy = torch.ones_like(y)
        gradients = torch.autograd.grad(y, args, dy)
        return sum(t.nbytes for t in (*args, y, h, dy, *gradients))

    run(64)  # compiles, and loads
    peak = PeakMemory("cpu")
    needed = run(length)
    memory = peak.bytes()
    taken = statistics.median(seconds(lambda: run(length)) for _ in range(repeats))
    return {"seconds": taken, "needed": needed, "peak": memory, "ratio": memory / needed}


def share(width: int, repeats: int) -> dict[str, Any]:
    """GPT's training step: its share of the matmul rate measured in turn, and where the time goes."""
    mine = contestants.ours("gpt", width)
    step = mine.step("32-true")
    for _ in range(2):
        step()
    cpu = torch.device("cpu")
    pairs = [(seconds(step), Stopwatch(cpu).matmul_peak) for _ in range(repeats)]
    model: Any = mine.module
    flops = 3 * BATCH[width] * model.flops(LENGTH, scored=LENGTH - 1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(3):
            step()
    events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {
        "seconds": statistics.median(taken for taken, _ in pairs),
        "matmul_peak": statistics.median(peak for _, peak in pairs),
        "share": statistics.median(flops / taken / peak for taken, peak in pairs),
        "profile": {event.key: event.self_cpu_time_total / total for event in events[:14]},
    }


MEASUREMENTS: dict[str, Callable[..., Any]] = {
    "train": train,
    "decode": decode,
    "context": context,
    "scan": scan,
    "share": share,
}


def main() -> None:
    warnings.filterwarnings("ignore")
    import transformers

    transformers.logging.set_verbosity_error()
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec.pop("threads"))
    print(json.dumps(MEASUREMENTS[spec.pop("what")](**spec)))


if __name__ == "__main__":
    main()
