"""Reading streams of any length: what archs-eval stream=... measures, and what it costs.

    python -m harness.streaming arch=mamba size=1M --tokens 1000000

reads one stream of so many random tokens with a model that was never trained, in turn with short sequences,
and prints tokens per second of both and the peak memory of every tenth of the stream: neither should depend
on how much has been read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from hydra.utils import get_class
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from torch import nn

from archs.contract import Backbone
from tasks.language import LanguageTask
from tasks.rows import Row
from tasks.scoring import row_costs
from tasks.streaming import Cost, StreamReader, file_tokens, why_not
from tasks.tokenizer import BOS, N_SPECIAL

from .building import build
from .compose import compose
from .efficiency.memory import PeakMemory
from .efficiency.variants import heeds
from .errors import ConfigError, one_line_errors
from .loading import Loaded
from .sheets import Sheet

PIECE = 1 << 16  # tokens taken from a stream on disk at once
KEYS = ("size", "tokenizer.vocab_size")  # beside arch, what is measured depends on
ROUNDS = 10  # of the measurement, in which stream and short sequences take turns


@dataclass(frozen=True)
class Streamed:
    """What reading cost. peak: bytes above what the process held before; state: bytes that were carried."""

    cost: Cost
    streams: int
    seconds: float
    peak: int
    peak_by: str
    state: int


def read(
    model: Backbone,
    byte_lengths: np.ndarray,
    streams: Iterable[Iterable[np.ndarray]],
    advance: Any = lambda bytes: None,
) -> Streamed:
    """Read every stream, given in pieces, from a state of its own.

    advance(bytes): called with what has been scored since. Raises ValueError for a model that cannot.
    """
    if (reason := why_not(model)) is not None:
        raise ValueError(reason)
    device = next(cast(nn.Module, model).parameters()).device
    peak, cost, count = PeakMemory(device), Cost(), 0
    begun = time.perf_counter()
    for stream in streams:
        count += 1
        reader = StreamReader(model, byte_lengths)
        for piece in stream:
            for more in reader.read(piece):
                cost += more
                advance(more.bytes)
    seconds = time.perf_counter() - begun
    return Streamed(cost, count, seconds, peak.bytes(), peak.method, model.state_bytes(cost.tokens))


def streamed(loaded: Loaded, config: DictConfig) -> Sheet:
    """What the run says to the file config.text, or to config.split as config.stream has it.

    Raises ValueError, in one line, for a run that cannot.
    """
    run = f"run={loaded.folder}"
    task: Any = get_class(loaded.config["task"]["_target_"])
    tokenizer = loaded.tokenizer
    if not issubclass(task, LanguageTask) or tokenizer is None:
        raise ConfigError(
            f"{run} was trained on {loaded.config['choices']['task']}: only language is streamed"
        )
    if (reason := why_not(loaded.backbone)) is not None:
        raise ConfigError(f"{run}: {reason}")
    streams: Iterator[Iterable[np.ndarray]]
    if config.text is not None:
        file = Path(str(config.text)).expanduser()
        streams, total = iter([file_tokens(file, tokenizer)]), file.stat().st_size
        if not total:
            raise ConfigError(f"text={config.text} is empty")
    else:
        language = cast(LanguageTask, loaded.task)
        held = language.stream(config.split)
        streams, total = cut(held.ids, config.stream != "joined"), held.bytes
    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("reading", total=total)
        lengths = tokenizer.byte_lengths
        found = read(loaded.backbone, lengths, streams, lambda bytes: bar.advance(line, bytes))
    what = config.text or f"{config.split} · {'joined' if config.stream == 'joined' else 'documents'}"
    return sheet(found, f"{loaded.folder.name} · {what}")


def cut(ids: np.ndarray, documents: bool) -> Iterator[Iterable[np.ndarray]]:
    """A split's tokens, `<bos> document <eos>` by the next, in pieces: a stream per document, or one."""
    begins = np.flatnonzero(np.asarray(ids) == BOS) if documents else np.array([0])
    for first, last in zip(begins, [*begins[1:], len(ids)], strict=True):
        yield (ids[at : min(at + PIECE, last)] for at in range(first, last, PIECE))


def sheet(found: Streamed, title: str) -> Sheet:
    """What was measured, as archs-eval prints it."""
    rows = [
        ("bits per byte", found.cost.bits_per_byte),
        ("streams", f"{found.streams:,}"),
        ("bytes scored", f"{found.cost.bytes:,}"),
        ("tokens scored", f"{found.cost.tokens:,}"),
        ("tokens per second", f"{found.cost.tokens / found.seconds:,.0f}"),
        ("state carried", f"{found.state / 1e6:,.3f} MB"),
        (f"peak memory ({found.peak_by})", f"{found.peak / 1e6:,.1f} MB"),
    ]
    return Sheet(title, ["metric", "now"], rows)


def measure(model: Backbone, tokens: int, length: int) -> Iterator[tuple[float, float, int]]:
    """Of each round: tokens read per second, of the stream and of sequences of `length`; peak bytes of the
    process."""
    vocabulary, share = model.vocab_size, tokens // ROUNDS
    rng = np.random.default_rng(0)
    byte_lengths = np.ones(vocabulary, dtype=np.int64)
    reader = StreamReader(model, byte_lengths)
    row_costs(model, rows(rng.integers(N_SPECIAL, vocabulary, 2 * length), length))  # compiles kernels
    for _ in range(ROUNDS):
        ids = rng.integers(N_SPECIAL, vocabulary, share)
        peak = PeakMemory("cpu")
        begun = time.perf_counter()
        for _cost in reader.read(ids):
            pass
        streamed = share / (time.perf_counter() - begun)
        highest = peak.baseline + peak.bytes()
        sequences = rows(ids, length)
        begun = time.perf_counter()
        row_costs(model, sequences)
        read = sum(len(row.tokens) for row in sequences)
        yield streamed, read / (time.perf_counter() - begun), highest


def rows(ids: np.ndarray, length: int) -> list[Row]:
    """The tokens as sequences of `length`, every token but the first of each scored."""
    at = np.arange(length - 1)
    return [Row(row[:-1], at, row[1:]) for row in ids[: len(ids) // length * length].reshape(-1, length)]


def main() -> None:
    """Measure one architecture."""
    parser = argparse.ArgumentParser(prog="python -m harness.streaming", description=__doc__)
    parser.add_argument("overrides", nargs="*", help="arch=mamba size=1M tokenizer.vocab_size=2048")
    parser.add_argument("--tokens", type=int, default=1_000_000, help="of the stream")
    parser.add_argument("--length", type=int, default=256, help="tokens of a short sequence")
    given = parser.parse_args()
    with one_line_errors():
        if not given.tokens >= ROUNDS * given.length >= 2 * ROUNDS:
            raise ConfigError(
                f"--tokens {given.tokens} must be at least {ROUNDS} x --length, which is 2 or more"
            )
        config = compose("train", given.overrides)
        for line in given.overrides:
            if not heeds(line, KEYS):
                raise ConfigError(
                    f"{line} changes nothing here; what is measured takes arch=NAME, arch/PART=..., "
                    f"arch.KEY=..., {' and '.join(KEYS)}"
                )
        model = build(
            config.choices.arch.split("+")[0],
            size=config.size,
            vocab_size=config.tokenizer.vocab_size,
            overrides=[line for line in given.overrides if heeds(line, ())],
        )
        if (reason := why_not(model, given.tokens)) is not None:
            raise ConfigError(f"arch={config.choices.arch}: {reason}")
    found = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("reading", total=ROUNDS)
        for measured in measure(model, given.tokens, given.length):
            found.append(measured)
            bar.advance(line)
    state = f"state of {model.state_bytes(given.tokens):,} bytes"
    title = f"{' '.join(given.overrides)} · {given.tokens:,} tokens · {state}"
    headings = ["read", "stream tok/s", f"sequences of {given.length} tok/s", "ratio", "peak of the process"]
    rows = [line_of(f"{given.tokens * i // ROUNDS:,}", *each) for i, each in enumerate(found, start=1)]
    medians = (float(np.median([each[i] for each in found])) for i in range(3))
    Sheet(title, headings, [*rows, line_of("median", *medians)]).print(Console())


def line_of(read: str, stream: float, short: float, peak: float) -> list[str]:
    return [read, f"{stream:,.0f}", f"{short:,.0f}", f"{stream / short:.2f}", f"{peak / 1e6:,.1f} MB"]


if __name__ == "__main__":
    main()
