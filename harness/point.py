"""One point of a length sweep, measured in this process: `python -m harness.point SPEC OUT`.

A fresh process for every point: no cache, heap or thread pool of an earlier one speaks through it. The peak
is that of the first training step at the point's length, so it is taken before the times.

Spec: {"arch": resolved node, "name", "length", "batch", "vocab_size", "threads", "seconds": time limit,
"memory": limit in bytes or null}. Out: the point as results tables read it (see `measure`).
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archs import decay_groups
from archs.contract import Autoregressive, Backbone, Family

from .building import construct
from .loss import cross_entropy
from .memory import PeakMemory
from .record import environment, write_json
from .searchpath import register

WARM_UP = 128  # tokens: a short step first, so that lazy set-up and optimiser state are not counted
REPEATS = (3, 20)  # fewest and most repetitions of a timing
ENOUGH = 0.5  # seconds: repetitions stop between the two bounds once they took this long together
MATMUL = 1024  # side of the square product that stands for the machine's peak


class Subject:
    """A backbone with an optimiser and random tokens of a shape, ready to be timed."""

    def __init__(self, backbone: Backbone, batch: int, length: int) -> None:
        self.backbone = backbone
        assert isinstance(backbone, torch.nn.Module)
        self.module = backbone
        self.optimizer = torch.optim.AdamW(decay_groups(backbone, 0.1), lr=1e-4, fused=True)
        self.resize(batch, length)

    def resize(self, batch: int, length: int) -> None:
        """An encoder-decoder reads half of the length as source and writes the other half."""
        own = length // 2 if self.backbone.family == Family.ENCODER_DECODER else length
        draw = torch.Generator().manual_seed(0)
        size = self.backbone.vocab_size
        self.tokens = torch.randint(size, (batch, own), generator=draw)
        self.source = None
        if self.backbone.family == Family.ENCODER_DECODER:
            self.source = torch.randint(size, (batch, length - own), generator=draw)

    def hidden(self) -> Tensor:
        return self.backbone.forward(self.tokens, source=self.source).hidden

    def train_step(self) -> None:
        cross_entropy(self.backbone, self.hidden().flatten(0, 1), self.tokens.flatten()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.inference_mode()
    def forward(self) -> None:
        """Hidden states of the whole sequence and the logits of its last position."""
        self.backbone.head(self.hidden()[:, -1])

    def decoder(self) -> Callable[[], None]:
        """A function that decodes one token for one sequence of this length (its source alike)."""
        assert isinstance(self.backbone, Autoregressive)
        source = None if self.source is None else self.source[:1]
        with torch.inference_mode():
            room = self.tokens.shape[1] + REPEATS[1] + 2
            state = self.backbone.start(1, source=source, max_len=room)
            state = self.backbone.step(self.tokens[:1], state).state
        token, step = self.tokens[:1, :1], self.backbone.step

        @torch.inference_mode()
        def decode() -> None:
            nonlocal state
            hidden, state, _ = step(token, state)
            self.backbone.head(hidden)

        return decode


def timed(work: Callable[[], object]) -> list[float]:
    """Seconds of every repetition; one call goes ahead uncounted."""
    work()
    seconds: list[float] = []
    while len(seconds) < REPEATS[0] or (len(seconds) < REPEATS[1] and sum(seconds) < ENOUGH):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return seconds


def matmul_peak() -> float:
    """FLOP/s of a float32 matrix product on this machine, now."""
    a, b = torch.randn(MATMUL, MATMUL), torch.randn(MATMUL, MATMUL)
    return 2 * MATMUL**3 / statistics.median(timed(lambda: a @ b))


def measure(spec: dict[str, Any]) -> dict[str, Any]:
    """Peak memory of one training step, then the median seconds of every kind of work."""
    backbone = construct(spec["arch"], spec["vocab_size"])
    length, batch = spec["length"], spec["batch"]
    subject = Subject(backbone, 1, min(WARM_UP, length))
    subject.train_step()
    subject.resize(batch, length)
    peak = PeakMemory("cpu")
    subject.train_step()
    memory = peak.bytes()
    seconds = {"train_step": timed(subject.train_step), "forward": timed(subject.forward)}
    room = backbone.max_len is None or backbone.max_len >= length + REPEATS[1] + 2
    if isinstance(backbone, Autoregressive) and room:
        seconds["decode"] = timed(subject.decoder())
    split = length // 2 if backbone.family == Family.ENCODER_DECODER else 0
    return {
        "status": "ok",
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "quartiles": {name: statistics.quantiles(values, n=4)[::2] for name, values in seconds.items()},
        "tokens_per_second": batch * length / statistics.median(seconds["train_step"]),
        "peak_memory": memory,
        "state_bytes": backbone.state_bytes(length - split, split),
        "flops": 3 * batch * backbone.flops(length - split, split),
        "matmul_peak": matmul_peak(),
        "environment": environment("cpu"),
    }


def main() -> None:
    register()
    spec = json.loads(Path(sys.argv[1]).read_text())
    if spec["threads"] is not None:
        torch.set_num_threads(spec["threads"])
    if spec["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (spec["memory"], spec["memory"]))
    try:
        result = measure(spec)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        result = {"status": "out-of-memory"}
    write_json(Path(sys.argv[2]), result)


if __name__ == "__main__":
    main()
