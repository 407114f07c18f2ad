"""What the child processes of a study execute.

python -m harness.worker train SCRATCH TITLE    one run (see supervise.py)
python -m harness.worker time SCRATCH COUNT     a few steps of each of several runs (see study/speed.py)
python -m harness.worker test FOLDER ...        the test split, for finished runs
"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from . import evaluate
from .searchpath import register
from .train import run


def train(scratch: Path, title: str) -> int:
    """The run that SCRATCH/config.yaml describes."""
    config = OmegaConf.load(scratch / "config.yaml")
    assert isinstance(config, DictConfig)

    def announce(folder: Path) -> None:
        (scratch / "folder").write_text(str(folder))

    return run(config, title=title, heartbeat=scratch / "heartbeat", announce=announce)


def main() -> int:
    register()
    job, *arguments = sys.argv[1:]
    if job == "train":
        return train(Path(arguments[0]), arguments[1])
    if job == "time":
        from .study.speed import measure_all

        measure_all(Path(arguments[0]), int(arguments[1]))
        return 0
    return evaluate.test_all([Path(folder) for folder in arguments])


if __name__ == "__main__":
    sys.exit(main())
