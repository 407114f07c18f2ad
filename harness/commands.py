"""The commands: each binds conf/<name>.yaml to the module that does the work."""

from __future__ import annotations

import sys

from .app import main
from .new import main as write_skeleton

WORKERS = {
    "train": "harness.train",
    "compare": "harness.study",
    "eval": "harness.evaluate",
    "bench": "harness.efficiency.command",
    "report": "harness.report",
    "generate": "harness.generate",
    "list": "harness.listing",
}


def train() -> None:
    """archs-train: train one architecture on one task."""
    main("train", WORKERS["train"])


def compare() -> None:
    """archs-compare: run a study, then its table and report."""
    main("compare", WORKERS["compare"])


def evaluate() -> None:
    """archs-eval: measure a finished run again."""
    main("eval", WORKERS["eval"])


def bench() -> None:
    """archs-bench: what architectures cost as sequences grow."""
    main("bench", WORKERS["bench"])


def report() -> None:
    """archs-report: tables and plots from run records."""
    main("report", WORKERS["report"])


def generate() -> None:
    """archs-generate: text from a finished run."""
    main("generate", WORKERS["generate"])


def list_() -> None:
    """archs-list: what can be chosen."""
    main("list", WORKERS["list"])


def new() -> None:
    """archs-new: the skeleton of a package that adds an architecture."""
    write_skeleton()


if __name__ == "__main__":  # python -m harness.commands train ..., where nothing is installed
    names = [*WORKERS, "new"]
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        print(f"usage: python -m harness.commands {{{','.join(names)}}} ...", file=sys.stderr)
        raise SystemExit(2)
    command = sys.argv.pop(1)
    sys.argv[0] = f"archs-{command}"
    if command == "new":
        new()
    else:
        main(command, WORKERS[command])
