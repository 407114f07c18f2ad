"""archs-eval: a finished run's metrics again, from its files; and the test split, read once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from . import record
from .errors import ConfigError, one_line, one_line_errors
from .loading import Loaded, load
from .longer import at_lengths
from .sheets import Sheet
from .streaming import streamed
from .transfer import evaluated

TEST = "test.json"
APART = ("clusters", "by_position", "by_depth")  # metrics that are no single number


def run(config: DictConfig) -> int:
    """Evaluate config.run on config.split: on its own task beside what its record says, at other lengths, as
    a stream, or on config.task."""
    with one_line_errors():
        way = other_way(config)
        loaded = load(config.run)
        title = f"{loaded.folder.name} · {config.split}"
        if way == "task":
            metrics, baselines = evaluated(loaded, config)
            shots = "" if config.shots is None else f" · {config.shots} shots"
            sheets = [beside(f"{title} · {config.choices.task}{shots}", {"now": metrics, **baselines})]
        elif way == "length":
            sheets = list(at_lengths(loaded, config, title))
        elif way is not None:
            sheets = [streamed(loaded, config)]
        else:
            task = loaded.task
    if way is None:
        now, known = task.evaluate(loaded.backbone, config.split), recorded(loaded, config.split)
        sheets = [beside(title, {"now": now, "in the record": known})]
    for sheet in sheets:
        sheet.print(Console())
    return 0


def other_way(config: DictConfig) -> str | None:
    """Which key asks for anything but the run's own task as it was; None where none does.

    Raises ConfigError where several do.
    """
    asked = [key for key in ("task", "length", "stream", "text") if config[key] not in (None, False)]
    if len(asked) > 1:
        raise ConfigError(f"{' and '.join(f'{key}=' for key in asked)} exclude each other: give one of them")
    if config.shots is not None and "task" not in asked:
        raise ConfigError(
            f"shots={config.shots} needs a task with labels: task=classification task.files=..."
        )
    return asked[0] if asked else None


def beside(title: str, columns: Mapping[str, Mapping[str, Any]]) -> Sheet:
    """Metrics by name, a column for each source of them; the first says which metrics."""
    names = [name for name in next(iter(columns.values())) if name not in APART]
    rows = [[name, *(values.get(name) for values in columns.values())] for name in names]
    return Sheet(title, ["metric", *columns], rows)


def recorded(loaded: Loaded, split: str) -> dict[str, Any]:
    """The metrics that the run folder holds for `split`; empty where there are none yet."""
    if split == "validation":
        return dict(record.read_record(loaded.folder)["validation"])
    return record.read_json(loaded.folder / TEST) if (loaded.folder / TEST).exists() else {}


def test(folder: Path) -> None:
    """Evaluate a finished run on the test split and write test.json; a run that has one is left alone.

    The split is read once, after everything is chosen: what it says can no longer change what is reported.
    """
    if (folder / TEST).exists():
        return
    loaded = load(folder)
    metrics = loaded.task.evaluate(loaded.backbone, "test")
    metrics["baselines"] = loaded.task.baselines("test")
    metrics["evaluated"] = record.now()
    record.write_json(folder / TEST, metrics)


def test_all(folders: Sequence[Path]) -> int:
    """`test` every folder; returns 1 where one could not be judged, which is a line on stderr, else 0.

    Whatever is wrong with one (damaged weights, too little memory), those behind it are judged.
    """
    status = 0
    for folder in folders:
        try:
            test(folder)
        except Exception as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            print(f"{folder}: not judged on the test split: {kind}{one_line(error)}", file=sys.stderr)
            status = 1
    return status
