"""One token after another: greedy, temperature, top-k and nucleus sampling, and text as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from archs.contract import Backbone
from archs.decoding.text import NOTHING, Generated, Special, Text, begin, lengths


def choose(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sample ids (B,) from logits (B, V).

    temperature 0 is greedy. top_k keeps the k likeliest; top_p (nucleus, Holtzman et al. 2020) keeps the
    fewest of these whose probabilities sum to at least p. Both look at the distribution after temperature.
    """
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is None and top_p is None:
        return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)
    size = logits.shape[-1]
    logits, ids = logits.topk(size if top_k is None else min(top_k, size))  # likeliest first
    if top_p is not None:
        probabilities = logits.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities
        logits = logits.masked_fill(before >= top_p, -torch.inf)  # those before already suffice
    drawn = torch.multinomial(logits.softmax(-1), 1, generator=generator)
    return ids.gather(-1, drawn).squeeze(-1)


def stream(
    backbone: Backbone,
    prompts: Tensor,
    keep: Tensor | None = None,
    *,
    max_tokens: int,
    special: Special = NOTHING,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Tokens as they come: ids (B,) that continue prompts (B, T), until every row has ended.

    A row ends with its eos, after which it is `pad`, or with max_tokens. For generator=None torch's global
    one draws. The backbone writes in the mode that it is in: call eval() first. Raises ValueError, at once,
    for prompts or options that make no sense, and where the texts would outgrow a table of positions.
    """
    if temperature < 0:
        raise ValueError(f"temperature={temperature} must be at least 0, which is greedy")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k} must be at least 1, or None for all")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} must be above 0 and at most 1, or None for all")
    with torch.inference_mode():
        text = begin(backbone, prompts, keep, special, max_tokens)

    def pick(logits: Tensor) -> Tensor:
        return choose(logits, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)

    return _stream(text, pick, special, max_tokens)


@torch.inference_mode()
def _stream(
    text: Text, pick: Callable[[Tensor], Tensor], special: Special, max_tokens: int
) -> Iterator[Tensor]:
    ended: Tensor | None = None
    for left in reversed(range(max_tokens)):
        ids = pick(text.logits())
        if special.eos is not None:
            if ended is not None:
                ids = ids.masked_fill(ended, special.pad)
            now = ids == special.eos
            ended = now if ended is None else ended | now
        yield ids
        if left == 0 or (ended is not None and bool(ended.all())):
            return
        text.append(ids)


def generate(
    backbone: Backbone,
    prompts: Tensor,
    keep: Tensor | None = None,
    *,
    max_tokens: int,
    special: Special = NOTHING,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Generated:
    """All of `stream` at once."""
    ids = stream(
        backbone,
        prompts,
        keep,
        max_tokens=max_tokens,
        special=special,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        generator=generator,
    )
    written = torch.stack(list(ids), 1)
    return Generated(written, lengths(written, special.eos))
