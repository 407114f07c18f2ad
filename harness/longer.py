"""archs-eval run=RUN length=...: a finished run at other lengths than it was trained on.

A learned table of positions is asked no further than it was trained: what the rows behind hold is noise.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from archs.contract import Family
from tasks.contexts import named, values
from tasks.language import LanguageTask
from tasks.supervised import SupervisedTask
from tasks.synthetic.mqar import MQAR

from .building import TOKENIZER, make_task
from .errors import ConfigError
from .loading import Loaded
from .record import read_record
from .sheets import Sheet


def at_lengths(loaded: Loaded, config: DictConfig, title: str) -> Iterator[Sheet]:
    """The run at each of config.length. Raises ValueError, in one line, for a run that cannot."""
    lengths = sorted(set(config.length if OmegaConf.is_list(config.length) else [config.length]))
    kind: Any = get_class(loaded.config["task"]["_target_"])
    if issubclass(kind, LanguageTask):
        yield from _contexts(loaded, lengths, config.split, title)
    elif issubclass(kind, SupervisedTask) and "beyond" in inspect.signature(kind).parameters:
        yield from _parts(longer(loaded, kind, lengths), loaded, config.split, title)
    else:
        raise ConfigError(
            f"length={lengths}: examples of task={loaded.config['choices']['task']} are as long as they are; "
            "language, needle and the generated tasks that have a key task.beyond can be asked at others"
        )


def longer(loaded: Loaded, kind: type[SupervisedTask], lengths: Sequence[int]) -> SupervisedTask:
    """The run's task with these lengths beyond what was trained on, which is reported anyway.

    Raises ValueError where the task cannot be so long, or its data are no longer what they were.
    """
    node = loaded.config["task"]
    trained = lengths_of(node, kind)
    new = [length for length in lengths if length not in trained]
    if shorter := [length for length in new if length < max(trained)]:
        raise ConfigError(
            f"length={shorter}: run={loaded.folder} was trained on {', '.join(map(str, trained))}; "
            "give longer ones"
        )
    beyond: list[Any] = list(new)
    if issubclass(kind, MQAR):
        beyond = [[length, pairs] for length in new for pairs in pairs_of(node)]
    own = loaded.folder / TOKENIZER
    changed = {**loaded.config, "task": {**node, "beyond": beyond}}
    try:
        task = make_task(OmegaConf.create(changed), loaded.arch, own if own.exists() else None)
    except ValueError as error:
        raise ConfigError(f"length={lengths}: {error}") from None
    before = read_record(loaded.folder)["digests"]
    moved = [name for name in ("corpus", "tokenizer") if task.digests.get(name) != before.get(name)]
    if moved:
        raise ConfigError(
            f"run={loaded.folder}: the data have changed since it was trained: {', '.join(moved)}"
        )
    assert isinstance(task, SupervisedTask)
    return task


def lengths_of(node: Mapping[str, Any], kind: type[SupervisedTask]) -> list[int]:
    """The lengths that a task is trained on, from its configuration."""
    if node.get("segments"):
        return sorted({length for length, _ in node["segments"]})
    length = node.get("length", inspect.signature(kind).parameters["length"].default)
    return [length] if isinstance(length, int) else sorted(length)


def pairs_of(node: Mapping[str, Any]) -> list[int]:
    """The numbers of pairs that recall is trained on."""
    if node.get("segments"):
        return sorted({pairs for _, pairs in node["segments"]})
    return [node["pairs"]] if isinstance(node["pairs"], int) else list(node["pairs"])


def _parts(task: SupervisedTask, loaded: Loaded, split: str, title: str) -> Iterator[Sheet]:
    """Accuracy by part and by depth."""
    found = task.evaluate(loaded.backbone, split)
    metrics = list(dict.fromkeys([task.primary, "accuracy"]))
    rows = [["trained", *(found[name] for name in metrics)]]
    for part in (*task.parts(split), *task.further(split)):
        rows.append([part, *(found[f"{name}_{part}"] for name in metrics)])
    yield Sheet(explained(title, rows, task.reach(loaded.backbone)), ["part", *metrics], rows)
    if "by_depth" in found:
        by_depth: dict[str, dict[str, float]] = found["by_depth"]
        depths = sorted({depth for row in by_depth.values() for depth in row}, key=int)
        rows = [[part, *map(row.get, depths)] for part, row in by_depth.items()]
        about = "right answers by depth, in percent: 100 is right before the question"
        yield Sheet(about, ["part", *depths], rows)


def _contexts(loaded: Loaded, lengths: Sequence[int], split: str, title: str) -> Iterator[Sheet]:
    """Bits per byte by length of context and, for decoders, by position in the longest window."""
    task = loaded.task
    assert isinstance(task, LanguageTask)
    everything = sorted({task.contexts[0], *lengths})
    try:
        contexts = task.behind(everything, split)
    except ValueError as error:
        raise ConfigError(f"length={list(lengths)}: {error}") from None
    reach = task.reach(loaded.backbone)
    found = values(contexts.evaluate(loaded.backbone, task.continuation_prompt, reach))
    rows = [[f"{context:,}", found[named(context)]] for context in everything]
    yield Sheet(explained(title, rows, reach), ["bytes of context", task.primary], rows)
    if loaded.arch.family is Family.DECODER:
        by_position = contexts.by_position(loaded.backbone, reach)
        rows = [
            [f"{int(n):,} to {2 * int(n) - 1:,}" if n != "1" else n, bpb] for n, bpb in by_position.items()
        ]
        yield Sheet("every token of the longest windows", ["tokens before it", "bits per byte"], rows)


def explained(title: str, rows: Sequence[Sequence[Any]], reach: int | None) -> str:
    """The title, and why some of the rows have no number."""
    if all(None not in row for row in rows):
        return title
    return f"{title} · –: longer than its table of positions was trained to, {reach:,} tokens"
