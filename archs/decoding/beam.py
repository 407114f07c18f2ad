"""Beam search: the likeliest text, among those that a search of some width gets to see."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from archs.contract import Backbone
from archs.decoding.text import NOTHING, Generated, Special, begin, lengths


class Beams(NamedTuple):
    """Texts for each of B prompts, best first: ids (B, K, n), score (B, K), -inf where there is none."""

    ids: Tensor
    score: Tensor

    def take(self, which: Tensor) -> Beams:
        """which (B, K') int64, of the second axis."""
        ids = self.ids.gather(1, which[..., None].expand(-1, -1, self.ids.shape[2]))
        return Beams(ids, self.score.gather(1, which))

    def grown(self, token: Tensor) -> Beams:
        """One more token, (B, K), at the end of each."""
        return Beams(torch.cat([self.ids, token[..., None]], 2), self.score)

    def merged(self, other: Beams) -> Beams:
        """The K best of these and the other's."""
        both = Beams(torch.cat([self.ids, other.ids], 1), torch.cat([self.score, other.score], 1))
        return both.take(both.score.topk(self.score.shape[1]).indices)


@torch.inference_mode()
def beam_search(
    backbone: Backbone,
    prompts: Tensor,
    keep: Tensor | None = None,
    *,
    max_tokens: int,
    special: Special = NOTHING,
    beams: int = 4,
    length_penalty: float = 1.0,
    early_stopping: bool = False,
) -> Generated:
    """The best text found after each of the prompts (B, T), and its score.

    Every step goes on with the `beams` likeliest unfinished texts of a prompt, and keeps as many finished
    ones: those that end while among the likeliest. A finished text y scores

        log p(y) / |y|^length_penalty

    so that above 0 long texts gain, as Wu et al. (2016, eq. 14) have it, in the plain form of it that
    Hugging Face's transformers has. A prompt is done once `beams` finished texts score no worse than the
    best unfinished one would now; with early_stopping, once there are so many. Raises ValueError as `stream`.
    """
    if beams < 1:
        raise ValueError(f"beams={beams} must be at least 1")
    text = begin(backbone, prompts, keep, special, max_tokens)
    B, V, K, device = len(prompts), backbone.vocab_size, beams, prompts.device
    first = torch.arange(0, B * K, K, device=device)[:, None]  # the row of each prompt's first beam
    text.select(torch.arange(B, device=device).repeat_interleave(K))

    # Where a prompt has but one text yet, the other beams are impossible: not K times the same.
    none = torch.full((B, K), -torch.inf, device=device)
    empty = torch.empty(B, K, 0, dtype=torch.int64, device=device)
    running, finished = Beams(empty, none.index_fill(1, first[0], 0.0)), Beams(empty, none)
    open_ = torch.ones(B, 1, dtype=torch.bool, device=device)  # may a prompt's finished texts still change?

    for length in range(1, max_tokens + 1):
        score = running.score[..., None] + text.logits().log_softmax(-1).view(B, K, V)
        # Twice as many as there are beams, of which each ends in at most one: K are left to go on with.
        top = score.flatten(1).topk(2 * K)
        origin, token = top.indices // V, top.indices % V
        grown = Beams(running.take(origin).grown(token).ids, top.values)
        ends = torch.full_like(open_, length == max_tokens) | (token == special.eos)

        ending = ends & open_ & (torch.arange(2 * K, device=device) < K)
        final = (grown.score / length**length_penalty).masked_fill(~ending, -torch.inf)
        pads = token.new_full((B, K), special.pad)
        finished = finished.grown(pads).merged(Beams(grown.ids, final))
        if length == max_tokens:
            break

        which = grown.score.masked_fill(ends, -torch.inf).topk(K).indices
        running = grown.take(which)
        worst = finished.score[:, -1:]  # -inf while there are fewer than K
        open_ &= running.score[:, :1] / length**length_penalty > worst
        if early_stopping:
            open_ &= worst == -torch.inf
        if not open_.any():
            break
        text.select((first + origin.gather(1, which)).flatten())
        text.append(token.gather(1, which).flatten())

    ids, score = finished.ids[:, 0], finished.score[:, 0]
    count = lengths(ids, special.eos)
    return Generated(ids[:, : int(count.max())], count, score)
