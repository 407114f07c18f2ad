"""init_from=hf:FOLDER: runs that start from a model which transformers saved.

The architecture of the run has to be the model's, part by part. Where it is not, the overrides that make it
so are found by composing them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor, nn

from archs import EncoderDecoder, from_hf
from archs.convert import differences, outline, same_activation, weight_files
from archs.mlp import ACTIVATIONS

from .building import Architecture, unsized
from .compose import compose
from .errors import ConfigError
from .strict import leaves

PREFIX = "hf:"
SIBLINGS = {"t5": ("t5", "t5_v1_1")}  # one class of transformers, two architectures here
FREE = ("dropout", "init", "backend", "chunk")  # make no other function


def _has_bias(part: Any) -> bool:
    """Of a norm or a head, its own; of other parts, that of their maps, of which one speaks for all."""
    for name in ("out", "down", "dense"):
        part = getattr(part, name, part)
    return "bias" in dict(part.named_parameters())


# Settings that a part does not keep under their own names.
READ: dict[str, Callable[[Any], Any]] = {
    "bias": _has_bias,
    "eps": lambda part: getattr(part, "norm", part).eps,
    "conv": lambda part: part.taps,
    "tied": lambda part: part.output is None,
    "scaled": lambda part: part.scale != 1.0,
    "fixed_bias": lambda part: "bias" in dict(part.named_buffers()),
}


def folder_of(init_from: str) -> Path | None:
    """FOLDER of hf:FOLDER; None where init_from names a run."""
    if not init_from.startswith(PREFIX):
        return None
    return Path(init_from.removeprefix(PREFIX)).expanduser()


def digest(folder: Path) -> str:
    """sha256 of the weights, one file after the other."""
    sha = hashlib.sha256()
    for file in weight_files(folder):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def load_into(backbone: nn.Module, folder: Path) -> None:
    """The model's weights, into a backbone that `check` found nothing to say about."""
    backbone.load_state_dict(from_hf(folder).state_dict())


def check(arch: Architecture, vocab_size: int, folder: Path) -> None:
    """Raise ValueError unless the model in `folder` is this architecture, with as many tokens."""
    name, model = outline(folder)
    problems = differences(_meta(arch, model), model)
    said = []
    if vocab_size != model.vocab_size:
        said.append(f"the model has {model.vocab_size} tokens and this run's vocabulary {vocab_size}")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        overrides, left = fitting(name, model, _own(arch))
        said.append("; ".join(problems[:3]) + more)
        said.append(f"use {' '.join(overrides)}")
        said += [f"which no override changes: {'; '.join(left[:3])}"] if left else []
    if said:
        raise ValueError(f"init_from={PREFIX}{folder} does not fit: {'; '.join(said)}")


def fitting(name: str, model: Any, chosen: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The overrides that compose `model` (of arch=name), and what differs even so.

    chosen: values by key that the command line has chosen, named where they would stand in the way.
    """
    options = []
    for arch in SIBLINGS.get(name, (name,)):
        overrides = _overrides([f"arch={arch}", "size=null"], model, chosen)
        options.append((_left(overrides, model), overrides))
    left, overrides = min(options, key=lambda option: (len(option[0]), len(option[1])))
    return overrides, left


def _own(arch: Architecture) -> dict[str, Any]:
    """{key: value} of what is not as its YAML has it."""
    usual = dict(leaves(unsized(compose("train", [f"arch={arch.name.split('+')[0]}", "size=null"])).node))
    return {key: value for key, value in leaves(arch.node) if usual.get(key) != value}


def _meta(arch: Architecture, model: Any) -> nn.Module:
    """The architecture on the meta device, with the model's vocabulary."""
    made = arch.build(model.vocab_size, "meta")
    assert isinstance(made, nn.Module)
    return made


def _left(overrides: Sequence[str], model: Any) -> list[str]:
    """What differs from `model` in what these overrides compose."""
    try:
        return differences(_meta(unsized(compose("train", overrides)), model), model)
    except (ConfigError, ValueError) as error:
        return [str(error)]


def _overrides(start: list[str], model: Any, chosen: Mapping[str, Any]) -> list[str]:
    """`start`, and whatever has to be added to it to compose the model."""
    arch = compose("train", start).arch
    raw: Any = OmegaConf.to_container(arch, resolve=False)
    wanted = _settings(raw, model)
    # What is written is compared as it is; what follows from other keys (null, ${...}), once these are set.
    written = [key for key in wanted if not _derived(key, raw)]
    needed = {key for key in written if OmegaConf.select(arch, key) != wanted[key]}
    try:
        made = _meta(unsized(compose("train", [*start, *_spelled(wanted, needed)])), model)
        found = _settings(raw, made)
    except ValueError:  # they do not go together yet
        found = {}
    needed |= {key for key in wanted if found.get(key) != wanted[key]}
    needed |= {key for key in wanted if chosen.get(key, wanted[key]) != wanted[key]}
    return [*start, *_spelled(wanted, needed)]


def _spelled(wanted: Mapping[str, Any], needed: Collection[str]) -> list[str]:
    return [f"arch.{key}={_written(value)}" for key, value in wanted.items() if key in needed]


def _derived(key: str, raw: Any) -> bool:
    """Does its YAML leave the value of a key to others?"""
    for name in key.split("."):
        raw = raw[name]
    return raw is None or (isinstance(raw, str) and raw.startswith("${"))


def _settings(raw: Any, model: Any) -> dict[str, Any]:
    """What the model's parts say about the keys of an architecture: {key: value}."""
    stacks = [model.encoder, model.decoder] if isinstance(model, EncoderDecoder) else [model.stack]
    layers, norms = list(stacks[0].layers), (stacks[0].final_norm, stacks[0].embed_norm)
    found: dict[str, Any] = {"dim": model.dim, "depth": len(layers)}
    if len(stacks) == 2 and len(stacks[1].layers) != len(layers):
        found["decoder_depth"] = len(stacks[1].layers)
    norm = next((norm for norm in norms if not isinstance(norm, nn.Identity)), norms[0])
    parts = {"norm": norm, "position": stacks[0].position, "head": model.lm_head}
    if model.lm_head.transform is not None:
        parts["head.transform"] = model.lm_head.transform
    if "mlp" in layers[0]:
        parts["mlp"] = layers[0]["mlp"].fn
    mixers = [layer["mixer"].fn for layer in layers]
    if "mixers" in raw:
        names = [_name_of(mixer, raw["mixers"]) for mixer in mixers]
        parts |= {f"mixers.{name}": mixer for name, mixer in zip(names, mixers, strict=True)}
        if names != [raw["pattern"][i % len(raw["pattern"])] for i in range(len(names))]:
            found["pattern"] = names
    else:
        parts["mixer"] = mixers[0]
    for path, part in parts.items():
        node = raw
        for key in path.split("."):
            node = node.get(key) or {}
        for key, shared, value in _of_part(node, part):
            general = shared or f"{path}.{key}"
            # One key of arch can say one thing: a part that differs from those before it says its own.
            found[general if found.get(general, value) == value else f"{path}.{key}"] = value
    return found


def _written(value: Any) -> str:
    """As on the command line."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"[{','.join(value)}]" if isinstance(value, list) else str(value)


def _name_of(mixer: nn.Module, nodes: Mapping[str, Any]) -> str:
    """Which of the named mixers it is: one of its class, with a window if it has one."""
    for name, node in nodes.items():
        windows = node.get("window"), getattr(mixer, "window", None)
        if node["_target_"].endswith(f".{type(mixer).__name__}") and len({w is None for w in windows}) == 1:
            return name
    return next(iter(nodes))


def _of_part(node: Mapping[str, Any], part: Any) -> Iterator[tuple[str, str | None, Any]]:
    """(key, the key of arch that it refers to, value) of what a part says about its YAML."""
    for key, written in node.items():
        if key in FREE or not (key in READ or key in vars(part)):
            continue
        value = READ[key](part) if key in READ else vars(part)[key]
        if isinstance(value, nn.Module | Tensor):
            continue
        if key == "act":
            value = next(name for name, act in ACTIVATIONS.items() if same_activation(act, value))
        shared = re.fullmatch(r"\$\{arch\.(\w+)\}", str(written))
        yield key, shared and shared[1], value
