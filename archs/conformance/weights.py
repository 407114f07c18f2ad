"""Weights: how they start, what decays, and that they come back from a file."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from archs.conformance.subject import VOCAB, Subject, perturb, reading, tokens
from archs.counting import decay_groups

RARE = 6.0  # standard errors


def decayed(backbone: nn.Module) -> dict[str, bool]:
    """Every parameter's name, and whether weight decay pulls it to 0."""
    names = {parameter: name for name, parameter in backbone.named_parameters()}
    groups = decay_groups(backbone, 1.0)
    return {names[p]: group["weight_decay"] > 0 for group in groups for p in group["params"]}


def parts(backbone: nn.Module) -> Iterator[Any]:
    """Modules that can say how they start: `reset_parameters()`, or with the depth of the stack. Not torch's
    own, which a part may start in a way of its own."""
    module: Any
    for module in backbone.modules():
        if hasattr(module, "reset_parameters") and not type(module).__module__.startswith("torch."):
            arguments = inspect.signature(module.reset_parameters).parameters.values()
            if all(
                argument.name == "depth" or argument.default is not argument.empty for argument in arguments
            ):
                yield module


def restart(part: Any) -> None:
    part.reset_parameters(
        **({"depth": 1} if "depth" in inspect.signature(part.reset_parameters).parameters else {})
    )


class Weights(Subject):
    def _logits(self, backbone: Any) -> Tensor:
        with torch.no_grad():
            hidden = backbone(tokens(2, self._longest(backbone)), **reading(backbone)).hidden
            logits: Tensor = backbone.head(hidden)
        return logits

    def test_weights_come_back_from_a_file(self) -> None:
        """state_dict through safetensors, into a backbone that was built from another seed."""
        backbone = self._made()
        with torch.no_grad():
            for tensor in backbone.state_dict().values():
                if tensor.is_floating_point():
                    tensor.add_(0.01)  # buffers, too
        try:
            file = save({name: tensor.contiguous() for name, tensor in backbone.state_dict().items()})
        except RuntimeError as error:
            raise AssertionError(
                f"safetensors refuses the state dict: {error}. A tied weight is one Parameter of one name."
            ) from error
        other = self._built(seed=1).to(self.dtype)
        other.load_state_dict(load(file))
        self._equal(
            self._logits(other),
            self._logits(backbone),
            "logits before saving and after loading into a new backbone",
            "What the function depends on is a parameter or a buffer of the state dict, or follows from the "
            "arguments of the constructor.",
        )

    def test_a_seed_says_how_weights_start(self) -> None:
        first, second, other = (self._built(seed=seed).state_dict() for seed in (0, 0, 1))
        differ = [name for name in first if not torch.equal(first[name], second[name])]
        assert not differ, (
            f"built twice from one seed, {', '.join(differ)} differ: draw from torch's global random numbers"
        )
        assert any(not torch.equal(first[name], other[name]) for name in first), (
            "two seeds gave the same weights: the constructor must not seed"
        )

    def test_wrapping_changes_nothing(self) -> None:
        """In another module, through training mode and back, and copied: the same function."""
        backbone = self._made()
        expected, before = self._logits(backbone), decayed(backbone)
        where = "A wrapper must not start weights anew, and weights must not hide from it."
        wrapper = nn.ModuleDict({"backbone": backbone}).train().to(self.dtype).eval()
        self._equal(self._logits(wrapper["backbone"]), expected, "logits in another module", where)
        within = {name.removeprefix("backbone."): decays for name, decays in decayed(wrapper).items()}
        assert within == before, "in another module, weight decay spares other parameters"
        other = copy.deepcopy(backbone)
        self._equal(self._logits(other), expected, "logits of a deep copy", where)
        perturb(other)
        self._equal(self._logits(backbone), expected, "logits of the original, its copy changed", where)

    def test_the_meta_device_holds_its_shape(self) -> None:
        """`size=` counts parameters there; what is materialised and loaded is right, or fails aloud."""
        backbone = self._made()
        with torch.device("meta"):
            other: Any = self.build(VOCAB)
        shapes = [{name: p.shape for name, p in model.named_parameters()} for model in (backbone, other)]
        assert shapes[0] == shapes[1], "on the meta device other parameters are built: see archs.sizing.solve"
        T = self._longest(backbone)
        assert other.flops(T) == backbone.flops(T), "flops says something else on the meta device"
        other = other.to_empty(device="cpu").to(self.dtype).eval()
        with torch.no_grad():
            for tensor in (*other.parameters(), *other.buffers()):
                if tensor.is_floating_point():
                    tensor.fill_(torch.nan)  # what memory happened to hold
        other.load_state_dict(backbone.state_dict())
        try:
            found = self._logits(other)
        except (RuntimeError, IndexError):  # what was not loaded cannot be read: no silent error
            return
        self._equal(
            found,
            self._logits(backbone),
            "built on the meta device, materialised with to_empty and loaded, and built as usual",
            "A buffer that is not saved (persistent=False) is not loaded either: compute it in forward.",
        )

    def test_parts_start_as_they_say(self) -> None:
        """What weight decay spares has a special start (steps of a recurrence, scales): nobody undid it."""
        backbone = self._built()
        again = copy.deepcopy(backbone)
        owned = {parameter for part in parts(again) for parameter in part.parameters()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            for part in parts(again):
                restart(part)
        fresh, named = dict(again.named_parameters()), dict(backbone.named_parameters())
        for name, decays in decayed(backbone).items():
            if decays or fresh[name] not in owned:
                continue
            ours, theirs = named[name].detach().double(), fresh[name].detach().double()
            error = (ours.std(correction=0) + theirs.std(correction=0)) / ours.numel() ** 0.5
            assert abs(ours.mean() - theirs.mean()) <= RARE * error + 1e-6, (
                f"{name} starts around {float(ours.mean()):.3g}, but its part's reset_parameters gives "
                f"{float(theirs.mean()):.3g}: something (an apply over all modules?) started it once more"
            )

    def test_decay_spares_scales_and_biases(self) -> None:
        """Matrices decay. Vectors, and what starts away from 0 to stay there, do not."""
        backbone = self._built()
        decays = decayed(backbone)
        named = dict(backbone.named_parameters())
        assert decays.keys() == named.keys(), "a parameter is in no group: see archs.decay_groups"
        how = "name it in its module's no_weight_decay (archs.decay_groups)"
        for name, parameter in named.items():
            if not decays[name]:
                continue
            assert parameter.numel() > max(parameter.shape), (
                f"{name} of shape {tuple(parameter.shape)} is a vector, and decays: {how}"
            )
            values = parameter.detach().double()
            error = values.std() / values.numel() ** 0.5
            assert abs(values.mean()) <= RARE * error, (
                f"{name} starts around {float(values.mean()):.3g}, not 0, and decays, but a scale, a rate or "
                f"a norm's weight is not to be pulled to 0: {how}"
            )
        for path, module in backbone.named_modules():
            if isinstance(module, nn.Linear):
                name = f"{path}.weight".lstrip(".")
                assert decays.get(name, True), (
                    f"{name} is the matrix of a linear map, and is spared from weight decay: unmark it"
                )
