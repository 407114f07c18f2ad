"""It starts where it should, its gradients are right, and it learns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from archs.conformance.attention import attention_by, eager
from archs.conformance.subject import Subject, cross_entropy, reading, tokens
from archs.contract import Checkpointable, Family
from archs.counting import decay_groups
from archs.recompute import checkpointing

STEPS = 150  # at most, to learn 16 tokens by heart
LEARNED = 0.2  # of ln(vocabulary), the loss at which they are
EPSILON = 1e-6  # half the distance between the two values of a difference


class _Summed(nn.Module):
    """One number of all that a backbone computes, for gradients."""

    def __init__(self, backbone: Any, x: Tensor, read: dict[str, Tensor]) -> None:
        super().__init__()
        self.backbone, self.x, self.read = backbone, x, read
        generator = torch.Generator().manual_seed(1)
        self.weights = torch.randn(*x.shape, backbone.vocab_size, generator=generator, dtype=torch.float64)

    def forward(self) -> Tensor:
        out = self.backbone(self.x, **self.read)
        logits = self.backbone.head(out.hidden)
        return (logits * self.weights.to(logits.dtype)).mean() + sum(out.aux.values())


class Learning(Subject):
    def test_loss_starts_in_its_band(self) -> None:
        """ln(vocabulary), plus what the spread of the logits and a tied head's own token add."""
        V = 509
        backbone = self._built(V)
        T = self._longest(backbone)
        x = tokens(256 // T, T, vocab_size=V)
        read = {"source": x.flip(1)} if backbone.family == Family.ENCODER_DECODER else {}
        with torch.no_grad():
            loss = float(cross_entropy(backbone, x, x.roll(-1, 1), **read)[0])
        low, high = (math.log(V) + nats for nats in self.loss_band)
        assert low < loss < high, (
            f"the loss of random tokens starts at {loss:.3f} nats, expected {low:.3f} to {high:.3f} "
            f"(ln {V} = {math.log(V):.3f}): logits start too large, or a token sees what it predicts. "
            "Look at the initialisation of the embedding and the head; loss_band of the test can be wider."
        )

    def _train(self, steps: int, until: float) -> tuple[dict[str, float], float]:
        """The largest gradient that each parameter ever got, and the last loss."""
        backbone = self._built().train()
        T = min(8, self._longest(backbone))
        x, read = tokens(2, T), reading(backbone)
        optimizer = torch.optim.AdamW(decay_groups(backbone, 0.0), lr=self.learning_rate)
        largest = {name: 0.0 for name, p in backbone.named_parameters() if p.requires_grad}
        loss = math.inf
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for _ in range(steps):
                scored, aux = cross_entropy(backbone, x, x.roll(-1, 1), **read)
                optimizer.zero_grad()
                (scored + sum(aux.values())).backward()
                for name, parameter in backbone.named_parameters():
                    if parameter.grad is not None:
                        largest[name] = max(largest[name], float(parameter.grad.abs().max()))
                optimizer.step()
                loss = float(scored.detach())
                if loss < until:
                    break
        return largest, loss

    def test_every_parameter_gets_a_gradient(self) -> None:
        largest, _ = self._train(steps=5, until=0.0)
        dead = [name for name, value in largest.items() if value == 0.0]
        assert not dead, (
            f"no gradient ever reached {', '.join(dead)}: they are never used, cut off by a detach or by a "
            "multiplication with 0. What is not learned is a buffer, or has requires_grad=False."
        )
        broken = [name for name, value in largest.items() if not math.isfinite(value)]
        assert not broken, f"the gradients of {', '.join(broken)} are not finite"

    def test_one_batch_is_learned_by_heart(self) -> None:
        until = LEARNED * math.log(self._built().vocab_size)
        _, loss = self._train(STEPS, until)
        assert loss < until, (
            f"16 tokens, shown {STEPS} times, are still predicted at {loss:.2f} nats, expected are less than "
            f"{until:.2f} at learning_rate={self.learning_rate}: does the loss reach all layers, do hidden "
            "values differ between positions?"
        )

    def test_gradients_are_those_of_the_function(self) -> None:
        """Of every parameter, along one direction: the backward pass against a difference of two values."""
        if self.dtype is not torch.float64:
            pytest.skip(f"differences say nothing in {self.dtype}")
        backbone = self._made()
        summed = _Summed(backbone, tokens(2, min(5, self._longest(backbone))), reading(backbone, length=3))
        named = [(name, p) for name, p in summed.named_parameters() if p.requires_grad]
        gradients = torch.autograd.grad(summed(), [p for _, p in named], materialize_grads=True)
        for (name, parameter), gradient in zip(named, gradients, strict=True):
            along = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2), dtype=self.dtype)
            along /= along.norm()
            step = EPSILON * along
            with torch.no_grad():
                ahead = functional_call(summed, {name: parameter + step}, ())
                behind = functional_call(summed, {name: parameter - step}, ())
            expected, found = float((ahead - behind) / (2 * EPSILON)), float((gradient * along).sum())
            assert abs(found - expected) <= 1e-5 * float(gradient.norm()) + 1e-8, (
                f"the gradient of {name.removeprefix('backbone.')} is {found:.6g} along a direction in which "
                f"the function grows by {expected:.6g}: look at backward passes written by hand"
            )

    def test_recomputed_activations_change_nothing(self) -> None:
        """With activation_checkpointing, in training: values, gradients and the draws of dropout."""
        backbone = self._made().train()
        if not any(isinstance(module, Checkpointable) for module in backbone.modules()):
            pytest.skip("it keeps its activations: see archs.contract.Checkpointable")
        summed = _Summed(backbone, tokens(2, self._longest(backbone)), reading(backbone))
        named = [(name, p) for name, p in summed.named_parameters() if p.requires_grad]
        found = []
        with torch.random.fork_rng(devices=[]):
            for on in (False, True):
                checkpointing(backbone, on)
                torch.manual_seed(0)
                value = summed()
                gradients = torch.autograd.grad(value, [p for _, p in named], materialize_grads=True)
                found.append([value, *gradients])
        names = ["the value", *(f"the gradient of {name.removeprefix('backbone.')}" for name, _ in named)]
        for name, kept, computed in zip(names, *found, strict=True):
            where = "What is computed again has to be what was computed, from the same inputs."
            self._equal(computed, kept, f"{name}, activations computed again and kept", where)

    def test_attention_is_its_formula(self) -> None:
        """softmax(q k^T * scale + mask) v written out gives the same, in value and in gradient."""
        backbone = self._made()
        calls = 0

        def formula(*args: Any, **kwargs: Any) -> Tensor:
            nonlocal calls
            calls += 1
            return eager(*args, **kwargs)

        summed = _Summed(backbone, tokens(2, self._longest(backbone)), reading(backbone))
        named = [(name, p) for name, p in summed.named_parameters() if p.requires_grad]
        ours = summed()
        found = torch.autograd.grad(ours, [p for _, p in named], allow_unused=True)
        with attention_by(formula):
            expected = summed()
            theirs = torch.autograd.grad(expected, [p for _, p in named], allow_unused=True)
        if not calls:
            pytest.skip("it calls neither archs.attend nor torch's scaled_dot_product_attention")
        where = "Look at masks, scale, grouped heads and biases as they are handed to torch."
        self._equal(ours, expected, "attention as computed and by its formula", where)
        for (name, _), mine, other in zip(named, found, theirs, strict=True):
            if mine is not None and other is not None:
                name = name.removeprefix("backbone.")
                self._equal(
                    mine, other, f"the gradient of {name}, attention as computed and by its formula", where
                )
