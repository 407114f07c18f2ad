"""The points of a sweep: what decides the result of each, where it is kept, and what it will about take."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from archs.contract import Backbone, Family
from archs.positions import Position

from .. import cores, loss, savers
from ..building import construct
from ..counts import format_count, parse_count
from ..environment import processor, version_of
from ..identity import DIGITS, source, sources
from . import child, heap, launcher, measure, memory, subject, timing
from . import device as devices
from .device import choose_device, device_name
from .subject import DECODED, GENERATION, lengths, operations, works
from .timing import repeats
from .variants import Variant, sizes, training, variants

# What results depend on.
CODE = (cores, loss, savers, child, devices, heap, launcher, measure, memory, subject, timing)
SIDES = ("source", "target")
START = 5.0  # seconds that the processes of a point take before and after their work, about
RATE = 5e10  # FLOP/s of an ordinary processor, for what a point will take beside others


@dataclass(frozen=True)
class Point:
    """One architecture at one length in one mode.

    side     of an encoder-decoder: where its length is
    mode     tokens: batches of about as many tokens at every length; single: one sequence
    setting  what all points that may be compared share, in words
    spec     everything that decides the result, limits aside: the setting, kernels, PyTorch and code, too
    model    digest of what of that is alike at all lengths, in both modes and on both sides
    path     a file of its own for every spec
    twin     of a point of one sequence: where the one in mode tokens is kept, if its batch is one row, too
    beyond   {work: why} of the kinds of work that its positions end before
    weight   seconds that it takes, roughly, one point beside another
    biased   whether its positions add to the scores of attention
    """

    label: str
    base: str
    family: str
    side: str | None
    length: int
    mode: str
    batch: int
    setting: str
    spec: dict[str, Any]
    model: str
    path: Path
    twin: Path | None
    beyond: Mapping[str, str]
    weight: float
    biased: bool

    @property
    def curve(self) -> tuple[str, str, str | None, str]:
        return self.setting, self.label, self.side, self.mode

    @property
    def works(self) -> tuple[str, ...]:
        return works(self.family, self.mode)

    @property
    def title(self) -> str:
        side = f" {self.side}" if self.side else ""
        return f"{self.label}{side} {self.length:,}"


def points(config: DictConfig, folder: Path, say: Callable[[str], None]) -> list[Point]:
    """All points: length by length, the architectures taking turns, so that a noisy minute hurts all alike.

    say: told in one line what was found and cannot be measured. Raises ConfigError for what was asked for
    and cannot be.
    """
    device = choose_device(config.device)
    threads = torch.get_num_threads() if config.threads is None else config.threads
    same = {"torch": torch.__version__, "device": device, "threads": threads}
    same |= {"vocab_size": config.vocab_size, "sources": {"archs": source("archs"), "harness": code()}}
    found: list[Point] = []
    for size in sizes(config):
        setting = described(config, size, device, threads)
        compared = variants(config, size, device, say)
        for length in map(parse_count, config.lengths):
            rows = max(1, config.tokens_per_batch // length)
            for mode in sorted(config.modes, reverse=True):  # tokens first, which single takes from
                batch = rows if mode == "tokens" else 1
                about = {"length": length, "mode": mode, "batch": batch, "setting": setting}
                taken = mode == "single" and rows == 1 and "tokens" in config.modes
                limit = 0.0 if taken else config.seconds_per_point
                for variant in compared:
                    found += list(point(variant, same, about, folder, limit))
    return found


def described(config: DictConfig, size: int | None, device: str, threads: int) -> str:
    """What the points of one sweep at one size share, in words."""
    chosen = training(config, device)
    said = [
        "widths as written" if size is None else f"size {format_count(size)}",
        f"vocabulary {config.vocab_size:,}",
        f"{config.tokens_per_batch:,} tokens per batch",
        processor() if device == "cpu" else device_name(device),
        f"{threads} thread{'s' if threads > 1 else ''}",
        chosen["precision"],
    ]
    said += ["activation checkpointing"] if chosen["activation_checkpointing"] else []
    said += [] if chosen["chunked_loss"] else ["logits whole"]
    return ", ".join(said)


def point(
    variant: Variant, same: dict[str, Any], about: dict[str, Any], folder: Path, limit: float
) -> Iterator[Point]:
    """The point of a variant, or the two of an encoder-decoder. same: what is alike for all points."""
    family, node = Family(variant.arch.family), variant.arch.node
    packages = {backend: version_of(backend) for backend in variant.kernels.values()}
    same = {**same, **variant.training, "kernels": variant.kernels, "family": str(family)}
    same |= {"node": node, "packages": packages, "sources": {**same["sources"], **sources(node)}}
    model = digest(same)[:DIGITS]
    for side in SIDES if family is Family.ENCODER_DECODER else (None,):
        length, mode, batch = about["length"], about["mode"], about["batch"]
        T, S = lengths(length, side)
        needed = {work: max(T + (DECODED if work in GENERATION else 0), S) for work in works(family, mode)}
        grown = with_positions(node, max(needed.values()))
        spec = {**same, **about, "node": grown, "side": side}
        ends = beyond(variant, grown, needed, same["vocab_size"])
        takes = START + weight(operations(variant.outline, batch, T, S), family, mode)
        yield Point(
            variant.label,
            variant.base,
            str(family),
            side,
            length,
            mode,
            batch,
            about["setting"],
            spec,
            model,
            folder / file_name(variant.label, spec),
            folder / file_name(variant.label, {**spec, "mode": "tokens"}) if mode == "single" else None,
            ends,
            0.0 if ends.keys() >= needed.keys() else min(limit, takes),
            biased(variant.outline),
        )


def file_name(label: str, spec: Mapping[str, Any]) -> str:
    """Another one for every spec."""
    parts = (label, spec["side"], str(spec["length"]), spec["mode"], digest(spec)[:8])
    return re.sub(r"[^\w.+=-]", "_", "-".join(filter(None, parts))) + ".json"


def with_positions(node: dict[str, Any], needed: int) -> dict[str, Any]:
    """The node with a position table (where it has one) as long as the point needs.

    A longer table is part of what length costs: its rows have a gradient and are stepped by AdamW like any
    weight (of 32 bits, 16 bytes a number with both moments), whether a sequence is as long or not. They are
    at least as many as in the configuration, and as many as tokens where those are more.
    """
    position = node.get("position") or {}
    if "max_len" not in position:
        return node
    return {**node, "position": {**position, "max_len": max(needed, position["max_len"])}}


def biased(outline: Backbone) -> bool:
    """Whether any positions of a backbone add to the scores of attention."""
    modules: Any = outline
    return any(isinstance(m, Position) and type(m).bias is not Position.bias for m in modules.modules())


def beyond(
    variant: Variant, node: dict[str, Any], needed: Mapping[str, int], vocab_size: int
) -> dict[str, str]:
    """Which kinds of work cannot be, and why: {work: tokens} of those `needed` are more than its positions,
    which do not grow."""
    if variant.outline.max_len is None or variant.outline.max_len >= max(needed.values()):
        return {}
    end = construct(node, vocab_size, "meta").max_len
    return {
        work: f"its positions end at {end:,}, and {tokens:,} are needed"
        for work, tokens in needed.items()
        if end is not None and end < tokens
    }


def weight(operations: dict[str, int], family: Family, mode: str) -> float:
    """Seconds of all work of a point on an ordinary processor, its repetitions included."""
    kinds = ["forward"] if family is Family.ENCODER or mode == "tokens" else ["prefill"]
    kinds += ["train_step"] if mode == "tokens" else []
    steps = [operations[kind] / RATE for kind in kinds]
    return sum(step * (2 + repeats(step)) for step in steps)


def code() -> str:
    """sha256 of CODE."""
    sha = hashlib.sha256()
    for module in CODE:
        sha.update(Path(str(module.__file__)).read_bytes())
    return sha.hexdigest()


def digest(spec: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
