"""Span corruption, alone and mixed with prefix language modelling."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from archs.contract import Family

from ..rows import Batch, Row
from ..tokenizer import SENTINELS
from .base import Objective, tensor
from .prefix import Prefix

SENTINEL = np.array(SENTINELS[:1])  # the one that stands for a gap when a model is asked to fill it


class Span(Objective):
    """Name the spans that sentinels stand for (Raffel et al. 2020, arXiv 1910.10683, section 3.1.4).

    A share `density` of the window falls out in spans of `mean_span` tokens on average, with lengths
    drawn as T5 draws them: both the spans and the gaps between them are uniform random compositions.

        source   w0 <0> w3 <1>
        reads    <start> <0> w1  w2  <1> w4
        names    <0>     w1  w2  <1> w4  <2>

    With n = round(density * T) and s = round(n / mean_span): T - n + s positions in the encoder and
    n + s + 1 in the decoder, every one of the latter a target.
    """

    name = "span"
    families = frozenset({Family.ENCODER_DECODER})
    infill_context: ClassVar[Literal["both", "left"]] = "both"

    def __init__(
        self, density: float = 0.15, mean_span: float = 3.0, *, family: Family, start: int | None = None
    ) -> None:
        super().__init__(family=family, start=start)
        if not 0 < density < 1:
            raise ValueError(f"objective.density={density} is not a share of the tokens between 0 and 1")
        if mean_span < 1:
            raise ValueError(f"objective.mean_span={mean_span} is not a length of at least 1 token")
        self.density = density
        self.mean_span = mean_span

    def counts(self, T: int) -> tuple[int, int]:
        """How many tokens of T fall out, and in how many spans."""
        noise = min(max(round(self.density * T), 1), T - 1)
        spans = min(max(round(noise / self.mean_span), 1), noise, T - noise)
        if spans >= len(SENTINELS):
            raise ValueError(
                f"a window of {T} tokens would lose {spans} spans, but there are sentinels for "
                f"{len(SENTINELS) - 1}: set objective.mean_span={-(-noise // (len(SENTINELS) - 1))} or more"
            )
        return noise, spans

    def batch(self, windows: np.ndarray, rng: np.random.Generator, *, vocab_size: int) -> Batch:
        windows = windows.astype(np.int64)
        B, T = windows.shape
        noise, spans = self.counts(T)
        lengths = np.stack(
            [compositions(rng, B, T - noise, spans), compositions(rng, B, noise, spans)], axis=2
        )
        starts = np.cumsum(lengths.reshape(B, -1), axis=1) - lengths.reshape(
            B, -1
        )  # gap, span, gap, span, ...
        begins = np.zeros((B, T), dtype=np.int64)
        np.put_along_axis(begins, starts, 1, axis=1)
        piece = np.cumsum(begins, axis=1) - 1  # (B, T): even in a gap, odd in a span
        lost, sentinel = piece % 2 == 1, SENTINELS[0] + piece // 2

        first = begins == 1
        closing = np.full((B, 1), SENTINELS[spans])
        source = np.where(lost, sentinel, windows)[~lost | first].reshape(B, -1)
        # A sentinel stands where each gap begins: the span that it names follows that gap.
        targets = np.where(lost, windows, sentinel)[lost | first].reshape(B, -1)
        targets = np.concatenate([targets, closing], axis=1)
        return Batch(
            tensor(self.shifted(targets)), tensor(targets), source=tensor(source), consumed=windows.size
        )

    def continuation_prompt(self, context: np.ndarray, scored: np.ndarray) -> list[Row]:
        return self.infill_prompt(context, scored, context[:0])

    def infill_prompt(self, left: np.ndarray, span: np.ndarray, right: np.ndarray) -> list[Row]:
        """One sentinel for the span, teacher-forced; neither it nor the closing one is scored."""
        source = np.concatenate([left, SENTINEL, right])
        return [Row(self.decoder_inputs(SENTINEL, span), 1 + np.arange(len(span)), span, source)]


class SpanPrefix(Objective):
    """Span corruption for half of the batches, prefix LM for the others, drawn evenly.

    The mixture shows an encoder-decoder both shapes in which it is asked: continuation as prefix LM,
    gaps as span corruption. Whole batches are of one kind, since rows of two kinds differ in length.
    """

    name = "span_prefix"
    families = frozenset({Family.ENCODER_DECODER})
    infill_context: ClassVar[Literal["both", "left"]] = "both"

    def __init__(
        self, density: float = 0.15, mean_span: float = 3.0, *, family: Family, start: int | None = None
    ) -> None:
        super().__init__(family=family, start=start)
        self.span = Span(density, mean_span, family=family, start=start)
        self.prefix = Prefix(family=family, start=start)

    def batch(self, windows: np.ndarray, rng: np.random.Generator, *, vocab_size: int) -> Batch:
        part: Objective = self.span if rng.random() < 0.5 else self.prefix
        return part.batch(windows, rng, vocab_size=vocab_size)

    def continuation_prompt(self, context: np.ndarray, scored: np.ndarray) -> list[Row]:
        return self.prefix.continuation_prompt(context, scored)

    def infill_prompt(self, left: np.ndarray, span: np.ndarray, right: np.ndarray) -> list[Row]:
        return self.span.infill_prompt(left, span, right)


def compositions(rng: np.random.Generator, count: int, total: int, parts: int) -> np.ndarray:
    """(count, parts): ways to write `total` as an ordered sum of positive parts, uniformly drawn."""
    cuts = np.argsort(rng.random((count, total - 1)), axis=1)[:, : parts - 1] + 1
    ends = np.concatenate([np.sort(cuts, axis=1), np.full((count, 1), total)], axis=1)
    return np.diff(ends, axis=1, prepend=0)
