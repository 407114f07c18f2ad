"""archs-generate: text from a finished run, as it comes.

Decoders and encoder-decoders go on from a state (a cache, or a recurrent state), so that a step costs the
same however long the text already is. An encoder writes by iterative unmasking, left to right: one <mask>
at the end, filled, and again.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from archs.contract import Autoregressive, Backbone, Family
from tasks.tokenizer import BOS, EOS, MASK, N_SPECIAL, Tokenizer

from .errors import one_line_errors
from .loading import Loaded, load
from .module import derived_seed

LONGEST_CHARACTER = 4  # bytes of a character in UTF-8, so tokens that can be waiting for its end


def choose(
    logits: Tensor, *, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> Tensor:
    """Sample ids (B,) from logits (B, V).

    temperature 0 is greedy. top_k keeps the k likeliest; top_p (nucleus, Holtzman et al. 2020) keeps the
    fewest whose probabilities sum to at least p. Both look at the distribution after temperature.
    """
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p is not None:
        ordered, ids = logits.sort(descending=True)
        probabilities = ordered.softmax(-1)
        surplus = probabilities.cumsum(-1) - probabilities >= top_p  # the mass before it already suffices
        logits = logits.masked_fill(torch.zeros_like(surplus).scatter(-1, ids, surplus), -torch.inf)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)


def allowed_only(logits: Tensor) -> Tensor:
    """Ordinary tokens and <eos>: text has no other special token."""
    out = logits.float().clone()
    out[..., :N_SPECIAL] = -torch.inf
    out[..., EOS] = logits[..., EOS]
    return out


def next_logits(
    backbone: Backbone, start: int | None, prompt: np.ndarray, max_tokens: int
) -> Generator[Tensor, int, None]:
    """A coroutine of logits (1, V): send it the id chosen from each to get the next."""
    ids = torch.as_tensor(prompt[None], dtype=torch.int64)
    if backbone.family is Family.ENCODER:
        while True:
            masked = torch.cat([ids, torch.full((1, 1), MASK)], dim=1)
            if backbone.max_len is not None:
                masked = masked[:, -backbone.max_len :]
            chosen = yield backbone.head(backbone.forward(masked).hidden[:, -1])
            ids = torch.cat([ids, torch.tensor([[chosen]])], dim=1)
    assert isinstance(backbone, Autoregressive)
    if backbone.family is Family.ENCODER_DECODER:
        state = backbone.start(1, source=ids, max_len=max_tokens + 1)
        ids = torch.tensor([[start]])
    else:
        state = backbone.start(1, max_len=ids.shape[1] + max_tokens)
    while True:
        hidden, state, _ = backbone.step(ids, state)
        chosen = yield backbone.head(hidden[:, -1])
        ids = torch.tensor([[chosen]])


@torch.inference_mode()
def generate(
    backbone: Backbone,
    prompt: np.ndarray,
    *,
    max_tokens: int,
    start: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> Iterator[int]:
    """Yield token ids that continue `prompt` (int array), until <eos> or max_tokens.

    start: the decoder's first token (encoder-decoders). Raises ValueError where the text would outgrow a
    table of positions.
    """
    length = len(prompt) + max_tokens
    if backbone.family is not Family.ENCODER and backbone.max_len is not None and length > backbone.max_len:
        raise ValueError(
            f"prompt of {len(prompt)} and max_tokens={max_tokens} make {length} positions, but the position "
            f"table has {backbone.max_len}: shorten one of them"
        )
    generator = torch.Generator().manual_seed(derived_seed(seed, "generate"))
    stream = next_logits(backbone, start, prompt, max_tokens)
    logits = next(stream)
    for count in range(max_tokens):
        chosen = choose(
            allowed_only(logits), temperature=temperature, top_k=top_k, top_p=top_p, generator=generator
        )
        token = int(chosen)
        if token == EOS:
            return
        yield token
        if count + 1 < max_tokens:
            logits = stream.send(token)


def stream_text(tokenizer: Tokenizer, ids: Iterator[int]) -> Iterator[str]:
    """Decode ids to text pieces as they come; bytes of an unfinished character wait for the rest."""
    pending: list[int] = []
    for token in ids:
        pending.append(token)
        text = tokenizer.decode(np.array(pending))
        if text.endswith("\N{REPLACEMENT CHARACTER}") and len(pending) < LONGEST_CHARACTER:
            continue
        pending.clear()
        yield text
    if pending:
        yield tokenizer.decode(np.array(pending))


def run(config: DictConfig) -> int:
    """Print config.samples continuations of config.prompt from the finished run config.run."""
    with one_line_errors():
        loaded = load(config.run)
        if loaded.tokenizer is None:
            raise ValueError(
                f"run={config.run} was trained on {loaded.config['choices']['task']}, which has no text"
            )
        prompt = np.concatenate([[BOS], loaded.tokenizer.encode(config.prompt)])
        for sample in range(config.samples):
            show(loaded, prompt, config, seed=config.seed + sample)
    return 0


def show(loaded: Loaded, prompt: np.ndarray, config: DictConfig, seed: int) -> None:
    """One continuation on stdout, streamed or at once."""
    assert loaded.tokenizer is not None
    ids = generate(
        loaded.backbone,
        prompt,
        max_tokens=config.max_tokens,
        start=loaded.arch.start,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        seed=seed,
    )
    pieces = stream_text(loaded.tokenizer, ids)
    sys.stdout.write(config.prompt)
    for piece in pieces if config.stream else ["".join(pieces)]:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
