"""From configuration to objects: backbones at a size, and tasks as one family sees them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from archs import parameter_counts, solve
from archs.contract import Backbone, Family
from tasks.task import Task
from tasks.tokenizer import SPECIAL_TOKENS

from . import foreign
from .compose import compose
from .counts import parse_count
from .errors import ConfigError
from .identity import sources
from .plugins import load_code
from .strict import as_dict, check_signature, prefixed

# Keys that describe an architecture rather than construct it.
DESCRIPTION = ("_target_", "sizing", "start")


@dataclass(frozen=True)
class Architecture:
    """An architecture at its size, ready to be built any number of times.

    name      as on the command line (arch=NAME)
    node      the resolved configuration, solved widths included
    solved    {key: value} that `size=` chose; empty where the widths stand as written
    """

    name: str
    node: dict[str, Any]
    solved: dict[str, int]

    @property
    def family(self) -> Family:
        target: Any = foreign.load(self.node["_target_"], "arch")
        return Family(target.family)

    @property
    def start(self) -> int | None:
        """Id of the decoder's first token (encoder-decoders), else None."""
        token = self.node.get("start")
        return None if token is None else SPECIAL_TOKENS.index(token)

    def build(self, vocab_size: int, device: torch.device | str = "cpu") -> Backbone:
        return construct(self.node, vocab_size, device)


def construct(node: Mapping[str, Any], vocab_size: int, device: torch.device | str = "cpu") -> Backbone:
    """Build a resolved architecture node: its target gets the keys its signature accepts.

    The other scalars (heads, hidden, ...) have done their work: parts read them by interpolation.
    """
    load_code()
    target = foreign.load(node["_target_"], "arch")
    check_signature(node, target)
    accepted = inspect.signature(target).parameters
    chosen = {key: value for key, value in node.items() if key in accepted and key not in DESCRIPTION}

    def make() -> Backbone:
        with torch.device(device):
            backbone: Backbone = target(**built(chosen), vocab_size=vocab_size)
        if foreign.is_foreign(node["_target_"]):
            foreign.check_backbone(backbone, node["_target_"])
        return backbone

    made: Backbone = foreign.guarded(make, node, "the architecture cannot be built")
    return made


def built(node: Any) -> Any:
    """`hydra.utils.instantiate` that lets the errors of what it calls through as they are."""
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        raise (error.__cause__ or error) from None


def unsized(config: DictConfig) -> Architecture:
    """The architecture with its widths as written."""
    return Architecture(config.choices.arch, _resolved(config.arch), {})


@dataclass(frozen=True)
class Goal:
    """What the widths are solved for where it is no number of parameters.

    measure     of a backbone on the meta device, growing with its widths
    asked       what `target` is, for the line that says that it cannot be met
    tolerance   how far off, in parts of the target, the nearest that can be reached may be
    """

    target: float
    measure: Callable[[torch.nn.Module], float]
    asked: str
    tolerance: float


def architecture(
    config: DictConfig, vocab_size: int, goal: Goal | None = None, fixed: Mapping[str, int] | None = None
) -> Architecture:
    """Solve `config.arch` for `config.size` non-embedding parameters (null: the widths as written).

    goal: solve for this instead, at the depth of `config.size`. fixed: keys of the architecture that are
    set first. Raises ValueError if the architecture declares no `sizing`, or no width comes near enough.
    """
    name, size = config.choices.arch, config.size
    if size is None:
        return unsized(config)
    sizing = config.arch.get("sizing")
    if sizing is None:
        raise ValueError(
            f"arch={name} declares no sizing, so size={size} cannot be met: add to its YAML, for example, "
            "sizing: {width: dim, multiple: 16, fine: hidden, depth: {200k: 4, 1M: 5}}, or pass size=null"
        )
    fixed = dict(fixed or {})
    if goal is None:
        about = {"arch": as_dict(config.arch), "fixed": fixed, "sources": sources(_resolved(config.arch))}
        solved = _solved(json.dumps(about, sort_keys=True), size, vocab_size)
    else:
        solved = _solve(config.arch, fixed, size, vocab_size, goal)
    return Architecture(name, _resolved(config.arch, solved), dict(solved))


@lru_cache(maxsize=256)
def _solved(about: str, size: int, vocab_size: int) -> dict[str, int]:
    """The same for parameters, once in a process: the runs of a study differ in rates and seeds more than in
    widths. about: the node as it is written, and the sha256 of a plugin's code, which is part of it."""
    content = json.loads(about)
    return _solve(OmegaConf.create(content)["arch"], content["fixed"], size, vocab_size)


def _solve(
    arch: DictConfig, fixed: Mapping[str, int], size: int, vocab_size: int, goal: Goal | None = None
) -> dict[str, int]:
    """The widths of an architecture that give it `size` parameters, or `goal`; `fixed` among them."""

    def factory(**widths: int) -> torch.nn.Module:
        backbone = construct(_resolved(arch, {**fixed, **widths}), vocab_size, "meta")
        assert isinstance(backbone, torch.nn.Module)
        return backbone

    rule = _rule(as_dict(arch.sizing, resolve=True), arch)
    if goal is None:
        return {**solve(factory, size, **rule), **fixed}
    return {**solve(factory, goal.target, goal.measure, size, goal.tolerance, goal.asked, **rule), **fixed}


def _rule(sizing: Mapping[str, Any], arch: Mapping[str, Any]) -> dict[str, Any]:
    """The `sizing` of an architecture as arguments of `solve`. Raises ConfigError for what they cannot be."""
    parameters = {
        name: p for name, p in inspect.signature(solve).parameters.items() if p.kind is p.KEYWORD_ONLY
    }
    for key in sizing:
        if key not in (*parameters, "state"):
            near = prefixed("arch.sizing", key, [*parameters, "state"])
            raise ConfigError(f"unknown key arch.sizing.{key}; {near}")
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in sizing]
    if missing or not sizing["depth"]:
        raise ConfigError(f"arch.sizing has no {', '.join(missing or ['entry in its depth'])}")
    for key in ("width", "fine", "heads"):
        if sizing.get(key) is not None and sizing[key].split(".")[0] not in arch:
            raise ConfigError(f"arch.sizing.{key}={sizing[key]} is no key of the architecture")
    rule = {name: value for name, value in sizing.items() if name in parameters}
    return {**rule, "depth": {parse_count(at): layers for at, layers in sizing["depth"].items()}}


def _resolved(arch: DictConfig, widths: Mapping[str, int] | None = None) -> dict[str, Any]:
    config = OmegaConf.create({"arch": arch})  # a copy: the caller's stays as composed
    for key, value in (widths or {}).items():
        OmegaConf.update(config, f"arch.{key}", value)
    return as_dict(config.arch, resolve=True)


def build(
    arch: str, *, size: str | int | None = None, vocab_size: int, overrides: Sequence[str] = ()
) -> Backbone:
    """The Python door to an architecture: `build("gpt", size="1M", vocab_size=2048)`.

    overrides: as on the command line, e.g. ["arch/mlp=swiglu", "arch.dropout=0.1"].
    """
    config = compose("train", [f"arch={arch}", f"size={'null' if size is None else size}", *overrides])
    return architecture(config, vocab_size).build(vocab_size)


PARTS = ("corpus", "tokenizer", "objective")  # what a task that trains on text is made of
TOKENIZER = "tokenizer.json"  # of a finished run


def make_task(config: DictConfig, arch: Architecture, tokenizer: Path | None = None) -> Task:
    """The configured task as this architecture's family sees it.

    A task that trains on a corpus takes it, its tokenizer and the objective; a generator takes none. The same
    task is made once in a process: the runs of a study differ in rates and seeds more than in data.

    tokenizer: the file of one that is fitted already; None: that of the run in config.init_from, or where it
    names none, one that is fitted as config.tokenizer says.
    """
    given = {part: as_dict(config[part], resolve=True) for part in PARTS}
    origin = Path(str(config.init_from)).expanduser() / TOKENIZER
    if tokenizer is None and config.init_from is not None and origin.exists():
        tokenizer = origin
    if tokenizer is not None:
        given["tokenizer"] = {"_target_": "tasks.tokenizer.Saved", "path": str(tokenizer)}
    about = {"task": as_dict(config.task, resolve=True), "cache_dir": config.cache_dir, **given}
    return _task(json.dumps(about, sort_keys=True), arch.family, arch.start)


@lru_cache(maxsize=16)  # five folds as three families see them
def _task(about: str, family: Family, start: int | None) -> Task:
    content = json.loads(about)
    target = get_class(content["task"].pop("_target_"))
    accepted = inspect.signature(target).parameters
    given = {part: built(content[part]) for part in PARTS if part in accepted}
    if "cache_dir" in accepted:
        given["cache_dir"] = Path(content["cache_dir"]).expanduser()
    # Called, not instantiated: Hydra would turn a part that is a dataclass back into configuration.
    task: Task = target(**built(content["task"]), **given, family=family, start=start)
    return task


def describe(backbone: Backbone) -> dict[str, int]:
    """{total, non_embedding, active} parameters."""
    assert isinstance(backbone, torch.nn.Module)
    return dict(parameter_counts(backbone))
