"""Finished runs as objects: `load(run_dir)` and weights to start from. No pickle is ever read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import get_class
from omegaconf import OmegaConf
from safetensors.torch import load_file

from archs.contract import Backbone
from tasks.task import Task
from tasks.tokenizer import Tokenizer

from . import pretrained
from .building import TOKENIZER, Architecture, make_task
from .record import DamagedRecord, read_record

FILES = ("config.yaml", "model.safetensors", "run.json")


@dataclass(frozen=True)
class Loaded:
    """A finished run: its backbone in eval mode and its resolved configuration."""

    folder: Path
    config: dict[str, Any]
    arch: Architecture
    backbone: Backbone

    @cached_property
    def task(self) -> Task:
        """The task as the run saw it, made again from its data."""
        own = self.folder / TOKENIZER
        task = make_task(OmegaConf.create(self.config), self.arch, own if own.exists() else None)
        before = read_record(self.folder)["digests"]
        changed = [name for name, digest in task.digests.items() if before.get(name) != digest]
        if changed:
            raise ValueError(
                f"run={self.folder}: the data have changed since it was trained: {', '.join(changed)}"
            )
        return task

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """The run's own tokenizer; None where the task has no text."""
        path = self.folder / TOKENIZER
        return Tokenizer.load(path) if path.exists() else None


def run_folder(path: str | Path, key: str = "run") -> Path:
    """`path` as the folder of a finished run. Raises ValueError naming what is missing, as of `key`=path."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        near = sorted(str(p.parent) for p in folder.parent.glob("*/run.json"))[:3]
        hint = f"; here are {', '.join(near)}" if near else ""
        raise ValueError(f"{key}={path} is not a folder{hint}")
    missing = [name for name in FILES if not (folder / name).exists()]
    if missing:
        raise ValueError(f"{key}={path} is not a finished run: it has no {', '.join(missing)}")
    return folder


def load(path: str | Path) -> Loaded:
    """Load a finished run from its folder. Its task and tokenizer are read when they are asked for."""
    folder = run_folder(path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    arch = Architecture(config["choices"]["arch"], config["arch"], {})
    task: Any = get_class(config["task"]["_target_"])
    backbone = task.wrap(arch.build(vocab_size(folder)))
    backbone.load_state_dict(load_file(folder / "model.safetensors"))
    backbone.eval()
    return Loaded(folder, config, arch, backbone)


def vocab_size(folder: Path) -> int:
    """Of the run in `folder`. Raises DamagedRecord where its record does not say."""
    record = read_record(folder)
    if "vocab_size" not in record:
        raise DamagedRecord(f"{folder / 'run.json'}: not a finished run's record, it has no 'vocab_size'")
    return int(record["vocab_size"])


def origin(init_from: str, arch: Architecture, vocab_size: int) -> str:
    """What a run starts from, as part of its identity: a run's own, or the sha256 of a model's weights.

    Raises ValueError where there is neither, or where a model is not this architecture.
    """
    model = pretrained.folder_of(init_from)
    if model is None:
        return str(read_record(run_folder(init_from, "init_from"))["identity"])
    pretrained.check(arch, vocab_size, model)
    return pretrained.digest(model)


def init_weights(backbone: Backbone, init_from: str) -> None:
    """Start `backbone` from weights of the same shapes (starting.py: what a run takes over besides).

    init_from: the folder of a finished run, or hf:FOLDER of a model that transformers saved.
    """
    assert isinstance(backbone, torch.nn.Module)
    model = pretrained.folder_of(init_from)
    if model is not None:
        pretrained.load_into(backbone, model)
        return
    folder = run_folder(init_from, "init_from")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    found, wanted = load_file(folder / "model.safetensors"), backbone.state_dict()
    for name in sorted(found.keys() | wanted.keys()):
        theirs, ours = found.get(name), wanted.get(name)
        if theirs is None or ours is None or theirs.shape != ours.shape:
            shape = [None if t is None else tuple(t.shape) for t in (theirs, ours)]
            raise ValueError(
                f"init_from={init_from} ({config['choices']['arch']}) does not fit: {name} is {shape[0]} "
                f"there and {shape[1]} here; use the same arch, size and tokenizer"
            )
    backbone.load_state_dict(found)
