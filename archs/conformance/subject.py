"""What is under test: the author's backbone, and what all checks ask of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest
import torch
from torch import Tensor

from archs.contract import Backbone, Family

VOCAB = 61  # odd and prime: nothing divides it by accident


class Subject(ABC):
    """The base of all checks. `build` must be given; the rest has defaults that suit most.

    dtype          in which equalities are checked. An architecture that is bound to float32 sets that, and
                   `tolerance` with it; its gradients are then not compared with differences.
    tolerance      largest difference that counts as equal, where values are of order 1.
    length         longest sequence in a check. A multiple of the architecture's windows and chunks, and
                   longer than them, so that their borders are crossed.
    loss_band      how far from ln(vocabulary) the loss may start, in nats.
    learning_rate  at which AdamW learns one batch by heart.
    """

    dtype: torch.dtype = torch.float64
    tolerance: float = 1e-9
    length: int = 12
    loss_band: tuple[float, float] = (-0.1, 1.0)
    learning_rate: float = 1e-2

    @abstractmethod
    def build(self, vocab_size: int) -> Backbone:
        """A new backbone with untrained weights, small (a width of 24, two layers), drawn from torch's
        global random numbers, without dropout."""

    def flops_beyond_products(self, T: int, S: int) -> int:
        """What `flops(T, S)` counts beside matrix products and attention, which are counted as they happen.

        A scan, a convolution: count them by their definition, not by the code of `flops`. Negative where
        more is multiplied than is declared, as by causal attention that is not torch's own.
        """
        return 0

    def _built(self, vocab_size: int = VOCAB, seed: int = 0) -> Any:
        """As `build` gives it, in eval mode, from a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            backbone: Any = self.build(vocab_size)
        assert isinstance(backbone, torch.nn.Module), (
            f"build gave a {type(backbone).__name__}: a backbone is a torch.nn.Module (archs.contract)"
        )
        return backbone.eval()

    def _made(self) -> Any:
        """In `dtype`, with every parameter moved away from its special first value (0, 1, ...), since a
        bias that is still 0 hides that it is added to the wrong place."""
        return perturb(self._built().to(self.dtype))

    def _longest(self, backbone: Any) -> int:
        return min(self.length, backbone.max_len or self.length)

    def _skip(self, backbone: Any, family: Family, why: str) -> None:
        if backbone.family == family:
            pytest.skip(f"a backbone of family {family} {why}")

    def _equal(self, ours: Tensor, expected: Tensor, what: str, where: str, slack: float = 1.0) -> None:
        """AssertionError naming `what` differs, and `where` to look."""
        __tracebackhide__ = True
        assert ours.shape == expected.shape, (
            f"{what}: shape {tuple(ours.shape)}, expected {tuple(expected.shape)}. {where}"
        )
        if not ours.numel():
            return
        allowed = slack * self.tolerance * max(1.0, float(expected.detach().abs().max()))
        moved = float((ours - expected).detach().abs().max())
        assert moved <= allowed, f"{what}: they differ by {moved:.2g}, {allowed:.0e} is allowed. {where}"


def perturb(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Add noise of 0.1 to every parameter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * noise.to(parameter.dtype))
    return module


def tokens(rows: int, length: int, seed: int = 0, vocab_size: int = VOCAB) -> Tensor:
    return torch.randint(vocab_size, (rows, length), generator=torch.Generator().manual_seed(seed))


def changed(x: Tensor, at: int) -> Tensor:
    """Tokens x (B, T) with another one at `at`, in every row."""
    y = x.clone()
    y[:, at] = (y[:, at] + 1) % VOCAB
    return y


def reading(backbone: Any, rows: int = 2, length: int = 7) -> dict[str, Tensor]:
    """The source that an encoder-decoder needs besides its tokens; nothing for others."""
    if backbone.family != Family.ENCODER_DECODER:
        return {}
    return {"source": tokens(rows, length, seed=9)}


def masks(rows: int, length: int, seed: int) -> Tensor:
    """keep (rows, length): holes anywhere, no row empty."""
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(rows, length, generator=generator) < 0.6
    keep[:, int(torch.randint(length, (1,), generator=generator))] = True
    return keep


def cross_entropy(
    backbone: Any, x: Tensor, target: Tensor, **read: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss in nats of predicting target (B, T), and the backbone's own losses."""
    out = backbone(x, **read)
    logits = backbone.head(out.hidden)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten()), out.aux
