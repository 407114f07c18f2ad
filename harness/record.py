"""run.json: everything that a table needs to know about a run, written whole or not at all.

A run folder also holds metrics.jsonl (curves, append-only), config.yaml, tokenizer.json,
model.safetensors and, once it was judged there, test.json.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from .environment import environment as environment

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1  # of the form of run.json
STATUSES = ("running", "completed", "diverged", "failed", "out-of-memory", "interrupted")
REQUIRED = ("version", "identity", "name", "study", "status", "attempts", "config", "seed")


class Record(TypedDict, total=False):
    """The content of run.json.

    parameters   {total, non_embedding, active}
    flops        of the whole training, forward and backward; tokens and bytes: of the corpus consumed
    positions    token positions the model processed; targets: positions that were scored
    attempts     how often it was started; failures: how often it broke down or was killed by none of us
    shared       whether timings were taken while other runs of ours used the machine
    primary      the task's first metric: it selects rates and checkpoints
    solved_from  value of it that solves the task; None where that is no question
    waiting_share  of the training seconds that went by between two steps, waiting for data
    match        {kind, size, target, reached, off, reference, solved}: what was made equal, and how nearly;
                 None where widths are as written, or taken over from another run
    seconds      of training alone; peak_memory and state_bytes in bytes
    validation   {metric: value}; baselines: {row: {metric: value}}, on the same windows or examples;
    curve_baselines: on the fewer that the validations in metrics.jsonl are made on
    digests      {corpus, tokenizer, windows, ...}; started and finished: ISO 8601, UTC
    """

    version: int
    identity: str
    name: str
    study: str
    status: str
    attempts: int
    failures: int
    shared: bool
    error: str | None
    config: dict[str, Any]
    arch: str
    task: str
    objective: str
    asked: str
    primary: str
    solved_from: float | None
    waiting_share: float
    family: str
    seed: int
    match: dict[str, Any] | None
    lr: float
    vocab_size: int
    parameters: dict[str, int]
    flops: float
    tokens: float
    bytes: float | None
    positions: float
    targets: float
    epochs: float | None
    steps: int
    seconds: float
    tokens_per_second: float
    peak_memory: int
    state_bytes: int
    validation: dict[str, Any]
    baselines: dict[str, dict[str, float]]
    curve_baselines: dict[str, dict[str, float]]
    digests: dict[str, str]
    environment: dict[str, Any]
    started: str
    finished: str | None


class DamagedRecord(ValueError):
    """A run.json that is damaged or not ours: reported, left alone, never written over."""


def now() -> str:
    """The time, as records have it: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def has_record(run_dir: Path) -> bool:
    """Whether the folder holds a run.json, damaged or not."""
    return (Path(run_dir) / "run.json").exists()


def write_record(run_dir: Path, record: Mapping[str, Any]) -> None:
    """Write run.json atomically. Raises DamagedRecord rather than replace what is not this run's record."""
    if has_record(run_dir):
        before = read_record(run_dir)["identity"]
        if before != record["identity"]:
            path = Path(run_dir) / "run.json"
            raise DamagedRecord(f"{path}: belongs to the run {before}, not {record['identity']}")
    write_json(Path(run_dir) / "run.json", record)


def update_record(run_dir: Path, **changes: Any) -> Record:
    """Change some keys of a record that exists; returns the record as it is now."""
    record = cast(Record, {**read_record(run_dir), **changes})
    write_record(run_dir, record)
    return record


def read_record(run_dir: Path) -> Record:
    """The record of a run folder.

    Raises DamagedRecord where run.json cannot be read, is no record of ours, or comes from a later version.
    """
    path = Path(run_dir) / "run.json"
    record = read_json(path)
    if not isinstance(record, dict):
        raise DamagedRecord(f"{path}: not a run record")
    missing = [key for key in REQUIRED if key not in record]
    if missing:
        raise DamagedRecord(f"{path}: not a run record, it has no {missing[0]!r}")
    if not isinstance(record["version"], int) or record["version"] > VERSION:
        raise DamagedRecord(
            f"{path}: written by a later version ({record['version']}; this one reads {VERSION})"
        )
    if record["status"] not in STATUSES:
        raise DamagedRecord(f"{path}: unknown status {record['status']!r}")
    return cast(Record, record)


def read_json(path: Path) -> Any:
    """The content of a JSON file of ours. Raises DamagedRecord where it cannot be read."""
    try:
        return json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise DamagedRecord(f"{path}: damaged, cannot be read ({' '.join(str(error).split())})") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader, or a crash, sees the old file or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(finite(content), file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def finite(content: Any) -> Any:
    """The same with null for NaN and infinities, which JSON does not have, and plain Python numbers."""
    if isinstance(content, Mapping):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if hasattr(content, "item"):  # numpy and torch scalars
        content = content.item()
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return str(content) if isinstance(content, Path) else content


# -------------------------------------------------------------------------------------------- curves


def append_metrics(run_dir: Path, row: Mapping[str, Any]) -> None:
    """Append one row to metrics.jsonl; a line torn by a crash before it is closed first."""
    line = json.dumps(finite(row), allow_nan=False).encode() + b"\n"
    with open(Path(run_dir) / "metrics.jsonl", "ab+") as file:
        if file.seek(0, os.SEEK_END) > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl by step; [] where there are none.

    Torn lines are passed over, and of rows that a continued run wrote again the last counts.
    """
    try:
        lines = (Path(run_dir) / "metrics.jsonl").read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for line in lines:
        try:
            row = json.loads(line)
            rows[row["step"], row["kind"]] = row
        except (ValueError, KeyError, TypeError):
            continue
    return [rows[key] for key in sorted(rows)]


# -------------------------------------------------------------------------------------- many records


def run_dirs(results_dir: Path) -> Iterator[Path]:
    """Folders below results_dir that hold a run.json, in order; hidden ones are passed over."""
    for folder, inner, files in os.walk(results_dir):
        if "run.json" in files:
            inner.clear()
            yield Path(folder)
        inner[:] = sorted(name for name in inner if not name.startswith("."))


def load_records(results_dir: Path) -> list[tuple[Path, dict[str, Any]]]:
    """(folder, record) of every run, test.json included as `test`; damaged ones are a warning on stderr."""
    found = []
    for folder in run_dirs(results_dir):
        try:
            record = read_record(folder)
            test = folder / "test.json"
            judged = {"test": read_json(test)} if test.exists() else {}
        except DamagedRecord as error:
            print(f"warning: {error}; left out", file=sys.stderr)
            continue
        found.append((folder, {**record, **judged}))
    return found


def records(results_dir: str | Path = "results/runs") -> pd.DataFrame:
    """One row per run below results_dir, nested values under dotted names ("validation.continuation_bpb").

    `config` stays a dictionary; `path` is the run folder. Damaged records are left out with a warning on
    stderr. Raises FileNotFoundError if there is no such folder.
    """
    import pandas as pd  # here, since commands that only write records should start without it

    root = Path(results_dir)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder of run records")
    rows = []
    for folder, record in load_records(root):
        row: dict[str, Any] = {"path": str(folder)}
        for key, value in record.items():
            row |= {key: value} if key == "config" else dict(_flat(value, key))
        rows.append(row)
    return pd.DataFrame(rows)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}")
    else:
        yield path, value
