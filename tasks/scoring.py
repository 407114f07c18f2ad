"""What rows cost a model, and what it answers: one reader for every family, task and metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from archs.contract import Backbone

from .rows import IGNORE, Batch, Row, collate
from .tokenizer import N_SPECIAL

# Positions per forward pass: on a CPU what its caches hold is faster than more, elsewhere more is faster.
CPU_TOKENS, DEVICE_TOKENS = 2048, 65536
HEAD_ROWS = 2048  # positions whose logits exist at once: a head over 50k words would fill memory

# logits (N, V) in float32 and targets (N,) to one value per target (N,), or several (N, K)
Measure = Callable[[Tensor, Tensor], Tensor]


def row_costs(model: Backbone, rows: Sequence[Row], *, batch_tokens: int | None = None) -> list[np.ndarray]:
    """Nats of every target, per row and in the order of the rows, as float64.

    The softmax runs over ordinary tokens only (ids >= N_SPECIAL), so that no family pays for special
    tokens that it alone was trained to name. Raises ValueError for a target that is no ordinary token.
    """
    if any((row.target < N_SPECIAL).any() for row in rows):
        raise ValueError(
            f"only ordinary tokens (ids >= {N_SPECIAL}) can be scored; a row's target holds a special one"
        )
    return per_target(model, rows, ordinary_nats, batch_tokens=batch_tokens)


def ordinary_nats(logits: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(logits[:, N_SPECIAL:], targets - N_SPECIAL, reduction="none")


def native_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """As in training: the softmax over the whole vocabulary."""
    return cross_entropy(logits, targets, reduction="none")


def per_target(
    model: Backbone, rows: Sequence[Row], measure: Measure, *, batch_tokens: int | None = None
) -> list[np.ndarray]:
    """`measure` of every target of every row, in the order of the rows.

    Rows of similar length run together, padded on the right, at most `batch_tokens` positions at once
    (None: what suits the device); the head reads only the positions that are asked for anything.
    """
    out: list[np.ndarray] = [np.empty(0)] * len(rows)
    with reading(model) as device:
        most = batch_tokens or (CPU_TOKENS if device.type == "cpu" else DEVICE_TOKENS)
        for numbers in batches(rows, most):
            picked = [rows[i] for i in numbers]
            batch = collate(picked).to(device)
            counts = [len(row.at) for row in picked]
            at = torch.as_tensor(np.concatenate([row.at for row in picked]), device=device)
            row = torch.repeat_interleave(torch.arange(len(picked)), torch.tensor(counts)).to(device)
            values = measured(model, hidden(model, batch)[row, at], batch.targets[row, at], measure)
            for i, value in zip(numbers, np.split(values, np.cumsum(counts)[:-1]), strict=True):
                out[i] = value
    return out


def native_loss(model: Backbone, batch: Batch) -> tuple[float, int]:
    """Nats summed over the targets of a training batch, and how many targets there are."""
    with reading(model) as device:
        batch = batch.to(device)
        asked = batch.targets != IGNORE
        values = measured(model, hidden(model, batch)[asked], batch.targets[asked], native_nats)
    return float(values.sum()), len(values)


def hidden(model: Backbone, batch: Batch) -> Tensor:
    run = cast(nn.Module, model)
    return run(batch.tokens, batch.keep, source=batch.source, source_keep=batch.source_keep).hidden


def measured(model: Backbone, hidden: Tensor, targets: Tensor, measure: Measure) -> np.ndarray:
    """hidden (N, D) and targets (N,) to `measure` of each, as float64 (N, ...)."""
    pieces = [
        measure(model.head(h).float(), t)
        for h, t in zip(hidden.split(HEAD_ROWS), targets.split(HEAD_ROWS), strict=True)
    ]
    return torch.cat(pieces).cpu().numpy().astype(np.float64)


def batches(rows: Sequence[Row], batch_tokens: int) -> Iterator[list[int]]:
    """Row numbers, sorted by length, in groups of at most batch_tokens padded positions (or one row)."""

    def size(i: int) -> tuple[int, int]:
        source = rows[i].source
        return (0 if source is None else len(source)), len(rows[i].tokens)

    group: list[int] = []
    widest = (0, 0)
    for i in sorted(range(len(rows)), key=size):
        source, tokens = size(i)
        wider = max(widest[0], source), max(widest[1], tokens)
        if group and (len(group) + 1) * sum(wider) > batch_tokens:
            yield group
            group, wider = [], (source, tokens)
        group.append(i)
        widest = wider
    if group:
        yield group


@contextmanager
def reading(model: Backbone) -> Iterator[torch.device]:
    """The model in evaluation mode, without gradients; yields the device it is on.

    Not `inference_mode`: a table that a backbone computes here and keeps could not be trained with later.
    """
    module = cast(nn.Module, model)
    first = next(module.parameters(), None)
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield torch.device("cpu") if first is None else first.device
    finally:
        module.train(training)
