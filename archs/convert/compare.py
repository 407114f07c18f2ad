"""Whether two backbones compute the same function of their weights, and where not."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

# What changes how a part starts, trains or is computed, but not the function of its weights.
INCIDENTAL = {"init", "dropout", "backend", "chunk"}
SHARED = ("dim", "vocab_size")  # said once, of the backbone
SCALARS = (bool, int, float, str, type(None))


def differences(found: nn.Module, wanted: nn.Module) -> list[str]:
    """What makes `found` another function than `wanted`, in words; empty where they differ in weights alone.

    Compared are the parts, their settings and the shapes of their weights; both may be on the meta device.
    What differs in several layers is said once, of the first.
    """
    said: dict[str, str] = {}
    for path, one, other in _walk("", found, wanted, shapes=True):
        words = f"{path or 'the backbone'} is {one} instead of {other}"
        said.setdefault(re.sub(r"\.\d+\.", ".N.", path), words)
    return list(said.values())


def _walk(path: str, one: nn.Module, other: nn.Module, shapes: bool) -> Iterator[tuple[str, Any, Any]]:
    """(path, what it is in one, what in the other) where they differ, from the outside in."""

    def at(name: str) -> str:
        return f"{path}.{name}".lstrip(".")

    if type(one) is not type(other):
        yield path, type(one).__name__, type(other).__name__
        return
    if isinstance(one, nn.Dropout):
        return
    mine, theirs = _settings(one), _settings(other)
    for name in mine:  # what only one of them holds as a setting is a weight or a part of the other
        if name in theirs and not _equal(mine[name], theirs[name]) and not (path and name in SHARED):
            shapes = False  # they follow
            yield at(name), _shown(mine[name]), _shown(theirs[name])
    if shapes:
        for name, first, second in _pairs(_tensors(one), _tensors(other)):
            if _shape(first) != _shape(second):
                yield at(name), _shape(first), _shape(second)
    for name, a, b in _pairs(dict(one.named_children()), dict(other.named_children())):
        if a is None or b is None:
            first, second = ("absent" if part is None else type(part).__name__ for part in (a, b))
            yield at(name), first, second
        else:
            yield from _walk(at(name), a, b, shapes)


def _pairs(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in one | other:
        yield name, one.get(name), other.get(name)


def _settings(module: nn.Module) -> dict[str, Any]:
    """The arguments of its constructor that a part of ours keeps; of torch's modules, eps."""
    if type(module).__module__.startswith("torch."):
        names = ["eps"] if hasattr(module, "eps") else []
    else:
        names = [*inspect.signature(type(module).__init__).parameters, "scale", "eps"]
    held = vars(module)
    return {
        name: held[name]
        for name in dict.fromkeys(names)
        if name in held
        and name not in INCIDENTAL
        and (isinstance(held[name], SCALARS) or callable(held[name]))
    }


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Its own parameters and saved buffers."""
    prefix = tuple(f"{name}." for name, _ in module.named_children())
    return {name: t for name, t in module.state_dict().items() if not name.startswith(prefix)}


def _shape(tensor: torch.Tensor | None) -> str:
    return "absent" if tensor is None else f"of shape {tuple(tensor.shape)}"


def same_activation(one: Any, other: Any) -> bool:
    """By what they do: a copy of one is another object."""
    probe = torch.linspace(-3.0, 3.0, 13, dtype=torch.float64, device="cpu")
    return torch.equal(one(probe), other(probe))


def _equal(one: Any, other: Any) -> bool:
    return same_activation(one, other) if callable(one) and callable(other) else bool(one == other)


def _shown(value: Any) -> str:
    if callable(value):
        inner = getattr(value, "func", value)
        options = ", ".join(f"{key}={item}" for key, item in getattr(value, "keywords", {}).items())
        return f"{inner.__name__}({options})" if options else str(inner.__name__)
    return str(value)
