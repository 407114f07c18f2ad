"""Backbones with one thing wrong each, and names that say what."""

import copy
from collections import namedtuple
from functools import partial

import torch
from sample_backbones import Everywhere, Running
from torch import nn

import archs
from archs import Output


class SeesTheNextToken(Running):
    def mean(self, x, kept, state):
        mean, after = super().mean(x, kept, state)
        return mean + 0.1 * torch.cat([x[:, 1:], x[:, :1] * 0], 1), after


class ForgetsThePast(Running):
    def divide(self, total, count):
        return total.diff(dim=1, prepend=total[:, :1] * 0)


class LooksBackOnly(Everywhere):
    def mean(self, x, kept, state):
        super().mean(x, kept, state)
        return (x * kept).cumsum(1) / kept.cumsum(1).clamp(min=1), None


class CountsPads(Everywhere):
    def mean(self, x, kept, state):
        super().mean(x, kept, state)
        return (x * kept).mean(1, keepdim=True).expand_as(x), None


class DividesByNothing(Running):
    """Right in value: what is 0 / 0 is thrown away. Its gradient stays."""

    def divide(self, total, count):
        return torch.where(count > 0, total / count, 0)


class BalancesPads(Running):
    def losses(self, x, kept):
        return {"size": 0.01 * x.square().mean()}


class ForgetsItsCount(Running):
    def after(self, total, count):
        return total, torch.ones_like(count)


class DetachesItsState(Running):
    def after(self, total, count):
        return total.detach(), count


class HoldsItsBatchSecond(Running):
    def mean(self, x, kept, state):
        return super().mean(x, kept, None if state is None else [t.transpose(0, 1) for t in state])

    def after(self, total, count):
        return total.transpose(0, 1), count.transpose(0, 1)

    def start(self, batch, **about):
        return self.after(*super().start(batch, **about))


class CountsForAllRows(Running):
    def mean(self, x, kept, state):
        return super().mean(x, kept, None if state is None else (state[0], state[1][:1].expand(len(x), 1, 1)))


class RemembersTheLastCall(Running):
    last = 0.0

    def mean(self, x, kept, state):
        mean, after = super().mean(x, kept, state)
        last, self.last = self.last, float(x.detach().mean())
        return mean + last, after


class RecomputesSomethingElse(Running):
    activation_checkpointing = False

    def divide(self, total, count):
        mean = super().divide(total, count)
        return mean.detach() if self.activation_checkpointing else mean


class UnderstatesItsState(Running):
    def state_bytes(self, T, S=0, dtype=torch.float32):
        return self.dim * dtype.itemsize


class HoldsMoreThanItsState(Running):
    def after(self, total, count):
        return total.repeat(1, 9, 1)[:, -1:], count


class UnderstatesItsWork(Running):
    def flops(self, T, S=0, scored=None):
        return super().flops(T, S, scored) - 2 * T * self.dim


class IgnoresScored(Running):
    def flops(self, T, S=0, scored=None):
        return super().flops(T, S)


class HoldsAnIdleMatrix(Running):
    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        self.idle = nn.Linear(self.dim, self.dim)


class FlatNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, dim))  # a scale less 1

    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[-1:]) * (1 + self.weight)


class DecaysItsNorm(Running):
    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        self.norm = FlatNorm(self.dim)


class DecaysItsRates(Running):
    """A matrix of scales around 1, unmarked, as a port of Mamba's A_log would be."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        self.rates = nn.Parameter(torch.rand(3, self.dim) + 0.5)

    def divide(self, total, count):
        return super().divide(total, count) * self.rates.mean(0)


class SparesAMatrix(Running):
    no_weight_decay = ("mix.weight",)


class StartsTooLarge(Running):
    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        with torch.no_grad():
            self.output.weight.mul_(10)


class HardlySpeaks(Running):
    def head(self, hidden):
        return 1e-3 * super().head(hidden)


class HasAWrongGradient(Running):
    def divide(self, total, count):
        mean = super().divide(total, count)
        if mean.requires_grad:
            mean.register_hook(lambda gradient: 2 * gradient)
        return mean


class HeadReadsItsNeighbours(Running):
    def head(self, hidden):
        return super().head(hidden - hidden.mean(0, keepdim=True))


class HidesAWeight(Running):
    """Random, and neither a parameter nor a buffer."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        self.hidden = torch.rand(self.dim)

    def divide(self, total, count):
        return super().divide(total, count) + self.hidden.to(total.dtype)


class HidesABuffer(Running):
    """A constant, so that loading into a backbone that was built as usual is right."""

    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        self.register_buffer("slopes", torch.linspace(1, 2, self.dim), persistent=False)

    def divide(self, total, count):
        return super().divide(total, count) * self.slopes


class TiesByAnotherName(Running):
    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        nn.init.normal_(self.embedding.weight, std=0.2)
        self.output.weight = self.embedding.weight


class SeedsItself(Running):
    def __init__(self, vocab_size):
        torch.manual_seed(0)
        super().__init__(vocab_size)


class Rate(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.bias = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.uniform_(self.bias, 2, 3)


class StartsItsPartsAnew(Running):
    def __init__(self, vocab_size):
        super().__init__(vocab_size)
        self.rate = Rate(self.dim)
        self.apply(self.zero_biases)

    def zero_biases(self, module):
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)

    def divide(self, total, count):
        return super().divide(total, count) + self.rate.bias


class SharesItsCopies(Running):
    def __deepcopy__(self, memo):
        return copy.copy(self)


class TakesAnything(Running):
    def check(self, tokens, keep):
        pass


class WritesAnEssay(Running):
    def check(self, tokens, keep):
        try:
            super().check(tokens, keep)
        except ValueError as error:
            raise ValueError(f"{error}\nWhat were you thinking?") from error


class TakesASource(Running):
    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        return super().forward(tokens, keep, state=state)


class TakesAnyState(Running):
    """Of which it reads what it needs."""

    def mean(self, x, kept, state):
        return super().mean(x, kept, None if state is None else [t[: len(x)] for t in state])


class OverwritesItsState(Running):
    """Starts anew when its room is used up."""

    def mean(self, x, kept, state):
        if state is not None and (state[1] == state[2]).all():
            state = [t * 0 for t in state[:2]] + [state[2]]
        mean, after = super().mean(x, kept, None if state is None else state[:2])
        return mean, after and (*after, state[2])

    def start(self, batch, *, max_len, dtype=torch.float32, **about):
        room = torch.full((batch, 1, 1), max_len, dtype=dtype)
        return *super().start(batch, max_len=max_len, dtype=dtype, **about), room

    def state_bytes(self, T, S=0, dtype=torch.float32):
        return (self.dim + 2) * dtype.itemsize


class NamesNoFamily(Running):
    family = "decoder"


class GivesAPair(Running):
    """As many fields as an Output has."""

    def forward(self, *args, **kwargs):
        return Pair(*super().forward(*args, **kwargs))


Pair = namedtuple("Pair", Output._fields)


class HasNoEnd(Running):
    """And says that it has one."""

    max_len = 64


class Deaf(archs.EncoderDecoder):
    """Its decoder is told nothing of the source."""

    def __init__(self, vocab_size):
        mixer = partial(archs.Attention, heads=4)
        super().__init__(vocab_size, 24, 1, mixer, archs.MLP, archs.RMSNorm, archs.Position, archs.LMHead)

    def encode(self, source, source_keep):
        out = super().encode(source, source_keep)
        return out._replace(hidden=torch.zeros_like(out.hidden))
