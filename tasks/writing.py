"""Answers in free text: what a model writes after a source, by greedy decoding, for every family.

Decoders and encoder-decoders go on token by token from their state (archs.decoding). An encoder is shown all
masks of the answer at once, as in training, and they are filled from left to right until <eos>: what has been
filled stays in sight, and the masks behind it stay masks.

    source <sep> <mask> <mask> <mask>  ->  source <sep> w0 <mask> <mask>  ->  source <sep> w0 <eos> <mask>
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from archs.contract import Backbone, Family
from archs.decoding import Special, generate

from .rows import PAD, pad
from .scoring import CPU_TOKENS, DEVICE_TOKENS, reading
from .tokenizer import EOS, MASK, N_SPECIAL, SEP

BANNED = tuple(token for token in range(N_SPECIAL) if token != EOS)  # text is ordinary tokens and <eos>


def write(
    model: Backbone,
    sources: Sequence[np.ndarray],
    answer_len: int,
    start: int | None = None,
    *,
    batch_tokens: int | None = None,
) -> list[np.ndarray]:
    """The answer to each source (ids), its <eos> left out, at most `answer_len` tokens; see layout.

    start: the decoder's first token, for encoder-decoders. Sources of similar length are answered together,
    at most `batch_tokens` positions at once (None: what suits the device).
    """
    family = Family(model.family)
    special = Special(start, eos=EOS, pad=PAD, banned=BANNED)
    answers: list[np.ndarray] = [np.empty(0, np.int64)] * len(sources)
    with reading(model) as device:
        most = batch_tokens or (CPU_TOKENS if device.type == "cpu" else DEVICE_TOKENS)
        for members in alike(sources, answer_len, most):
            asked = [sources[i] for i in members]
            if family is not Family.ENCODER_DECODER:
                asked = [np.append(source, SEP) for source in asked]
            prompts, keep = pad(asked, PAD)
            prompts, keep = prompts.to(device), None if keep is None else keep.to(device)
            if family is Family.ENCODER:
                ids = filled(model, prompts, keep, answer_len)
            else:
                ids = generate(
                    model, prompts, keep, max_tokens=answer_len, special=special, temperature=0.0
                ).ids
            for i, row in zip(members, ids.cpu().numpy(), strict=True):
                answers[i] = row[: ended(row)]
    return answers


def filled(model: Backbone, prompts: Tensor, keep: Tensor | None, answer_len: int) -> Tensor:
    """An encoder's answers (B, answer_len) to prompts (B, T) with their keep mask, <eos> and what follows it
    included."""
    B, T = prompts.shape
    lengths = prompts.new_full((B,), T) if keep is None else keep.sum(1)
    places = lengths[:, None] + torch.arange(answer_len, device=prompts.device)  # (B, answer_len)
    tokens = torch.cat([prompts, prompts.new_full((B, answer_len), PAD)], 1).scatter(1, places, MASK)
    kept = torch.arange(T + answer_len, device=prompts.device) < lengths[:, None] + answer_len
    allowed = torch.ones(model.vocab_size, dtype=torch.bool, device=prompts.device)
    allowed[list(BANNED)] = False
    open_ = torch.ones(B, dtype=torch.bool, device=prompts.device)
    for i in range(answer_len):
        here = places[open_, i]
        hidden = cast(nn.Module, model)(tokens[open_], None if keep is None else kept[open_]).hidden
        logits = model.head(hidden[torch.arange(len(here), device=here.device), here])
        said = logits.masked_fill(~allowed, -torch.inf).argmax(-1)
        tokens[open_.nonzero()[:, 0], here] = said
        open_[open_.clone()] = said != EOS
        if not open_.any():
            break
    return tokens.gather(1, places)


def ended(ids: np.ndarray) -> int:
    """How many of a row's ids stand before its first <eos>."""
    ends = np.flatnonzero(ids == EOS)
    return int(ends[0]) if len(ends) else len(ids)


def alike(sources: Sequence[np.ndarray], answer_len: int, most: int) -> Iterator[list[int]]:
    """Numbers of sources of similar length, whose padded positions, answers included, are `most` or fewer."""
    group: list[int] = []
    for i in sorted(range(len(sources)), key=lambda i: len(sources[i])):
        if group and (len(group) + 1) * (len(sources[i]) + 1 + answer_len) > most:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
