"""archs-bench: what each architecture costs as sequences grow.

A point is (architecture, length). Every point is measured in a fresh process (see point.py); architectures
take turns at each length, so that a noisy minute hurts all alike. A point that runs out of memory or time is
a result: the rest of its curve is skipped, and the sweep goes on. Finished points are kept and not repeated.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .building import Architecture, architecture
from .compose import compose
from .counts import format_count, parse_count
from .errors import one_line_errors
from .point import REPEATS
from .record import read_json, write_json
from .searchpath import child_environment

OVER = ("out-of-memory", "over-time", "failed")  # longer points would end the same way


@dataclass(frozen=True)
class Point:
    """One architecture at one length; `spec` is everything that decides its result.

    setting: what all points of a sweep share, in words. path: a file of its own for every spec.
    """

    arch: str
    length: int
    setting: str
    spec: dict[str, Any]
    path: Path

    def known(self) -> dict[str, Any] | None:
        """The result of an earlier sweep with the same spec, else None."""
        return dict(read_json(self.path)) if self.path.exists() else None


def digest(spec: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def points(config: DictConfig, folder: Path) -> Iterator[Point]:
    """All points, length by length, architectures taking turns. Raises ValueError for a bad list."""
    lengths = [parse_count(length) for length in config.lengths]
    if not lengths or lengths != sorted(set(lengths)) or lengths[0] < 1:
        raise ValueError(
            f"lengths={list(config.lengths)} must be positive and rising, e.g. lengths=[512,2048]"
        )
    size = "null" if config.size is None else config.size
    archs = {
        name: architecture(compose("train", [f"arch={name}", f"size={size}"]), config.vocab_size)
        for name in config.archs
    }
    tokens = config.tokens_per_batch
    for length in lengths:
        for name, arch in archs.items():
            yield point(config, folder, name, arch, length, max(1, tokens // length))


def point(config: DictConfig, folder: Path, name: str, arch: Architecture, length: int, batch: int) -> Point:
    spec = {
        "arch": with_positions(arch.node, length + REPEATS[1] + 2),
        "name": name,
        "length": length,
        "batch": batch,
        "vocab_size": config.vocab_size,
        "threads": config.threads,
        "seconds": config.seconds_per_point,
        "memory": None if config.memory is None else parse_count(config.memory),
    }
    size = "widths as written" if config.size is None else f"size {format_count(config.size)}"
    setting = f"{size}, vocabulary {config.vocab_size:,}, {config.tokens_per_batch:,} tokens per batch"
    return Point(name, length, setting, spec, folder / f"{name}-{length}-{digest(spec)[:8]}.json")


def with_positions(node: dict[str, Any], needed: int) -> dict[str, Any]:
    """The node with a position table (where it has one) as long as the sweep needs.

    A row more or less of a table costs nothing, so what is compared here does not depend on its length.
    """
    position = node.get("position") or {}
    if "max_len" not in position:
        return node
    return {**node, "position": {**position, "max_len": max(needed, position["max_len"])}}


def measure(point: Point) -> dict[str, Any]:
    """Measure a point in a child process, or say how it ended."""
    with tempfile.TemporaryDirectory(prefix="archs-") as scratch:
        spec, out = Path(scratch) / "spec.json", Path(scratch) / "out.json"
        spec.write_text(json.dumps(point.spec))
        command = [sys.executable, "-m", "harness.point", str(spec), str(out)]
        try:
            child = subprocess.run(
                command,
                timeout=point.spec["seconds"],
                capture_output=True,
                text=True,
                check=False,
                env=child_environment(),
            )
        except subprocess.TimeoutExpired:
            return {"status": "over-time"}
        if out.exists():
            return read_json(out)
        if child.returncode < 0:
            return {"status": "out-of-memory", "error": f"killed by signal {-child.returncode}"}
        lines = child.stderr.strip().splitlines()
        return {"status": "failed", "error": lines[-1] if lines else "no output"}


def sweep(config: DictConfig, folder: Path) -> list[dict[str, Any]]:
    """Measure every point of the sweep that is not known yet; returns all results."""
    with one_line_errors():
        todo = list(points(config, folder))
        folder.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    ended: dict[str, str] = {}  # architecture -> why its curve stopped
    bar = Progress(
        TextColumn("[bold]lengths[/bold] {task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        expand=True,
        disable=not config.progress,
    )
    with bar:
        line = bar.add_task("", total=len(todo))
        for item in todo:
            bar.update(line, description=f"{item.arch} at {item.length:,}")
            results.append(result_of(item, ended))
            bar.advance(line)
    return results


def result_of(point: Point, ended: dict[str, str]) -> dict[str, Any]:
    """The known result of a point, or a new one, or the reason why its curve ended before it."""
    result = point.known()
    if result is None:
        skipped = ended.get(point.arch)
        outcome = {"status": skipped, "error": "a shorter length ended so"} if skipped else measure(point)
        described = {"arch": point.arch, "length": point.length, "batch": point.spec["batch"]}
        result = {**described, "setting": point.setting, **outcome}
        write_json(point.path, result)
    if result["status"] in OVER:
        ended[point.arch] = result["status"]
    return result


def table(results: Sequence[dict[str, Any]]) -> Table:
    """Tokens per second of a training step and its peak memory, by architecture and length."""
    lengths = sorted({result["length"] for result in results})
    out = Table(title="training step: tokens/s · peak memory", box=SIMPLE_HEAD, title_justify="left")
    out.add_column("architecture")
    for length in lengths:
        out.add_column(f"{length:,}", justify="right")
    for arch in dict.fromkeys(result["arch"] for result in results):
        cells = {r["length"]: r for r in results if r["arch"] == arch}
        out.add_row(arch, *(cell(cells[length]) if length in cells else "–" for length in lengths))
    return out


def cell(result: dict[str, Any]) -> str:
    if result["status"] != "ok":
        return str(result["status"])
    return f"{result['tokens_per_second']:,.0f} · {result['peak_memory'] / 2**20:,.0f} MiB"


def run(config: DictConfig) -> int:
    """Run the sweep of conf/bench.yaml and print its table; points go to results_dir/study_name/bench."""
    results = sweep(config, Path(config.results_dir) / config.study_name / "bench")
    Console().print(table(results))
    return 0 if all(result["status"] == "ok" for result in results) else 1
