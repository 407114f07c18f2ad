"""What the child processes of a study execute.

python -m harness.worker train SCRATCH TITLE    one run (see supervise.py)
python -m harness.worker time SCRATCH COUNT     a few steps of each of several runs (see study/speed.py)
python -m harness.worker test FOLDER ...        the test split, for finished runs
"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from . import evaluate, record
from .neighbours import present
from .searchpath import register
from .train import run


def train(scratch: Path, title: str) -> int:
    """The run that SCRATCH/config.yaml describes; its record says whether it had the machine to itself."""
    config = OmegaConf.load(scratch / "config.yaml")
    assert isinstance(config, DictConfig)
    known: list[tuple[Path, record.Record | None]] = []

    def announce(folder: Path) -> None:
        known.append((folder, record.read_record(folder) if record.has_record(folder) else None))
        (scratch / "folder").write_text(str(folder))

    with present() as watch:
        status = run(config, title=title, heartbeat=scratch / "heartbeat", announce=announce)
    for folder, before in known:
        mark(folder, before, watch.shared)
    return status


def mark(folder: Path, before: record.Record | None, shared: bool) -> None:
    """Write down whether the timings of a run were taken beside other runs, in this attempt or an earlier."""
    earlier = before or {"attempts": 0}
    if record.read_record(folder)["attempts"] > earlier["attempts"]:  # else another process ran it
        record.update_record(folder, shared=shared or bool(earlier.get("shared")))


def main() -> int:
    register()
    job, *arguments = sys.argv[1:]
    if job == "train":
        return train(Path(arguments[0]), arguments[1])
    if job == "time":
        from .study.speed import measure_all

        measure_all(Path(arguments[0]), int(arguments[1]))
        return 0
    evaluate.test_all([Path(folder) for folder in arguments])
    return 0


if __name__ == "__main__":
    sys.exit(main())
