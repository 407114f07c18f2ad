"""Encoder, Decoder and EncoderDecoder: thin wirings of embedding, stacks and head.

Parts arrive as factories with the user's choices bound; the wiring adds what is its own to decide:
the width, the direction, who reads whose memory. See archs.contract for what a backbone promises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from archs.contract import Family, Output
from archs.heads import LMHead
from archs.init import check_scheme, init_weight
from archs.inputs import check_tokens
from archs.residual import Factory, Stack, State


class _Wiring(nn.Module):
    """The two ends that all families have: token embedding and head."""

    family: Family

    def __init__(self, vocab_size: int, dim: int, head: Factory, init: str) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim={dim} must be at least 1")
        self.vocab_size, self.dim = vocab_size, dim
        self.embedding = nn.Embedding(vocab_size, dim)
        self.lm_head: LMHead = head(dim=dim, vocab_size=vocab_size)
        if check_scheme(init) == "fan_in" and self.lm_head.takes_unit_embedding:
            nn.init.normal_(self.embedding.weight)  # T5
        else:
            init_weight(self.embedding.weight, init)
        self.lm_head.reset_parameters()

    def head(self, hidden: Tensor) -> Tensor:
        """hidden (..., D) to logits (..., V)."""
        return self.lm_head(hidden, self.embedding.weight)

    def readout(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """hidden (..., D) to features (..., D), weight (V, D) and bias (V,) or None, see LinearHead."""
        return self.lm_head.readout(hidden, self.embedding.weight)

    def embed(self, tokens: Tensor, keep: Tensor | None, name: str = "tokens") -> Tensor:
        """tokens (B, T) to (B, T, D), once they are what they should be."""
        check_tokens(tokens, keep, self.vocab_size, name)
        return self.embedding(tokens)


class _SingleStack(_Wiring):
    """Encoder and Decoder differ in what a token may read, and in nothing else."""

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        depth: int,
        mlp: Factory,
        norm: Factory,
        position: Factory,
        head: Factory,
        mixer: Factory | None = None,
        mixers: Mapping[str, Factory] | None = None,
        pattern: Sequence[str] | None = None,
        post_norm: bool = False,
        embed_norm: bool = False,
        dropout: float = 0.0,
        init: str = "normal",
    ) -> None:
        """mixer: of every layer. Or, a hybrid: mixers by name, and the pattern of them that layers repeat."""
        super().__init__(vocab_size, dim, head, init)
        causal = self.family is Family.DECODER
        self.stack = Stack(
            dim,
            [
                {"mixer": partial(chosen, causal=causal), "mlp": mlp}
                for chosen in _by_layer(mixer, mixers, pattern, depth)
            ],
            norm,
            position,
            causal=causal,
            post_norm=post_norm,
            embed_norm=embed_norm,
            dropout=dropout,
        )

    @property
    def max_len(self) -> int | None:
        return self.stack.position.max_len

    def forward(
        self,
        tokens: Tensor,
        keep: Tensor | None = None,
        *,
        source: Tensor | None = None,
        source_keep: Tensor | None = None,
        state: Any = None,
    ) -> Output:
        if source is not None or source_keep is not None:
            raise ValueError(f"a {self.family} takes no source")
        if state is not None and self.family is Family.ENCODER:
            raise ValueError("an encoder takes no state")
        return self.stack(self.embed(tokens, keep), keep, state=state)

    def flops(self, T: int, S: int = 0, scored: int | None = None) -> int:
        return self.stack.flops(T, S) + self.lm_head.flops(T if scored is None else scored)


class Encoder(_SingleStack):
    """Every token reads every other (BERT, Devlin et al. 2019)."""

    family = Family.ENCODER

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        """0: nothing is carried, each token more is a whole new pass."""
        return 0


class Decoder(_SingleStack):
    """Every token reads itself and what stands before it (GPT-2, Llama, Mamba)."""

    family = Family.DECODER

    def start(
        self,
        batch: int,
        *,
        source: Tensor | None = None,
        source_keep: Tensor | None = None,
        max_len: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> State:
        if source is not None or source_keep is not None:
            raise ValueError("a decoder takes no source: read it with step")
        return self.stack.start(batch, max_len, device, dtype)

    def step(self, tokens: Tensor, state: State, keep: Tensor | None = None) -> Output:
        return self(tokens, keep, state=state)

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        return self.stack.state_bytes(T, dtype=dtype)


class EncoderDecoder(_Wiring):
    """An encoder reads the source, a decoder writes after it, reading the encoder in every layer (T5)."""

    family = Family.ENCODER_DECODER

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        depth: int,
        mixer: Factory,
        mlp: Factory,
        norm: Factory,
        position: Factory,
        head: Factory,
        post_norm: bool = False,
        embed_norm: bool = False,
        dropout: float = 0.0,
        init: str = "normal",
        decoder_depth: int | None = None,
    ) -> None:
        """depth: layers of the encoder, and as many of the decoder where decoder_depth is None."""
        super().__init__(vocab_size, dim, head, init)
        stack = partial(
            Stack,
            dim,
            norm=norm,
            position=position,
            post_norm=post_norm,
            embed_norm=embed_norm,
            dropout=dropout,
            final_dropout=0.0 if post_norm else dropout,
        )
        read: dict[str, Factory] = {"mixer": partial(mixer, causal=False), "mlp": mlp}
        write: dict[str, Factory] = {
            "mixer": partial(mixer, causal=True),
            "cross": partial(mixer, causal=False, cross=True),
            "mlp": mlp,
        }
        self.encoder = stack([read] * depth, causal=False)
        self.decoder = stack([write] * (depth if decoder_depth is None else decoder_depth), causal=True)

    @property
    def max_len(self) -> int | None:
        return self.decoder.position.max_len

    def encode(self, source: Tensor | None, source_keep: Tensor | None) -> Output:
        """source (B, S) to memory, `hidden` (B, S, D)."""
        if source is None:
            raise ValueError("an encoder-decoder needs source=, or a state from start(source=...)")
        return self.encoder(self.embed(source, source_keep, "source"), source_keep)

    def forward(
        self,
        tokens: Tensor,
        keep: Tensor | None = None,
        *,
        source: Tensor | None = None,
        source_keep: Tensor | None = None,
        state: Any = None,
    ) -> Output:
        if state is not None and source is not None:
            raise ValueError("pass source= to start, not to a step: the state holds what was read")
        if source is not None and len(source) != len(tokens):
            raise ValueError(f"source has {len(source)} rows, tokens {len(tokens)}")
        x = self.embed(tokens, keep)
        if state is not None:
            return self.decoder(x, keep, state=state)
        memory, _, read = self.encode(source, source_keep)
        hidden, _, written = self.decoder(x, keep, memory=memory, memory_keep=source_keep)
        aux = {name: read.get(name, 0) + written.get(name, 0) for name in read | written}
        return Output(hidden, None, aux)

    def start(
        self,
        batch: int,
        *,
        source: Tensor | None = None,
        source_keep: Tensor | None = None,
        max_len: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> State:
        memory = self.encode(source, source_keep).hidden
        if len(memory) != batch:
            raise ValueError(f"batch={batch}, but source has {len(memory)} rows")
        return self.decoder.start(batch, max_len, device, dtype, memory, source_keep)

    def step(self, tokens: Tensor, state: State, keep: Tensor | None = None) -> Output:
        return self(tokens, keep, state=state)

    def flops(self, T: int, S: int = 0, scored: int | None = None) -> int:
        head = self.lm_head.flops(T if scored is None else scored)
        return self.encoder.flops(S) + self.decoder.flops(T, 0, memory=S) + head

    def state_bytes(self, T: int, S: int = 0, dtype: torch.dtype = torch.float32) -> int:
        return self.decoder.state_bytes(T, S, dtype)


def _by_layer(
    mixer: Factory | None,
    mixers: Mapping[str, Factory] | None,
    pattern: Sequence[str] | None,
    depth: int,
) -> list[Factory]:
    """The mixer of each layer: one for all, or as the pattern says, over and over."""
    if mixer is not None and mixers is None and pattern is None:
        return [mixer] * depth
    if mixer is not None or not mixers or not pattern:
        raise ValueError(
            "a stack takes either one mixer, or named mixers and a pattern of them over its layers"
        )
    names = [pattern[layer % len(pattern)] for layer in range(depth)]
    if set(names) != set(mixers):
        raise ValueError(
            f"pattern={list(pattern)} over depth={depth} layers must use each of the mixers "
            f"{', '.join(mixers)}, and no others"
        )
    return [mixers[name] for name in names]


def nothing(**wiring: Any) -> None:
    """The factory of a sublayer that is left out (`mixer: none`, `mlp: none`)."""
