"""archs-generate: text from a finished run, drawn as it comes or searched for."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from archs.decoding import Special, beam_search, generate, stream
from tasks.rows import pad
from tasks.tokenizer import BOS, EOS, MASK, N_SPECIAL, PAD, Tokenizer

from .errors import one_line_errors
from .loading import Loaded, load
from .module import derived_seed

TEMPERATURE = 0.8  # where none is asked for


def special(start: int | None) -> Special:
    """The special tokens of every run. Text is ordinary tokens and <eos>: no other is ever written."""
    banned = tuple(token for token in range(N_SPECIAL) if token != EOS)
    return Special(start, eos=EOS, pad=PAD, mask=MASK, banned=banned)


def stream_text(tokenizer: Tokenizer, ids: Iterator[int]) -> Iterator[str]:
    """Decode ids to text pieces as they come; bytes of an unfinished character wait for the rest."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in ids:
        yield decoder.decode(tokenizer.to_bytes([token]))
    yield decoder.decode(b"", final=True)


def run(config: DictConfig) -> int:
    """Print continuations of config.prompt, which may be several, from the finished run config.run."""
    with one_line_errors():
        check_search(config)
        loaded = load(config.run)
        if loaded.tokenizer is None:
            raise ValueError(
                f"run={config.run} was trained on {loaded.config['choices']['task']}, which has no text"
            )
        prompts = texts(config.prompt)
        for sample in range(config.samples):
            for prompt, pieces in zip(prompts, continuations(loaded, prompts, config, sample), strict=True):
                show(prompt, pieces)
    return 0


def texts(prompt: Any) -> list[str]:
    """One prompt, several, or none: nothing comes before the text then."""
    several = list(prompt) if OmegaConf.is_list(prompt) else [prompt]
    return ["" if text is None else str(text) for text in several]


def check_search(config: DictConfig) -> None:
    """Raise ValueError where one text is searched for and others are to be drawn."""
    if config.beams == 1:
        return
    drawn = [f"{key}={config[key]}" for key in ("temperature", "top_k", "top_p") if config[key]]
    drawn += [f"samples={config.samples}"] * (config.samples > 1)
    if drawn:
        raise ValueError(
            f"beams={config.beams} searches for the one likeliest text, {drawn[0]} draws at random: "
            "leave one of them out"
        )


def continuations(
    loaded: Loaded, prompts: list[str], config: DictConfig, sample: int
) -> Iterator[Iterator[str]]:
    """For each prompt, what comes after it, in pieces; those of a single one as they come."""
    tokenizer = loaded.tokenizer
    assert tokenizer is not None
    ids, keep = pad([np.concatenate([[BOS], tokenizer.encode(prompt)]) for prompt in prompts], PAD)
    begun: dict[str, Any] = {"max_tokens": config.max_tokens, "special": special(loaded.arch.start)}
    if config.beams > 1:
        penalty = config.length_penalty
        found = beam_search(loaded.backbone, ids, keep, beams=config.beams, length_penalty=penalty, **begun)
    else:
        drawing: dict[str, Any] = {
            "temperature": TEMPERATURE if config.temperature is None else config.temperature,
            "top_k": config.top_k,
            "top_p": config.top_p,
            "generator": torch.Generator().manual_seed(derived_seed(config.seed + sample, "generate")),
        }
        if len(prompts) == 1 and config.stream:
            tokens = stream(loaded.backbone, ids, keep, **begun, **drawing)
            yield stream_text(tokenizer, (int(token) for token in tokens if int(token) != EOS))
            return
        found = generate(loaded.backbone, ids, keep, **begun, **drawing)
    for row in found.ids.numpy():
        yield iter([tokenizer.decode(row[row >= N_SPECIAL])])


def show(prompt: str, pieces: Iterator[str]) -> None:
    """A prompt and its continuation on stdout, as the pieces come."""
    sys.stdout.write(prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
