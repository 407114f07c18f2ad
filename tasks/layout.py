"""How each family sees an Example: the one place that knows.

                     `at` given: read in place                 no `at`: the answer follows
    DECODER          causal over source, read at `at`          source <sep> target, loss on target
    ENCODER          both sides of source, read at `at`        source <sep> <mask> x answer_len, filled
    ENCODER_DECODER  encoder reads source, decoder re-reads    encoder reads source, decoder emits
                     it causally and is read at `at`           target

`answer_len` is a constant of the task. A shorter answer ends in <eos>, which is scored, then <pad>,
which is read as a token and not scored, so that no layout tells how long the answer is.

One task has a layout of its own, the `bottleneck` of compression: see bottleneck.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from archs.contract import Family

from .example import Examples
from .rows import IGNORE, Batch, Row
from .tokenizer import EOS, MASK, PAD, SEP


@dataclass(frozen=True)
class Laid:
    """Examples as one family reads them.

    tokens  (N, T), of which the first `lengths` (N,) are read; the rest is batching pad
    at      (N, A) positions of `tokens`, of which the first `asked` (N,) are read for an answer
    target  (N, A) the answers there
    source  (N, S) what an encoder reads beside it, with its source_lengths (N,); else None
    """

    tokens: np.ndarray
    lengths: np.ndarray
    at: np.ndarray
    target: np.ndarray
    asked: np.ndarray
    source: np.ndarray | None = None
    source_lengths: np.ndarray | None = None

    def batch(self, consumed: int, *, every_token: bool = False) -> Batch:
        """All of it for one forward pass; answers are the targets.

        every_token: what follows each token is a target too, except where an answer is read.
        """
        T = self.tokens.shape[1]
        targets = np.full((len(self.tokens), T + 1), IGNORE)
        if every_token:
            follows = np.arange(1, T) < self.lengths[:, None]
            targets[:, : T - 1] = np.where(follows, self.tokens[:, 1:], IGNORE)
        unasked = np.arange(self.at.shape[1]) >= self.asked[:, None]
        np.put_along_axis(targets, np.where(unasked, T, self.at), self.target, axis=1)  # these into column T
        source = None if self.source is None else torch.from_numpy(np.ascontiguousarray(self.source))
        return Batch(
            torch.from_numpy(np.ascontiguousarray(self.tokens)),
            torch.from_numpy(np.ascontiguousarray(targets[:, :T])),
            kept(self.lengths, T),
            source,
            None
            if self.source is None or self.source_lengths is None
            else kept(self.source_lengths, self.source.shape[1]),
            consumed,
        )

    def rows(self) -> list[Row]:
        """Each example by itself, without batching pads."""
        rows = []
        for i, asked in enumerate(self.asked):
            source = None
            if self.source is not None and self.source_lengths is not None:
                source = self.source[i, : self.source_lengths[i]]
            tokens = self.tokens[i, : self.lengths[i]]
            rows.append(Row(tokens, self.at[i, :asked], self.target[i, :asked], source))
        return rows


def kept(lengths: np.ndarray, width: int) -> torch.Tensor | None:
    """(N, width) bool, False at batching pads; None where there are none."""
    return None if (lengths == width).all() else torch.from_numpy(np.arange(width) < lengths[:, None])


def layout(family: Family, examples: Examples, answer_len: int, start: int | None = None) -> Laid:
    """How `family` is asked `examples`.

    start: id of the decoder's first token, for encoder-decoders (it is never scored).
    """
    lengths = examples.source_lengths
    source = examples.source[:, : lengths.max()]
    both = family is Family.ENCODER_DECODER
    if examples.at is not None:
        beside = (source, lengths) if both else (None, None)
        return Laid(source, lengths, examples.at, examples.target, examples.target_lengths, *beside)
    answer, asked = written_out(examples, answer_len)
    at = np.zeros_like(answer) + np.arange(answer_len)
    first = np.full((len(examples), 1), start if both else SEP)
    read = np.full_like(answer, MASK) if family is Family.ENCODER else answer[:, :-1]
    read = np.concatenate([first, read], axis=1)
    if both:
        return Laid(read, np.full(len(read), answer_len), at, answer, asked, source, lengths)
    ahead = family is Family.ENCODER  # an encoder is read at its masks, a decoder one token before
    tokens = np.full((len(examples), source.shape[1] + read.shape[1]), PAD)
    tokens[:, : source.shape[1]] = source
    np.put_along_axis(tokens, lengths[:, None] + np.arange(read.shape[1]), read, axis=1)
    return Laid(tokens, lengths + read.shape[1], lengths[:, None] + ahead + at, answer, asked)


def written_out(examples: Examples, answer_len: int) -> tuple[np.ndarray, np.ndarray]:
    """The answers in their constant length (N, answer_len), and how many of their tokens are scored (N,)."""
    lengths = examples.target_lengths
    if lengths.max() > answer_len:
        raise ValueError(f"an answer of {lengths.max()} tokens does not fit answer_len={answer_len}")
    answer = np.full((len(examples), answer_len + 1), PAD)
    width = min(answer_len, examples.target.shape[1])
    answer[:, :width] = np.where(np.arange(width) < lengths[:, None], examples.target[:, :width], PAD)
    np.put_along_axis(answer, lengths[:, None], EOS, axis=1)  # cut off where the answer fills its length
    return answer[:, :answer_len], np.minimum(lengths + 1, answer_len)


def longest(family: Family, source_len: int, answer_len: int, in_place: bool) -> int:
    """Tokens of the longest sequence that `layout` makes of sources up to source_len."""
    if in_place:
        return source_len
    if family is Family.ENCODER_DECODER:
        return max(source_len, answer_len)
    return source_len + answer_len + (family is Family.ENCODER)


def asked(family: Family, in_place: bool) -> str:
    """How the layout is named in tables."""
    return {
        (Family.DECODER, True): "in place, causal",
        (Family.ENCODER, True): "in place, both sides",
        (Family.ENCODER_DECODER, True): "in place, decoder re-reads source",
        (Family.DECODER, False): "source <sep> target",
        (Family.ENCODER, False): "source <sep> <mask>",
        (Family.ENCODER_DECODER, False): "source -> target",
    }[family, in_place]
