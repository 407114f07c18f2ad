"""What every objective answers: training batches, and the two questions asked of a trained model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from archs.contract import Family

from ..rows import Batch, Row

ASK_INSTEAD = {
    Family.ENCODER: "an encoder (such as bert); try objective=masked",
    Family.DECODER: "a decoder (such as gpt or mamba); try objective=causal, fim or prefix",
    Family.ENCODER_DECODER: "an encoder-decoder (such as t5); try objective=span_prefix, span or prefix",
}


class Objective(ABC):
    """How T corpus tokens become what one family reads and what it is asked to name.

    Every objective uses up B * T corpus tokens per batch, whatever it makes of them; how many
    positions the model computes and how many targets it is scored on differ, and each class says so.

    name            as typed in `objective=NAME`
    families        those it can train; any other is refused by a ValueError
    markers         tokens that a row may hold beyond its window
    continues       whether a window may go on where the one before it ended, from its state
    infill_context  "both" or "left": which sides of a gap `infill_prompt` shows
    """

    name: ClassVar[str]
    families: ClassVar[frozenset[Family]]
    markers: ClassVar[int] = 0
    continues: ClassVar[bool] = False
    infill_context: ClassVar[Literal["both", "left"]] = "left"

    def __init__(self, *, family: Family, start: int | None = None) -> None:
        """start: id of the decoder's first token, needed by encoder-decoders alone."""
        if family not in self.families:
            raise ValueError(f"objective={self.name} cannot train {ASK_INSTEAD[family]}")
        if family is Family.ENCODER_DECODER and start is None:
            raise ValueError("an encoder-decoder needs arch.start, the first token that its decoder reads")
        self.family = family
        self.start = start

    @abstractmethod
    def batch(self, windows: np.ndarray, rng: np.random.Generator, *, vocab_size: int) -> Batch:
        """windows (B, T) of corpus ids to a Batch; every random choice comes from `rng`."""

    @abstractmethod
    def continuation_prompt(self, context: np.ndarray, scored: np.ndarray) -> list[Row]:
        """Rows whose targets, in order, are `scored` (k,), each given `context` and scored[:i]."""

    @property
    def asked(self) -> str:
        """How a table says in a word or two what a model was trained on."""
        return self.name

    @abstractmethod
    def infill_prompt(self, left: np.ndarray, span: np.ndarray, right: np.ndarray) -> list[Row]:
        """Rows whose targets, in order, are `span` (n,), each given span[:i], `left` and, where the
        objective's infill_context is "both", `right`. n is known as far as the objective has a way to
        show it: by as many masks, or by a closing sentinel that is not scored."""

    def decoder_inputs(self, *pieces: np.ndarray) -> np.ndarray:
        """The start token and all of the concatenated 1-D pieces but the last token: teacher forcing."""
        return np.concatenate([[self.start], *pieces])[:-1]

    def shifted(self, targets: np.ndarray) -> np.ndarray:
        """targets (B, N) to the decoder's inputs (B, N): the start token, then targets[:, :-1]."""
        return np.concatenate([np.full_like(targets[:, :1], self.start), targets[:, :-1]], axis=1)


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def mask(keep: np.ndarray) -> Tensor | None:
    """A keep mask as a Batch holds it: None where nothing was padded."""
    return None if keep.all() else tensor(keep)


def left_to_right(context: np.ndarray, scored: np.ndarray) -> Row:
    """One causal pass over context and scored tokens, read where each scored token is next."""
    tokens = np.concatenate([context, scored[:-1]])
    return Row(tokens, len(context) - 1 + np.arange(len(scored)), scored)
