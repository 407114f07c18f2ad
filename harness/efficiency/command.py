"""archs-bench: what each architecture costs as sequences grow."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from .records import failed
from .sweep import sweep
from .table import remarks, tables


def run(config: DictConfig) -> int:
    """Run the sweep of conf/bench.yaml and print its tables; points go to results_dir/study_name/bench.

    Running out of memory or time is a result; returns 1 if a point failed otherwise.
    """
    folder = Path(config.results_dir) / config.study_name / "bench"
    results, console = sweep(config, folder), Console()
    for table in tables(results):
        console.print(table)
    for line in remarks(results):
        console.print(line, markup=False, highlight=False)
    console.print(f"points: {folder}; pictures and fits: archs-report study_name={config.study_name}")
    return 1 if any(map(failed, results)) else 0
