"""The points of a sweep: what decides the result of each, where it is kept, and what it will about take."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from archs.contract import Family

from ..building import construct
from ..counts import format_count, parse_count
from ..environment import processor
from ..identity import DIGITS, source, sources
from .device import choose_device, device_name
from .subject import DECODED, lengths, operations, works
from .timing import repeats
from .variants import Variant, sizes, training, variants

VERSION = 2  # of how a point is measured
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
    beyond   why the architecture cannot be that long, if so
    weight   seconds that it takes, roughly, one point beside another
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
    beyond: str | None
    weight: float

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
    same = {"version": VERSION, "torch": torch.__version__, "device": device, "threads": threads}
    same |= {"vocab_size": config.vocab_size, "sources": {"archs": source("archs")}}
    found: list[Point] = []
    for size in sizes(config):
        setting = described(config, size, device, threads)
        compared = variants(config, size, device, say)
        for length in map(parse_count, config.lengths):
            for mode in config.modes:
                batch = max(1, config.tokens_per_batch // length) if mode == "tokens" else 1
                about = {"length": length, "mode": mode, "batch": batch, "setting": setting}
                for variant in compared:
                    found += list(point(variant, same, about, folder, config.seconds_per_point))
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
    same = {**same, **variant.training, "kernels": variant.kernels, "family": str(family)}
    same |= {"node": node, "sources": {**same["sources"], **sources(node)}}
    model = digest(same)[:DIGITS]
    for side in SIDES if family is Family.ENCODER_DECODER else (None,):
        length, batch = about["length"], about["batch"]
        T, S = lengths(length, side)
        needed = T if family is Family.ENCODER else T + DECODED
        grown = with_positions(node, max(needed, S))
        spec = {**same, **about, "node": grown, "side": side}
        where = "-".join(filter(None, (variant.label, side, str(length), about["mode"], digest(spec)[:8])))
        yield Point(
            variant.label,
            variant.base,
            str(family),
            side,
            length,
            about["mode"],
            batch,
            about["setting"],
            spec,
            model,
            folder / (re.sub(r"[^\w.+=-]", "_", where) + ".json"),
            beyond(variant, grown, max(needed, S), same["vocab_size"]),
            min(limit, START + weight(operations(variant.outline, batch, T, S), family, about["mode"])),
        )


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


def beyond(variant: Variant, node: dict[str, Any], needed: int, vocab_size: int) -> str | None:
    """Why the architecture cannot be `needed` tokens long, where its positions end and do not grow."""
    if variant.outline.max_len is None or variant.outline.max_len >= needed:
        return None
    end = construct(node, vocab_size, "meta").max_len
    return (
        None if end is None or end >= needed else f"its positions end at {end:,}, and {needed:,} are needed"
    )


def weight(operations: dict[str, int], family: Family, mode: str) -> float:
    """Seconds of all work of a point on an ordinary processor, its repetitions included."""
    kinds = ["forward"] if family is Family.ENCODER or mode == "tokens" else ["prefill"]
    kinds += ["train_step"] if mode == "tokens" else []
    steps = [operations[kind] / RATE for kind in kinds]
    return sum(step * (2 + repeats(step)) for step in steps)


def digest(spec: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
