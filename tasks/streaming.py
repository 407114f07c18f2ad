"""Bits per byte of a text of any length, in memory that does not grow with it.

A model whose state has a fixed size (a recurrence, attention through a window) reads the text once, a chunk
at a time, and hands its state on:

    <bos> t1 t2 t3 | t4 t5 t6 t7 | t8 ..       every token given all before it
              state ──>     state ──>

What it says is what one pass over the whole text would say, whatever the chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from archs.contract import Autoregressive, Backbone, Family

from .scoring import measured, ordinary_nats, reading
from .tokenizer import BOS, N_SPECIAL, Tokenizer, pretoken_boundaries

# Tokens read at once: on a CPU what its caches hold; elsewhere as many as a window's mask leaves memory for.
CPU_CHUNK, DEVICE_CHUNK = 2048, 8192
FOREVER = 1 << 40  # tokens, more than any stream holds: how much room a state is asked for
BLOCK = 1 << 20  # characters of a file that are tokenized at once
AHEAD = 64  # bytes behind a cut in a block, so that what follows the block could not have moved it


class Cost(NamedTuple):
    """What a stretch of a stream cost, in nats; tokens and bytes of it that were scored, special ones not."""

    nats: float = 0.0
    tokens: int = 0
    bytes: int = 0

    def __add__(self, other: Any) -> Cost:
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def bits_per_byte(self) -> float:
        return self.nats / float(np.log(2)) / self.bytes


class StreamReader:
    """One stream of tokens, read by one model.

    Every ordinary token but the first of the stream is scored, given all before it, by a softmax over
    ordinary tokens; special tokens are read and not scored. The state never holds more than the model's
    `state_bytes` says.
    """

    def __init__(self, model: Backbone, byte_lengths: np.ndarray, *, chunk: int | None = None) -> None:
        """byte_lengths: of every token id, see Tokenizer. chunk: tokens read at once; None: what suits the
        device. Raises ValueError, in one line, for a model that cannot."""
        if (reason := why_not(model)) is not None:
            raise ValueError(reason)
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk={chunk} must be at least 1")
        self.model = cast(Autoregressive, model)
        self.byte_lengths = byte_lengths
        parameter = next(cast(nn.Module, model).parameters())
        self.chunk = chunk or (CPU_CHUNK if parameter.device.type == "cpu" else DEVICE_CHUNK)
        with reading(model) as device:
            self.state = self.model.start(1, max_len=FOREVER, device=device, dtype=parameter.dtype)
        self._newest = np.empty(0, dtype=np.int64)  # the latest token, which is read with what follows it

    def read(self, ids: np.ndarray) -> Iterator[Cost]:
        """What the tokens that come next, ids (n,), cost: chunk by chunk, as they are read."""
        ids = np.concatenate([self._newest, ids.astype(np.int64)])
        for first in range(0, len(ids) - 1, self.chunk):
            yield self._step(ids[first : first + self.chunk + 1])
        self._newest = ids[-1:]

    def _step(self, ids: np.ndarray) -> Cost:
        """Read ids[:-1], score ids[1:]."""
        scored = np.flatnonzero(ids[1:] >= N_SPECIAL)
        targets = ids[1:][scored]
        with reading(self.model) as device:
            output = self.model.step(torch.from_numpy(ids[:-1])[None].to(device), self.state)
            self.state = output.state
            if not len(targets):
                return Cost()
            hidden = output.hidden[0, torch.from_numpy(scored).to(device)]
            nats = measured(self.model, hidden, torch.from_numpy(targets).to(device), ordinary_nats)
        return Cost(float(nats.sum()), len(targets), int(self.byte_lengths[targets].sum()))


def why_not(model: Backbone, tokens: int = 1_000_000) -> str | None:
    """Why a model cannot read a stream in bounded memory, in one line; None where it can.

    tokens: of a stream whose cost is named.
    """
    if model.family is not Family.DECODER:
        return (
            f"an {model.family} cannot stream: it reads a text as a whole, and again for every token; "
            "decoders with a state of fixed size can, such as mamba"
        )
    if model.state_bytes(1 << 30) > model.state_bytes(1 << 29):
        return (
            f"its state grows with what it has read, to {model.state_bytes(tokens) / 1e6:,.0f} MB after "
            f"{tokens:,} tokens: only a state of fixed size (mamba, mamba2) or a window (arch/mixer=sliding) "
            "can stream"
        )
    if model.max_len is not None:
        return (
            f"its positions end at {model.max_len} tokens, so it cannot stream: those of arch/position=rope, "
            "alibi and none have no end"
        )
    return None


def file_tokens(path: str | Path, tokenizer: Tokenizer, block: int = BLOCK) -> Iterator[np.ndarray]:
    """<bos> and the tokens of a UTF-8 text file, piece by piece, as if it were tokenized whole.

    block: characters read at once. Raises ValueError, in one line, for a file that is no text.
    """
    yield np.array([BOS])
    text = ""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            while more := file.read(block):
                data = (text + more).encode()
                cuts = pretoken_boundaries(text + more)
                cut = int(cuts[cuts <= max(0, len(data) - AHEAD)][-1])
                if cut:
                    yield tokenizer.encode(data[:cut].decode())
                text = data[cut:].decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text: {error.reason}") from None
    if text:
        yield tokenizer.encode(text)
