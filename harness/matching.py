"""What is made equal between architectures beside the budget: parameters, FLOPs per token, or the state.

match=params  size= non-embedding parameters, as archs.solve meets them.
match=flops   forward FLOPs per corpus token on this task, rows as its own batches have them for this family.
match=state   size= parameters, and bytes of state or cache at the training length, by one knob: the key that
              the architecture's `sizing` names as its `state`, else the one that its mixer declares.

The last two are met against a reference, an architecture with size= parameters on the same task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import nn

from archs import closest, parameter_counts
from archs.contract import Family
from tasks.task import Task

from .budget import BACKWARD, CostModel, mean_cost, sample
from .building import Architecture, Goal, architecture, construct, make_task, unsized
from .compose import compose
from .counts import format_count, parse_count
from .errors import ConfigError, one_line
from .identity import sources
from .strict import as_dict

TOLERANCE = 0.1  # of the target, that the nearest which knobs reach may be off, for FLOPs and state
LARGEST_STATE = 4096  # of a recurrence, per channel, that is tried
UNITS = {"params": "non-embedding parameters", "flops": "forward FLOPs per token", "state": "bytes of state"}


@dataclass(frozen=True)
class Match:
    """What was made equal, and how nearly: written down in run.json as it stands here.

    target, reached   in the units of `kind` (UNITS)
    reference         the architecture whose measure the target is; None where it was given as a number
    solved            {key: value} that was chosen for it
    """

    kind: str
    size: int
    target: float
    reached: float
    reference: str | None
    solved: dict[str, int]

    @property
    def off(self) -> float:
        """How far from the target, in parts of it."""
        return self.reached / self.target - 1

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "off": self.off}

    def line(self, arch: str) -> str:
        """One line for the terminal."""
        chosen = " ".join(f"{key}={value}" for key, value in self.solved.items()) or "widths as written"
        at = f" at size={format_count(self.size)}"
        whose = f" of {self.reference}{at}" if self.reference else at if self.kind == "params" else ""
        off = "exactly" if self.reached == self.target else f"{self.off:+.2%} from"
        return (
            f"match={self.kind}: {arch} has {self.reached:,.0f} {UNITS[self.kind]}, {off} "
            f"the {self.target:,.0f}{whose}: {chosen}"
        )


def matched(config: DictConfig, task: Task) -> tuple[Architecture, Match | None]:
    """The architecture at its size as `match` says, and what was met; None where widths are as written.

    Raises ValueError, in one line, for what cannot be met.
    """
    kind = config.match.kind
    if kind == "params":
        arch = architecture(config, task.vocab_size)
        return arch, None if config.size is None else _met(config, arch, task, float(config.size), None)
    if config.size is None:
        raise ConfigError(f"match={kind} solves widths, so it needs a size: size=1M, say, or match=params")
    given = config.match.flops if kind == "flops" else config.match.bytes
    reference = None if given is not None else str(config.match.reference)
    if kind == "state" and unsized(config).family is Family.ENCODER:
        raise ConfigError(
            f"match=state: arch={config.choices.arch} is an encoder, which carries no state to match; "
            "use match=params or match=flops"
        )
    target = float(parse_count(given)) if given is not None else _of_reference(config)
    arch = _by_flops(config, task, target) if kind == "flops" else _by_state(config, task, target)
    return arch, _met(config, arch, task, target, reference)


def _met(config: DictConfig, arch: Architecture, task: Task, target: float, reference: str | None) -> Match:
    reached = _measure(config, arch, task)
    return Match(config.match.kind, int(config.size), target, reached, reference, dict(arch.solved))


def _measure(config: DictConfig, arch: Architecture, task: Task) -> float:
    """What `match` makes equal, of an architecture as it stands."""
    if config.match.kind == "state":
        return held(arch, task)
    if config.match.kind == "flops":
        return Forward(config, task)(arch.build(task.vocab_size, "meta"))
    about = {"node": arch.node, "sources": sources({"arch": arch.node})}
    return _non_embedding(json.dumps(about, sort_keys=True), task.vocab_size)


@lru_cache(maxsize=256)
def _non_embedding(about: str, vocab_size: int) -> int:
    """Parameters of an architecture, counted once in a process: the runs of a study share few widths. about:
    its resolved node, and the sha256 of a plugin's code, which is part of it."""
    outline = construct(json.loads(about)["node"], vocab_size, "meta")
    assert isinstance(outline, nn.Module)
    return parameter_counts(outline)["non_embedding"]


class Forward:
    """Forward FLOPs per corpus token of a backbone on a task, from some of its own batches.

    From the same ones for every seed and fold, since they decide widths.
    """

    def __init__(self, config: DictConfig, task: Task) -> None:
        if config.task.get("fold") is not None:
            config = config.copy()
            config.task.fold = 0
            task = make_task(config, unsized(config))
        self.task = task
        self.batches = sample(task, seed=0, batch_size=config.batch_size)

    def __call__(self, backbone: Any) -> float:
        cost = mean_cost(self.batches, CostModel(self.task.wrap(backbone)))
        return cost.flops / (1 + BACKWARD) / cost.tokens


# FLOPs ------------------------------------------------------------------------------------------


def _by_flops(config: DictConfig, task: Task, target: float) -> Architecture:
    plain = architecture(config, task.vocab_size)
    forward = Forward(config, task)
    if forward(plain.build(task.vocab_size, "meta")) == target:  # the reference itself
        return plain
    goal = Goal(target, forward, f"match=flops: arch={config.choices.arch}: FLOPs per token", TOLERANCE)
    return architecture(config, task.vocab_size, goal)


# State ------------------------------------------------------------------------------------------


def _by_state(config: DictConfig, task: Task, target: float) -> Architecture:
    name = config.choices.arch
    plain = architecture(config, task.vocab_size)
    if held(plain, task) == target:
        return plain
    knob, width = knob_of(plain, config.match.attention), plain.node["sizing"]["width"]
    found: dict[int, Architecture] = {}

    def measure(value: int) -> float:
        arch = architecture(config, task.vocab_size, fixed={knob: value})
        if arch.solved[width] < plain.solved[width] / 2:
            raise ConfigError(f"match=state: arch.{knob}={value} leaves no room for a width at this size")
        found[value] = arch
        return held(arch, task)

    value = closest(candidates(plain, knob, task), measure, target)
    reached = held(found[value], task)
    if abs(reached / target - 1) > TOLERANCE:
        whose = "asked for" if config.match.bytes is not None else f"those of {config.match.reference}"
        raise ConfigError(
            f"match=state: arch={name} holds {reached:,.0f} bytes at arch.{knob}={value}, the nearest that "
            f"its knob reaches to {target:,.0f} ({whose}); change match.bytes, .reference or .attention"
        )
    return found[value]


def held(arch: Architecture, task: Task) -> float:
    """Bytes of state after the longest row of the task (of source and target, where there are both)."""
    return float(arch.build(task.vocab_size, "meta").state_bytes(task.max_len, task.max_len))


def knob_of(arch: Architecture, attention: str | None) -> str:
    """The key of an architecture, below arch, by which its state is made larger or smaller."""
    named = (arch.node.get("sizing") or {}).get("state")
    if named is not None:
        return str(named)
    for place, mixer in _mixers(arch.node):
        knobs: Sequence[str] = getattr(get_object(mixer["_target_"]), "state_knobs", ())
        if "window" in knobs:
            return f"{place}.{attention or ('kv_heads' if mixer.get('window') is None else 'window')}"
        if knobs:
            return f"{place}.{knobs[0]}"
    raise ConfigError(
        f"match=state: arch={arch.name} declares no knob for its state: its sizing takes state: KEY, "
        "and the class of a mixer state_knobs = (KEY,)"
    )


def _mixers(node: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(key, node) of its mixers, in the order of its pattern where it is a hybrid."""
    if "mixers" in node:
        return [(f"mixers.{name}", node["mixers"][name]) for name in dict.fromkeys(node["pattern"])]
    return [("mixer", node["mixer"])] if "mixer" in node else []


def candidates(arch: Architecture, knob: str, task: Task) -> Sequence[int]:
    """The values of a knob that may be tried, rising."""
    key = knob.rsplit(".", 1)[-1]
    if key == "kv_heads":
        heads = int(OmegaConf.select(OmegaConf.create(arch.node), knob.removesuffix("kv_heads") + "heads"))
        return [n for n in range(1, heads + 1) if heads % n == 0]
    return range(1, (task.max_len if key == "window" else LARGEST_STATE) + 1)


# The reference ----------------------------------------------------------------------------------


def _of_reference(config: DictConfig) -> float:
    """The measure of the reference at the same size, as its own family sees the same task."""
    name = str(config.match.reference)
    try:
        other = config.copy()
        if name != config.choices.arch:
            other.arch = compose("train", [f"arch={name}"]).arch
        with open_dict(other):
            other.choices.arch = name
        return _reference(json.dumps(as_dict(other), sort_keys=True))
    except ValueError as error:
        raise ConfigError(f"match.reference={name}: {one_line(error)}") from error


@lru_cache(maxsize=32)
def _reference(content: str) -> float:
    config = OmegaConf.create(json.loads(content))
    assert isinstance(config, DictConfig)
    bare = unsized(config)
    if config.match.kind == "state" and bare.family is Family.ENCODER:
        raise ConfigError("an encoder carries no state to match; name a decoder, or an encoder-decoder")
    task = make_task(config, bare)
    return _measure(config, architecture(config, task.vocab_size), task)
