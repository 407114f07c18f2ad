"""The smallest honest backbones, written without our parts."""

import torch
from torch import nn

from archs import Family, Output
from archs.inputs import check_tokens


class Mean(nn.Module):
    """Each token, and the mean of those that it sees."""

    max_len = None

    def __init__(self, vocab_size, dim=24):
        super().__init__()
        self.vocab_size, self.dim = vocab_size, dim
        self.embedding = nn.Embedding(vocab_size, dim)
        self.mix = nn.Linear(dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, vocab_size)

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        self.check(tokens, keep)
        if source is not None or source_keep is not None:
            raise ValueError(f"a {self.family} takes no source")
        x = self.embedding(tokens)
        kept = torch.ones_like(tokens, dtype=torch.bool) if keep is None else keep
        mean, after = self.mean(x, kept[..., None].to(x.dtype), state)
        return Output(self.norm(x + self.mix(mean)), after, self.losses(x, kept))

    def check(self, tokens, keep):
        check_tokens(tokens, keep, self.vocab_size)

    def losses(self, x, kept):
        return {}

    def head(self, hidden):
        return self.output(hidden)

    def flops(self, T, S=0, scored=None):
        return 2 * T * self.dim**2 + 2 * (T if scored is None else scored) * self.dim * self.vocab_size


class Everywhere(Mean):
    family = Family.ENCODER

    def mean(self, x, kept, state):
        if state is not None:
            raise ValueError("an encoder takes no state")
        return ((x * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True).clamp(min=1)).expand_as(x), None

    def state_bytes(self, T, S=0, dtype=torch.float32):
        return 0


class Running(Mean):
    family = Family.DECODER

    def mean(self, x, kept, state):
        total, count = (0, 0) if state is None else state
        if state is not None and len(total) != len(x):
            raise ValueError(f"the state is of {len(total)} rows, tokens of {len(x)}")
        total, count = total + (x * kept).cumsum(1), count + kept.cumsum(1)  # (B, T, D), (B, T, 1)
        after = None if state is None else self.after(total[:, -1:].clone(), count[:, -1:].clone())
        return self.divide(total, count), after

    def divide(self, total, count):
        return total / count.clamp(min=1)

    def after(self, total, count):
        return total, count

    def start(self, batch, *, source=None, source_keep=None, max_len, device="cpu", dtype=torch.float32):
        return tuple(torch.zeros(batch, 1, n, device=device, dtype=dtype) for n in (self.dim, 1))

    def step(self, tokens, state, keep=None):
        return self(tokens, keep, state=state)

    def state_bytes(self, T, S=0, dtype=torch.float32):
        return (self.dim + 1) * dtype.itemsize
