"""What values may be: ranges and choices of plain keys, checked before anything heavy is imported."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from .counts import is_count, parse_count
from .errors import ConfigError, nearest
from .strict import as_dict, leaves, resolve, shown


class Rule(NamedTuple):
    """holds(value), and what to say of a value for which it does not: "takes <wanted>"."""

    holds: Callable[[Any], bool]
    wanted: str
    choices: tuple[str, ...] = ()


def choose(*names: str) -> Rule:
    return Rule(lambda value: value in names, f"one of {', '.join(names)}", names)


def number(low: float, high: float = float("inf"), *, above: bool = False) -> Rule:
    """Numbers from low to high, `low` itself excluded if `above`."""

    def inside(value: Any) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return (low < value if above else low <= value) and value <= high

    end = "" if high == float("inf") else f" and at most {high:g}"
    return Rule(inside, f"a number {'above' if above else 'of at least'} {low:g}{end}")


def maybe(rule: Rule) -> Rule:
    return Rule(lambda value: value is None or rule.holds(value), f"{rule.wanted}, or null")


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


COUNT = Rule(number(1).holds, "a whole number of at least 1")
WRITTEN_COUNT = Rule(lambda value: is_count(value) and parse_count(value) > 0, "a count (200k, 2M, 5e6)")
LENGTHS = Rule(
    lambda value: value != [] and all(map(COUNT.holds, value if isinstance(value, list) else [value])),
    "a whole number of at least 1, or a list of them, as in [256,512]",
)
RISING = Rule(
    lambda value: (
        isinstance(value, list)
        and value != []
        and all(map(WRITTEN_COUNT.holds, value))
        and all(low < high for low, high in pairwise(map(parse_count, value)))
    ),
    "a rising list of lengths in tokens, as in [512,1024,2048]",
)
SIZES = Rule(
    lambda value: (
        value != [] and all(map(maybe(WRITTEN_COUNT).holds, value if isinstance(value, list) else [value]))
    ),
    "a whole number of at least 1, or null",
)
MODES = Rule(
    lambda value: isinstance(value, list) and value != [] and {*value} <= {"tokens", "single"},
    "a list of tokens, single, or both",
)
POSITIVE = number(0, above=True)
SHARE = number(0, 1)
BETAS = Rule(
    lambda value: isinstance(value, list) and len(value) == 2 and all(map(SHARE.holds, value)),
    "two numbers between 0 and 1, as in [0.9,0.95]",
)
PROMPT = Rule(
    lambda value: value != [] and all(map(_is_text, value if isinstance(value, list) else [value])),
    "text, or a list of texts",
)
RUN = Rule(
    lambda value: (Path(str(value)).expanduser() / "run.json").is_file(),
    "the folder of a finished run, as in results/runs/STUDY/NAME",
)

ORIGIN = Rule(
    lambda value: (
        RUN.holds(value)
        or (str(value).startswith("hf:") and (Path(str(value)[3:]).expanduser() / "config.json").is_file())
    ),
    f"{RUN.wanted}, or hf:FOLDER of a model that transformers saved (nothing is downloaded)",
)

# archs-eval names one; of archs-generate it is true or false.
STREAMS = ("documents", "joined")
STREAM = Rule(
    lambda value: value is None or isinstance(value, bool) or value in STREAMS,
    "one of documents, joined, or null",
    STREAMS,
)

RULES: dict[str, Rule] = {
    # every run
    "size": SIZES,  # archs-bench takes several
    "seed": number(0),
    "batch_size": COUNT,
    "evaluations": number(0),
    "checkpoint": choose("last", "best"),
    "init_from": maybe(ORIGIN),
    "freeze": maybe(choose("backbone")),
    "match.kind": choose("params", "flops", "state"),
    "match.flops": maybe(WRITTEN_COUNT),
    "match.bytes": maybe(WRITTEN_COUNT),
    "match.attention": maybe(choose("kv_heads", "window")),
    "budget.kind": choose("steps", "tokens", "flops", "seconds"),
    "budget.steps": COUNT,
    "budget.tokens": COUNT,
    "budget.flops": COUNT,
    "budget.seconds": POSITIVE,
    "optim.name": choose("adamw"),
    "optim.lr": POSITIVE,
    "optim.betas": BETAS,
    "optim.eps": number(0),
    "optim.weight_decay": number(0),
    "optim.warmup": SHARE,
    "optim.schedule": choose("cosine", "constant"),
    "optim.final_lr_fraction": SHARE,
    "optim.clip": maybe(POSITIVE),
    "trainer.accelerator": choose("auto", "cpu", "gpu", "cuda", "mps"),
    "trainer.devices": COUNT,
    "trainer.num_nodes": COUNT,
    "trainer.strategy": choose("auto", "ddp", "ddp_spawn", "fsdp"),
    "trainer.precision": choose("32-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true"),
    "trainer.accumulate_grad_batches": COUNT,
    "trainer.num_workers": number(0),
    "trainer.threads": maybe(COUNT),
    "tokenizer.vocab_size": COUNT,
    # studies, length sweeps, text, lists
    "hang_after": POSITIVE,
    "split": choose("validation", "test"),
    "shots": maybe(Rule(lambda value: isinstance(value, int) and value >= 0, "a whole number of at least 0")),
    "vocab_size": COUNT,
    "tokens_per_batch": COUNT,
    "threads": maybe(COUNT),
    "lengths": RISING,
    "modes": MODES,
    "device": choose("auto", "cpu", "cuda"),
    "precision": choose("auto", "32-true", "bf16-mixed", "bf16-true"),
    "seconds_per_point": POSITIVE,
    "memory": maybe(WRITTEN_COUNT),
    "max_tokens": COUNT,
    "samples": COUNT,
    "prompt": PROMPT,
    "temperature": maybe(number(0)),
    "top_k": maybe(COUNT),
    "top_p": maybe(number(0, 1, above=True)),
    "beams": COUNT,
    "length_penalty": Rule(number(float("-inf")).holds, "a number"),
    "length": maybe(LENGTHS),  # archs-list takes one alone
    "stream": STREAM,
    "text": maybe(Rule(lambda value: Path(str(value)).expanduser().is_file(), "a text file that exists")),
}


# Loggers that come as an extra of the same name: the modules of which one has to be installed.
LOGGERS = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "mlflow_skinny"),
}


def validate(config: DictConfig, rules: Mapping[str, Rule] = RULES) -> None:
    """Check plain values, and that results can be written. Raises ConfigError."""
    for key, value in leaves(as_dict(config)):
        if value == "???":
            raise ConfigError(f"{key} is required: {key}=...")
    resolve(config)
    absent = object()
    for key, rule in rules.items():
        value = OmegaConf.select(config, key, default=absent)
        plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if value is not absent and not rule.holds(plain):
            near = nearest(str(plain), rule.choices)
            hint = f"; nearest: {near}" if near else ""
            raise ConfigError(f"{key}={shown(plain)}: {key} takes {rule.wanted}{hint}")
    check_logger(str(OmegaConf.select(config, "logger._target_")))
    if "results_dir" in config and "progress" in config:  # a command that writes there
        check_writable(Path(str(config.results_dir)))


def check_logger(target: str) -> None:
    """Raise ConfigError where the package behind a logger is not installed."""
    for name, modules in LOGGERS.items():
        if target.lower().endswith(f".{name}logger") and not any(map(find_spec, modules)):
            raise ConfigError(f"logger={name} needs the package {modules[0]}: pip install 'archs[{name}]'")


def check_writable(folder: Path) -> None:
    """Raise ConfigError unless `folder` can be made and written into; leaves nothing behind."""
    place = folder.expanduser().absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise ConfigError(f"results_dir={folder}: {place} is a file, not a folder")
    try:
        tempfile.TemporaryFile(
            dir=place
        ).close()  # permission bits say nothing to root or of a read-only disk
    except OSError as error:
        raise ConfigError(f"results_dir={folder}: {place} cannot be written ({error.strerror})") from error
