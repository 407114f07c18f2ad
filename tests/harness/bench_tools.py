"""A sweep without processes: points whose measurement is invented, and what was measured."""

import math

import pytest

from harness.compose import compose
from harness.efficiency import measure
from harness.efficiency.points import points
from harness.efficiency.sweep import sweep

SMALL = ["archs=[gpt,mamba]", "size=null", "lengths=[16,32]", "tokens_per_batch=64", "vocab_size=120"]
SMALL += ["modes=[tokens]", "threads=1", "progress=false", "device=cpu"]
TINY = ["arch.dim=16", "arch.depth=1", "arch.heads=2"]


def specs(tmp_path, arch, *overrides):
    """Specs of a tiny architecture at one length."""
    variant = "[" + ",".join(f"'{line}'" for line in (f"arch={arch}", *TINY)) + "]"
    lines = [
        *SMALL,
        "archs=[]",
        f"variants={{{arch}-tiny: {variant}}}",
        "lengths=[48]",
        "tokens_per_batch=96",
    ]
    found = points(compose("bench", [*lines, *overrides]), tmp_path, print)
    return [{**point.spec, "deadline": math.inf, "memory": None, "ended": {}} for point in found]


def planned(folder, *overrides, say=lambda line: None):
    """The points of a small sweep."""
    return points(compose("bench", [*SMALL, *overrides]), folder, say)


def finished(peak=1e11):
    """What two processes find of a point that is finished."""
    return {
        "status": "ok",
        "seconds": {"train_step": 0.5},
        "tokens_per_second": {"train_step": 128.0},
        "memory": {"train_step": {"allocator": 4_000_000, "system": 4_100_000, "baseline": 300_000_000}},
        "matmul_peak": peak,
        "environment": {"threads": 1},
    }


def holding(size):
    """A process that holds so many bytes before it has a model, in place of measure.child."""
    return lambda *args: {"status": "ok", "bytes": size}


class Bench:
    """Sweeps into a folder; `measured` lists (mixer, length) in order, `answer(spec)` is what is found."""

    def __init__(self, folder):
        self.folder, self.measured = folder, []
        self.answer = lambda spec: finished()

    def found(self, spec, limits):
        self.measured.append((spec["node"]["mixer"]["_target_"].split(".")[-1], spec["length"]))
        return self.answer(spec)

    def __call__(self, *overrides):
        return sweep(compose("bench", [*SMALL, *overrides]), self.folder)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    made = Bench(tmp_path / "bench")
    monkeypatch.setattr(measure, "measured", made.found)
    monkeypatch.setattr(measure, "child", holding(1_000_000))
    return made
