"""A backbone, ready for every kind of work that is measured, on random tokens of any shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from archs import checkpointing, decay_groups
from archs.contract import Autoregressive, Backbone, Family

from ..building import construct
from ..loss import cross_entropy
from ..savers import Carried
from .timing import REPEATS, Work

WARM_UP = 128  # tokens of the work that comes first
GENERATION = ("prefill", "decode")  # work on a state, with room for tokens to come
DECODED = REPEATS[1] + 2  # so many at most, in a timing of decoding: warm-up and start among them
OTHER = 64  # tokens on the side of an encoder-decoder where the length is not
DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "bf16-true": torch.bfloat16}


class Subject:
    """What a point's spec describes (see points.Point), with an optimiser.

    `work` gives those kinds of work that its family and mode know (`works`):

    train_step  forward, loss at every position, backward, AdamW; with segments all of it for every one of
                them in turn, each from the state that the one before it left
    forward     an encoder's hidden states; others': and the logits of the last position
    prefill     the same into a state to decode from, which is made, too
    decode      one token more for every row, after as many as the point says

    Nothing runs in `inference_mode`: a table that a backbone computes there and keeps could not be trained
    with later.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.device, self.dtype = torch.device(spec["device"]), DTYPES[spec["precision"]]
        self.mixed = spec["precision"].endswith("mixed")
        self.family, self.chunked = Family(spec["family"]), spec["chunked_loss"]
        self.segments = spec["segments"]
        backbone: Any = construct(spec["node"], spec["vocab_size"], self.device)
        if not self.mixed:
            backbone.to(self.dtype)
        checkpointing(backbone, spec["activation_checkpointing"])
        self.backbone: Backbone = backbone
        self.module: torch.nn.Module = backbone
        self.optimizer = torch.optim.AdamW(decay_groups(backbone, 0.1), lr=1e-4, fused=True)

    def resize(self, batch: int, length: int, side: str | None = None) -> None:
        """Tokens (batch, T), of an encoder-decoder a source (batch, S), too; `side`: which is `length`."""
        own, read = lengths(length, side)
        draw = torch.Generator().manual_seed(0)
        size = self.backbone.vocab_size
        self.tokens = torch.randint(size, (batch, own), generator=draw).to(self.device)
        self.source: Tensor | None = None
        if side is not None:
            self.source = torch.randint(size, (batch, read), generator=draw).to(self.device)

    def warm(self, name: str) -> None:
        """Do a kind of work on one short sequence: lazy set-up and optimiser state are then there."""
        tokens, source = self.tokens, self.source
        self.tokens = tokens[:1, :WARM_UP]
        self.source = None if source is None else source[:1, :WARM_UP]
        try:
            self.work(name)()
        finally:
            self.tokens, self.source = tokens, source

    def work(self, name: str) -> Work:
        """One of `works`, the module in the mode for it; to decode from, a state is made first."""
        self.module.train(name == "train_step")
        if name == "decode":
            return self.decoder()
        return {"forward": self.forward, "prefill": self.prefill, "train_step": self.train_step}[name]

    def casting(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed)

    def train_step(self) -> None:
        if self.segments == 1:
            self.learn(self.tokens)
            return
        backbone, room = self.backbone, self.tokens.shape[1]
        assert isinstance(backbone, Autoregressive)
        carried = Carried(backbone, room)
        for place, tokens in enumerate(self.tokens.chunk(self.segments, dim=1)):
            carried.keep(self.learn(tokens, carried.before(tokens, first=place == 0)))

    def learn(self, tokens: Tensor, state: Any = None) -> Any:
        """An optimiser step on tokens (B, T), from `state` where one is given; gives that behind them."""
        with self.casting():
            hidden, state, aux = self.backbone.forward(tokens, source=self.source, state=state)
            rows, targets = hidden.flatten(0, 1), tokens.flatten()
            loss = cross_entropy(self.backbone, rows, targets, chunked=self.chunked)
            loss = loss + sum(aux.values())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return state

    @torch.no_grad()
    def forward(self) -> None:
        with self.casting():
            hidden = self.backbone.forward(self.tokens, source=self.source).hidden
            if self.family is not Family.ENCODER:
                self.backbone.head(hidden[:, -1])

    @torch.no_grad()
    def prefill(self) -> Any:
        backbone = self.backbone
        assert isinstance(backbone, Autoregressive)
        with self.casting():
            state = backbone.start(
                len(self.tokens),
                source=self.source,
                max_len=self.tokens.shape[1] + DECODED,
                device=self.device,
                dtype=self.dtype,  # as attention takes it: another would be converted for every token
            )
            hidden, state, _ = backbone.step(self.tokens, state)
            backbone.head(hidden[:, -1])
        return state

    def decoder(self) -> Callable[[], None]:
        """Work that decodes one token per row; every call finds a context longer by one."""
        backbone, state, token = self.backbone, self.prefill(), self.tokens[:, :1]
        assert isinstance(backbone, Autoregressive)
        step = backbone.step

        @torch.no_grad()
        def decode() -> None:
            nonlocal state
            with self.casting():
                hidden, state, _ = step(token, state)
                backbone.head(hidden)

        return decode

    def flops(self) -> dict[str, int]:
        """Of every kind of work, for the whole batch."""
        batch, T = self.tokens.shape
        return operations(self.backbone, batch, T, 0 if self.source is None else self.source.shape[1])

    def state_bytes(self) -> int | None:
        """Of one sequence; None where the family keeps none."""
        if self.family is Family.ENCODER:
            return None
        S = 0 if self.source is None else self.source.shape[1]
        return self.backbone.state_bytes(self.tokens.shape[1], S, self.dtype)


def works(family: str, mode: str) -> tuple[str, ...]:
    """The kinds of work that are measured, the lightest first; of one sequence no training step."""
    read = () if family == Family.ENCODER else GENERATION
    if mode == "single":
        return read or ("forward",)
    return ("forward", *read, "train_step")


def lengths(length: int, side: str | None) -> tuple[int, int]:
    """(T, S): how many tokens are written or read in place, and how many of a source."""
    if side is None:
        return length, 0
    return (OTHER, length) if side == "source" else (length, OTHER)


def operations(backbone: Backbone, batch: int, T: int, S: int) -> dict[str, int]:
    """FLOPs of every kind of work on a batch; a training step counts as three forward passes."""
    of, scored = backbone.flops, 0 if backbone.family == Family.ENCODER else 1
    found = {"train_step": 3 * of(T, S), "forward": of(T, S, scored), "prefill": of(T, S, scored)}
    if backbone.family == Family.DECODER:
        found["decode"] = of(1, T, 1)
    elif backbone.family == Family.ENCODER_DECODER:
        found["decode"] = of(T + 1, S, 1) - of(T, S, 0)
    return {name: batch * count for name, count in found.items()}
