"""init_from=RUN: a run that goes on from a finished one takes over its tokenizer and its architecture.

Whatever of the two the command line leaves as it is becomes the finished run's, solved widths and all; what
it sets to something else is refused, by name, before any work.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.utils import get_class
from omegaconf import DictConfig, open_dict

from archs.contract import Backbone
from tasks.task import Task

from . import pretrained
from .building import TOKENIZER, Architecture, unsized
from .compose import compose
from .counts import format_count
from .errors import ConfigError, note
from .freezing import answers, output_tables
from .identity import canonical
from .loading import init_weights, run_folder, vocab_size
from .strict import as_dict, leaves, shown

FREE = ("dropout", "backend", "chunk")  # keys that a run may choose anew: they make no other weights


def folder_of(config: DictConfig) -> Path | None:
    """The folder of the finished run that `config` starts from; None where it starts from no run."""
    init_from = config.init_from
    if init_from is None or pretrained.folder_of(init_from) is not None:
        return None
    return run_folder(init_from, "init_from")


def with_tokenizer(config: DictConfig) -> DictConfig:
    """`config` with the tokenizer of the run that it starts from, where it starts from one and reads text.

    Raises ConfigError where the command line asks for another one, or that run has none.
    """
    folder = folder_of(config)
    if folder is None or not reads_text(config):
        return config
    theirs = run_config(folder)
    if not (folder / TOKENIZER).exists():
        raise ConfigError(
            f"init_from={config.init_from} was trained on {theirs['choices']['task']}, which has no "
            f"tokenizer, but task={config.choices.task} reads text: start from a run on text, or from none"
        )
    ours, usual = as_dict(config.tokenizer), as_dict(compose("train").tokenizer)
    wanted, said = canonical(theirs["tokenizer"]), spelled(theirs["choices"], theirs["tokenizer"])
    if canonical(ours) not in (wanted, canonical(usual)):
        raise ConfigError(
            f"init_from={config.init_from} has {said}, and this run {spelled(config.choices, ours)}: "
            "weights need the tokenizer that they were trained with; leave tokenizer= out"
        )
    config = config.copy()
    with open_dict(config):
        config.tokenizer = theirs["tokenizer"]
        config.choices.tokenizer = theirs["choices"]["tokenizer"]
    return config


def taken_over(config: DictConfig, vocabulary: int) -> Architecture | None:
    """The architecture of the run that `config` starts from; None where it starts from no run.

    vocabulary: of this run's task. Raises ConfigError, naming what differs, where the command line asks for
    another architecture, size or vocabulary.
    """
    folder = folder_of(config)
    if folder is None:
        return None
    theirs = run_config(folder)
    differing = list(differences(config, theirs))
    if not differing and vocabulary != vocab_size(folder):
        task = config.choices.task
        differing = [f"it has {vocab_size(folder)} tokens, and task={task} needs {vocabulary}"]
    if differing:
        raise ConfigError(f"init_from={config.init_from} does not fit: {'; '.join(differing)}")
    node = copy.deepcopy(theirs["arch"])
    for key, value in leaves(unsized(config).node):
        if key.split(".")[-1] in FREE:
            replace(node, key, value)
    return Architecture(config.choices.arch, node, {})


def start_weights(backbone: Backbone, init_from: str, task: Task) -> None:
    """Start `backbone` from finished weights, but for the rows of its output table that name classes.

    These stay as the run's own seed drew them. Classes are sentinels, of which span corruption trains the
    first at the place where a class is asked for, and which other objectives never show: as pretraining left
    them, families would begin with unequal rows. Where the table is the input's too, nothing else is changed,
    since no source holds a sentinel.
    """
    rows = torch.as_tensor(answers(task))
    tables = output_tables(backbone) if len(rows) else []
    drawn = [(table, table[rows].clone()) for table in tables]
    init_weights(backbone, init_from)
    with torch.no_grad():
        for table, fresh in drawn:
            table[rows] = fresh


def check_positions(config: DictConfig, needed: int, there_are: int | None) -> None:
    """Raise ConfigError where the task needs more positions than the architecture, or the weights, have."""
    if there_are is None or needed <= there_are:
        return
    task, arch = config.choices.task, config.choices.arch
    if config.init_from is not None:
        raise ConfigError(
            f"task={task} needs {needed} positions but init_from={config.init_from} was trained with a "
            f"position table of {there_are}: shorten the task, or start from a longer one"
        )
    raise ConfigError(
        f"task={task} needs {needed} positions but arch={arch} has a position table of {there_are}: "
        "raise arch.position.max_len, shorten the task, or pick arch/position=rope"
    )


def announce(config: DictConfig) -> None:
    """Say what the run takes over besides weights; `config` is as `with_tokenizer` gives it."""
    if folder_of(config) is not None and reads_text(config):
        note(f"init_from={config.init_from}: {spelled(config.choices, as_dict(config.tokenizer))}, as there")


def reads_text(config: DictConfig) -> bool:
    """Whether the configured task takes a tokenizer."""
    return "tokenizer" in inspect.signature(get_class(config.task._target_)).parameters


def run_config(folder: Path) -> dict[str, Any]:
    """The resolved configuration of the finished run in `folder`."""
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return config


def spelled(choices: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """ "tokenizer=bpe tokenizer.vocab_size=512"."""
    keys = [f"tokenizer.{key}={shown(value)}" for key, value in node.items() if key != "_target_"]
    return " ".join([f"tokenizer={choices.get('tokenizer')}", *keys])


def differences(config: DictConfig, theirs: Mapping[str, Any]) -> Iterator[str]:
    """ "it has arch=bert, and this run arch=gpt". An architecture's name says all that was changed of it."""
    names = [bound(choices["arch"]) for choices in (theirs["choices"], config.choices)]
    if names[0] != names[1]:
        yield f"it has arch={names[0]}, and this run arch={names[1]}"
    if canonical(theirs["size"]) != canonical(config.size):
        yield f"it has size={counted(theirs['size'])}, and this run size={counted(config.size)}"
    kinds = [node.get("match", {}).get("kind", "params") for node in (theirs, config)]
    if kinds[0] != kinds[1]:
        yield f"it has match={kinds[0]}, and this run match={kinds[1]}"


def counted(value: Any) -> str:
    """200k rather than 200000."""
    value = canonical(value)
    return format_count(value) if isinstance(value, int) else shown(value)


def bound(name: str) -> str:
    """An architecture's name ("gpt+depth=8+dropout=0.1") without what a run may choose anew."""
    first, *changes = name.split("+")
    return "+".join([first, *(c for c in changes if c.split("=")[0].split(".")[-1] not in FREE)])


def replace(node: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of a node, where there is one."""
    *path, last = key.split(".")
    for name in path:
        node = node.get(name, {})
    if last in node:
        node[last] = value
