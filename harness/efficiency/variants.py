"""What a sweep compares: architectures by name, variants of them by overrides, and options of their parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from archs import checkpointing
from archs.contract import Backbone, Family

from .. import foreign
from ..building import Architecture, architecture
from ..compose import compose
from ..counts import parse_count
from ..diagnose import options_of, parse
from ..errors import ConfigError, nearest, one_line
from ..savers import check_bounded
from ..searchpath import make_loader
from ..strict import as_dict
from .device import choose_precision, kernels
from .subject import DTYPES, operations

FRAME = "gpt"  # what parts are measured in
PARTS = ("mixer", "mlp", "norm", "position")
TRAINING = ("precision", "activation_checkpointing", "chunked_loss")  # keys of trainer.* that cost something
SEGMENTS = "task.segments"
COSTS = frozenset({*(f"trainer.{key}" for key in TRAINING), SEGMENTS})
ALL = "all"


@dataclass(frozen=True)
class Variant:
    """One curve's architecture at one size; `outline` is it on the meta device.

    label     what its curve is called; base: the architecture that it is a variant of
    training  {precision, activation_checkpointing, chunked_loss, segments}
    kernels   {mixer: backend} of those that have several
    """

    label: str
    base: str
    size: int | None
    arch: Architecture
    training: Mapping[str, Any]
    kernels: Mapping[str, str]
    outline: Backbone


def variants(config: DictConfig, size: int | None, device: str, say: Callable[[str], None]) -> list[Variant]:
    """All that the sweep compares, at one size.

    What was asked for by name has to be possible: else ConfigError, in one line. What `all` found and is not
    is left out, and said.
    """
    found: dict[str, Variant] = {}
    for label, lines, named in asked(config):
        try:
            made = variant(config, label, lines, size, device)
        except (ValueError, ImportError) as error:
            if named:
                where = "" if lines == [f"arch={label}"] else f"variants.{label}: "
                raise ConfigError(where + one_line(error)) from error
            say(f"{' '.join(lines)} is left out: {one_line(error)}")
            continue
        known = found.setdefault(made.label, made)  # gpt's own parts are gpt
        if (known.arch.node, known.training) != (made.arch.node, made.training):
            raise ConfigError(
                f"variants.{made.label}: parts has another of that name; call the variant something else"
            )
    if not found:
        raise ConfigError("archs=[] leaves nothing to measure; archs=[gpt,mamba], all, variants or parts")
    return list(found.values())


def asked(config: DictConfig) -> Iterator[tuple[str | None, list[str], bool]]:
    """(label, overrides, whether it was asked for by name) of `archs`, of `variants`, then of `parts`."""
    archs, given, parts = (as_dict(config).get(key) for key in ("archs", "variants", "parts"))
    loader = make_loader()
    names = options_of(loader, "arch") if archs == ALL else archs
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"archs={archs}: archs takes names, as in [gpt,mamba], or all")
    yield from ((name, [f"arch={name}"], archs != ALL) for name in names)
    for label, lines in (given or {}).items():
        if label in names:
            raise ConfigError(f"variants.{label}: archs names it already; call the variant something else")
        yield str(label), _heeded(str(label), lines), True
    for group in _groups(parts):
        for option in options_of(loader, f"arch/{group}"):
            yield None, [f"arch={FRAME}", f"arch/{group}={option}"], False


def _groups(parts: Any) -> Sequence[str]:
    if parts in (ALL, None):
        return PARTS if parts else ()
    if not isinstance(parts, list):
        raise ConfigError(f"parts={parts}: parts takes groups, as in [mixer,position], or all")
    for part in parts:
        if part not in PARTS:
            near = nearest(str(part), PARTS)
            hint = f"nearest: {near}" if near else f"choose from {', '.join(PARTS)}"
            raise ConfigError(f"parts={parts}: there is no group arch/{part}; {hint}")
    return parts


def heeds(line: str, keys: Collection[str] = COSTS) -> bool:
    """Whether an override of archs-train says what is measured: of the architecture, or one of the keys."""
    key = line.split("=")[0].lstrip("+~")
    return key == "arch" or key.startswith(("arch/", "arch.")) or key in keys


def _heeded(label: str, lines: Any) -> list[str]:
    """The overrides of a variant. Raises ConfigError for those that would change nothing."""
    if not (isinstance(lines, list) and lines and all(isinstance(line, str) for line in lines)):
        raise ConfigError(f"variants.{label}={lines}: a variant is a list of overrides, as in ['arch=gpt']")
    for line in lines:
        parse([line])
        if not heeds(line):
            raise ConfigError(
                f"variants.{label}: {line} changes nothing here; a variant takes arch=NAME, arch/PART=..., "
                f"arch.KEY=..., trainer.{{{','.join(TRAINING)}}} and {SEGMENTS}=N"
            )
    return list(lines)


def variant(
    config: DictConfig, label: str | None, lines: Sequence[str], size: int | None, device: str
) -> Variant:
    """One variant, tried on the meta device. Raises ValueError where it cannot be."""
    shared = {**training(config, device), "size": size}
    typed = [f"{key if key == 'size' else f'trainer.{key}'}={_typed(value)}" for key, value in shared.items()]
    composed = compose("train", [*typed, *lines])
    name = str(composed.choices.arch)
    own = {key: composed.trainer[key] for key in TRAINING} | {"segments": composed.task.segments}
    if own["precision"] not in DTYPES:
        raise ConfigError(f"trainer.precision={own['precision']} is not measured; {', '.join(DTYPES)} are")
    arch = architecture(composed, config.vocab_size)
    outline: Any = arch.build(config.vocab_size, "meta")
    checkpointing(outline, own["activation_checkpointing"])
    check_segments(own["segments"], f"arch={name}", [*map(parse_count, config.lengths)], outline)
    S = 8 if arch.family is Family.ENCODER_DECODER else 0
    foreign.guarded(lambda: operations(outline, 1, 8, S), arch.node, "the architecture cannot be counted")
    return Variant(label or name, name.split("+")[0], size, arch, own, kernels(outline, device), outline)


def check_segments(segments: int, arch: str, lengths: Sequence[int], outline: Backbone) -> None:
    """Raise ConfigError unless sequences of all lengths can be trained in so many parts."""
    asked = f"{SEGMENTS}={segments}"
    if segments < 1:
        raise ConfigError(f"{asked}: a sequence is trained in 1 part or more, as in {SEGMENTS}=8")
    if segments == 1:
        return
    if outline.family is not Family.DECODER:
        raise ConfigError(
            f"{asked} hands a state on from part to part, but {arch} is an {outline.family}: use a decoder, "
            "such as mamba"
        )
    if uneven := [length for length in lengths if length % segments]:
        raise ConfigError(
            f"{asked} needs lengths that are multiples of {segments}, and {uneven[0]:,} is none: parts are "
            "as long as one another"
        )
    check_bounded(asked, arch, lengths[-1], outline)


def training(config: DictConfig, device: str) -> dict[str, Any]:
    """What holds for all of the sweep, unless a variant says otherwise."""
    own = {key: config[key] for key in TRAINING}
    return {**own, "precision": choose_precision(str(config.precision), device)}


def _typed(value: Any) -> str:
    return "null" if value is None else str(value).lower()


def sizes(config: DictConfig) -> list[int | None]:
    """The sizes to measure at, each once; None: the widths as written."""
    given: Any = as_dict(config).get("size")
    listed = given if isinstance(given, list) else [given]
    return list(dict.fromkeys(None if size is None else parse_count(size) for size in listed))
