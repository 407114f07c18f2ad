"""archs-eval: a finished run's metrics again, from its files; and the test split, read once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from . import record
from .errors import ConfigError, one_line, one_line_errors
from .loading import Loaded, load
from .transfer import evaluated

TEST = "test.json"


def run(config: DictConfig) -> int:
    """Evaluate config.run on config.split: on its own task beside what its record says, or on config.task."""
    with one_line_errors():
        if config.shots is not None and config.task is None:
            raise ConfigError(
                f"shots={config.shots} needs a task with labels: task=classification task.files=..."
            )
        loaded = load(config.run)
        title = f"{loaded.folder.name} · {config.split}"
        if config.task is not None:
            metrics, baselines = evaluated(loaded, config)
            shots = "" if config.shots is None else f" · {config.shots} shots"
            show(f"{title} · {config.choices.task}{shots}", {"now": metrics, **baselines})
            return 0
        task = loaded.task
    known = recorded(loaded, config.split)
    show(title, {"now": task.evaluate(loaded.backbone, config.split), "in the record": known})
    return 0


def show(title: str, columns: Mapping[str, Mapping[str, Any]]) -> None:
    """Metrics by name, a column for each source of them; the first says which metrics."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for heading in ("metric", *columns):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for name in next(iter(columns.values())):
        if name != "clusters":
            table.add_row(name, *(shown(values.get(name)) for values in columns.values()))
    Console().print(table)


def recorded(loaded: Loaded, split: str) -> dict[str, Any]:
    """The metrics that the run folder holds for `split`; empty where there are none yet."""
    if split == "validation":
        return dict(record.read_record(loaded.folder)["validation"])
    return record.read_json(loaded.folder / TEST) if (loaded.folder / TEST).exists() else {}


def shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


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
    """`test` every folder; returns 1 where one could not be judged, which is a line on stderr, else 0."""
    status = 0
    for folder in folders:
        try:
            test(folder)
        except ValueError as error:
            print(f"{folder}: not judged on the test split: {one_line(error)}", file=sys.stderr)
            status = 1
    return status
