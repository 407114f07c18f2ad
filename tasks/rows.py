"""Rows and batches: the one form in which every objective, layout and metric hands work to a model.

A row says what the model reads and which of its outputs are asked for what:

    tokens   w0 w1 w2 w3        what the decoder (or the encoder, if that is all there is) reads
    at           1     3        positions of `tokens` whose output is read
    target      t0    t1        the token that output should name
    source   s0 s1 s2           what an encoder-decoder's encoder reads, else None
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

IGNORE = -100  # torch's convention for a position without a target
PAD = 0  # the id of <pad>, fixed for every tokenizer (see tokenizer.SPECIAL_TOKENS)


class Row(NamedTuple):
    """One sequence for one model, as integer arrays. `at` and `target` have equal length."""

    tokens: np.ndarray
    at: np.ndarray
    target: np.ndarray
    source: np.ndarray | None = None


@dataclass  # not frozen: Lightning copies it field by field to change precision
class Batch:
    """Rows side by side, padded on the right.

    tokens   (B, T) int64          targets  (B, T) int64, IGNORE where nothing is asked
    keep     (B, T) bool or None, None where no row needed padding; False only at batching pads
    source   (B, S) int64 or None  source_keep (B, S) bool or None
    consumed: corpus tokens this batch uses up (for Examples: source and answer), the unit of budgets.
    seen: tokens of these rows that the batches before it read: it goes on from their state (Task.sequence).
    """

    tokens: Tensor
    targets: Tensor
    keep: Tensor | None = None
    source: Tensor | None = None
    source_keep: Tensor | None = None
    consumed: int = 0
    seen: int = 0

    def to(self, device: torch.device | str) -> Batch:
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def pad(arrays: Sequence[np.ndarray], fill: int) -> tuple[Tensor, Tensor | None]:
    """Stack 1-D arrays to (B, longest), filled on the right, with the keep mask (None if all equal)."""
    lengths = np.array([len(array) for array in arrays])
    out = np.full((len(arrays), lengths.max()), fill, dtype=np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    keep = np.arange(out.shape[1]) < lengths[:, None]
    return torch.from_numpy(out), None if keep.all() else torch.from_numpy(keep)


def collate(rows: Sequence[Row], consumed: int = 0) -> Batch:
    """Rows to one Batch; either all of them have a source or none has."""
    tokens, keep = pad([row.tokens for row in rows], PAD)
    targets = np.full(tokens.shape, IGNORE, dtype=np.int64)
    for asked, row in zip(targets, rows, strict=True):
        asked[row.at] = row.target
    source, source_keep = (None, None)
    if rows[0].source is not None:
        source, source_keep = pad([row.source for row in rows if row.source is not None], PAD)
    return Batch(tokens, torch.from_numpy(targets), keep, source, source_keep, consumed)
