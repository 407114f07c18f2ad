"""B texts that grow by one token at a time, whatever family writes them.

Decoders and encoder-decoders go on from a state (a cache, or a recurrent state), so that a token costs
the same however long the text already is, or nearly. An encoder writes by iterative unmasking, left to
right: one mask at the end, filled, and again.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from archs.contract import Backbone, Family


class Special(NamedTuple):
    """Ids that mean something to a text beside its words.

    start   the decoder's first token; encoder-decoders need one.
    eos     ends a row; None: rows end at max_tokens.
    pad     fills a row that has ended.
    mask    what an encoder fills in; encoders need one.
    banned  never written.
    """

    start: int | None = None
    eos: int | None = None
    pad: int = 0
    mask: int | None = None
    banned: tuple[int, ...] = ()


NOTHING = Special()


class Generated(NamedTuple):
    """What was written after B prompts.

    ids      (B, n) int64, n <= max_tokens; `pad` after a row's eos.
    lengths  (B,) int64, tokens of each row, its eos included.
    scores   (B,) of beam_search: log p(ids) / length^length_penalty; None where ids were drawn.
    """

    ids: Tensor
    lengths: Tensor
    scores: Tensor | None = None


class Text(Protocol):
    """B texts being written."""

    def logits(self) -> Tensor:
        """(B, V) of the token that comes next, in float32 or wider, -inf where it is banned."""

    def append(self, ids: Tensor) -> None:
        """One more token, ids (B,), on every row."""

    def select(self, rows: Tensor) -> None:
        """Go on with these rows, (B',) int64; a row may be taken any number of times."""


def begin(
    backbone: Backbone, prompts: Tensor, keep: Tensor | None, special: Special, max_tokens: int
) -> Text:
    """Read the prompts (B, T). Raises ValueError, before any work, for what cannot be written."""
    _check(backbone, prompts, keep, special, max_tokens)
    prompts, keep = _left_padded(prompts, keep)
    kind: Any = _Unmasked if backbone.family == Family.ENCODER else _Continued
    text: Text = kind(backbone, prompts, keep, special, max_tokens)
    return text


def lengths(ids: Tensor, eos: int | None) -> Tensor:
    """Tokens of each row (B,) up to its first eos, which counts, or to the end of ids (B, n)."""
    if eos is None:
        return ids.new_full(ids.shape[:1], ids.shape[1])
    return ((ids == eos).cumsum(1) - (ids == eos).int() == 0).sum(1)  # no eos stands before


class _Grown:
    """What both ways of writing share: which logits may be chosen from."""

    def __init__(self, backbone: Any, prompts: Tensor, special: Special) -> None:
        self.backbone = backbone
        self.banned: Tensor | None = None
        if special.banned:
            self.banned = torch.zeros(backbone.vocab_size, dtype=torch.bool, device=prompts.device)
            self.banned[list(special.banned)] = True

    def _logits(self, hidden: Tensor) -> Tensor:
        """From the newest hidden vectors (B, D)."""
        logits: Tensor = self.backbone.head(hidden)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return logits if self.banned is None else logits.masked_fill(self.banned, -torch.inf)


class _Continued(_Grown):
    """A decoder or an encoder-decoder: hidden (B, D) of the newest token, and the state after it."""

    def __init__(
        self, backbone: Any, prompts: Tensor, keep: Tensor | None, special: Special, max_tokens: int
    ) -> None:
        super().__init__(backbone, prompts, special)
        B, longest = prompts.shape
        place = {"device": prompts.device, "dtype": next(backbone.parameters()).dtype}
        if backbone.family == Family.ENCODER_DECODER:
            assert special.start is not None
            self.state = backbone.start(B, source=prompts, source_keep=keep, max_len=max_tokens, **place)
            prompts, keep = prompts.new_full((B, 1), special.start), None
        else:  # the last token is written, never read
            self.state = backbone.start(B, max_len=longest + max_tokens - 1, **place)
        self._read(prompts, keep)

    def _read(self, ids: Tensor, keep: Tensor | None = None) -> None:
        output = self.backbone.step(ids, self.state, keep)
        self.hidden, self.state = output.hidden[:, -1], output.state

    def logits(self) -> Tensor:
        return self._logits(self.hidden)

    def append(self, ids: Tensor) -> None:
        self._read(ids[:, None])

    def select(self, rows: Tensor) -> None:
        self.hidden, self.state = tree_map_only(
            Tensor, lambda t: t.index_select(0, rows), (self.hidden, self.state)
        )


class _Unmasked(_Grown):
    """An encoder: all ids (B, T) so far, left-padded; beyond max_len it sees the newest alone."""

    def __init__(
        self, backbone: Any, prompts: Tensor, keep: Tensor | None, special: Special, max_tokens: int
    ) -> None:
        super().__init__(backbone, prompts, special)
        assert special.mask is not None
        self.ids, self.mask = prompts, special.mask
        self.keep = torch.ones_like(prompts, dtype=torch.bool) if keep is None else keep

    def logits(self) -> Tensor:
        one = self.ids.new_full((len(self.ids), 1), self.mask)
        ids, keep = torch.cat([self.ids, one], 1), self._longer()
        first = 0 if self.backbone.max_len is None else max(0, ids.shape[1] - self.backbone.max_len)
        return self._logits(self.backbone(ids[:, first:], keep[:, first:]).hidden[:, -1])

    def append(self, ids: Tensor) -> None:
        self.ids = torch.cat([self.ids, ids[:, None]], 1)
        self.keep = self._longer()

    def _longer(self) -> Tensor:
        return torch.cat([self.keep, torch.ones_like(self.keep[:, :1])], 1)

    def select(self, rows: Tensor) -> None:
        self.ids, self.keep = self.ids[rows], self.keep[rows]


def _left_padded(prompts: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Rows that end together, without columns that are pads in all of them; keep None where none is left."""
    if keep is None or bool(keep.all()):
        return prompts, None
    order = torch.argsort(keep.to(torch.uint8), dim=1, stable=True)
    first = prompts.shape[1] - int(keep.sum(1).max())
    prompts, keep = prompts.gather(1, order)[:, first:], keep.gather(1, order)[:, first:]
    return prompts, None if bool(keep.all()) else keep


def _check(
    backbone: Backbone, prompts: Tensor, keep: Tensor | None, special: Special, max_tokens: int
) -> None:
    if not isinstance(backbone, nn.Module):
        raise ValueError(f"backbone is a {type(backbone).__name__}: expected an nn.Module that is a Backbone")
    if prompts.ndim != 2 or prompts.numel() == 0 or prompts.dtype != torch.int64:
        raise ValueError(
            f"prompts are {prompts.dtype} {tuple(prompts.shape)}: expected torch.int64 (batch, length), "
            "both at least 1"
        )
    if keep is not None and (keep.shape != prompts.shape or keep.dtype != torch.bool):
        raise ValueError(
            f"the keep mask of prompts is {keep.dtype} {tuple(keep.shape)}: "
            f"expected torch.bool {tuple(prompts.shape)}"
        )
    counts = torch.tensor(prompts.shape[1]) if keep is None else keep.sum(1)
    if int(counts.min()) == 0:
        raise ValueError(f"row {int(counts.argmin())} of prompts keeps no token: a prompt has at least one")
    if max_tokens < 1:
        raise ValueError(f"max_tokens={max_tokens} must be at least 1")
    needed = {Family.ENCODER: "mask", Family.ENCODER_DECODER: "start"}.get(backbone.family)
    if needed and getattr(special, needed) is None:
        raise ValueError(f"special.{needed}=None, but an {backbone.family} cannot write without: give its id")
    for name in ("start", "eos", "pad", "mask"):
        value = getattr(special, name)
        if value is not None and not 0 <= value < backbone.vocab_size:
            raise ValueError(f"special.{name}={value}: expected an id from 0 to {backbone.vocab_size - 1}")
    banned = set(special.banned)
    if not banned <= set(range(backbone.vocab_size)) or len(banned) == backbone.vocab_size:
        raise ValueError(
            f"special.banned={special.banned}: expected some ids from 0 to {backbone.vocab_size - 1}, not all"
        )
    _check_room(backbone, int(counts.max()), max_tokens)


def _check_room(backbone: Backbone, longest: int, max_tokens: int) -> None:
    limit = backbone.max_len
    if limit is None or backbone.family == Family.ENCODER:
        return
    if backbone.family == Family.ENCODER_DECODER:
        wanted, what = max(longest, max_tokens), "the longer of them needs"
    else:
        wanted, what = longest + max_tokens - 1, "together they need"
    if wanted > limit:
        raise ValueError(
            f"a prompt of {longest} tokens and max_tokens={max_tokens}: {what} {wanted} positions, but the "
            f"backbone has {limit}; shorten one of them"
        )
