"""archs-eval: a finished run's metrics again, from its files; and the test split, read once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from . import record
from .errors import one_line_errors
from .loading import Loaded, load

TEST = "test.json"


def run(config: DictConfig) -> int:
    """Evaluate config.run on config.split and print it beside what its record says."""
    with one_line_errors():
        loaded = load(config.run)
        task = loaded.task
    metrics = task.evaluate(loaded.backbone, config.split)
    known = recorded(loaded, config.split)
    table = Table(title=f"{loaded.folder.name} · {config.split}", box=SIMPLE_HEAD, title_justify="left")
    for heading in ("metric", "now", "in the record"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for name, value in metrics.items():
        if name != "clusters":
            table.add_row(name, shown(value), shown(known.get(name)))
    Console().print(table)
    return 0


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


def test_all(folders: Sequence[Path]) -> None:
    """`test` every folder, with a progress bar."""
    for folder in track(folders, "test split", console=Console(stderr=True), transient=True):
        test(folder)
