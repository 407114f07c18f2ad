"""`python -m harness.peers`: measure, print the table, and write results/reference/peers/ (see --help)."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from ..environment import environment
from ..errors import fail
from ..record import write_json
from . import report

ROWS = {  # architecture: its peers, as contestants.peers names them
    "gpt": ("transformers GPT-2", "x-transformers decoder"),
    "llama": ("transformers Llama",),
    "bert": ("transformers BERT",),
    "t5": ("transformers T5",),
    "mamba": ("transformers Mamba", "transformers Mamba with mambapy", "mambapy"),
    "mamba2": ("transformers Mamba-2", "transformers Mamba-2, chunk 64 as ours"),
}
PACKAGES = ("transformers", "x_transformers", "mambapy")
SEQUENTIAL = "transformers Mamba"  # one step takes minutes: its backward is quadratic in length
OTHER = ("decode", "context", "scan", "share")
LENGTHS = [2**n for n in range(10, 19)]  # of the scan: 1k to 256k
PRECISIONS = ("32-true", "bf16-mixed")
TIME_LIMIT = 1200  # seconds for one measurement


def specs(
    only: list[str], widths: list[int], repeats: int, precisions: Sequence[str] = PRECISIONS
) -> list[dict[str, Any]]:
    """What is measured, in order; what takes minutes comes last, one pair of it, in float32 alone."""
    training = [
        {
            "what": "train",
            "arch": arch,
            "peer": peer,
            "width": width,
            "precision": precision,
            "repeats": repeats,
        }
        for width in widths
        for arch in ROWS
        for peer in ROWS[arch]
        for precision in precisions
        if arch in only and (peer != SEQUENTIAL or precision == "32-true")
    ]
    quick = [spec for spec in training if spec["peer"] != SEQUENTIAL]
    slow = [spec | {"repeats": 1} for spec in training if spec["peer"] == SEQUENTIAL]
    others: dict[str, list[dict[str, Any]]] = {
        "decode": [{"arch": arch, "repeats": repeats} for arch in ("gpt", "t5", "mamba")],
        "context": [{"repeats": repeats}],
        "scan": [{"length": length, "repeats": repeats} for length in LENGTHS],
        "share": [{"width": 512, "repeats": repeats}],
    }
    rest = [{"what": what, **spec} for what in OTHER if what in only for spec in others[what]]
    return quick + rest + slow


def measured(spec: dict[str, Any], threads: int) -> dict[str, Any]:
    """One measurement in a fresh process; {"error": its last line} where it failed."""
    command = [sys.executable, "-m", "harness.peers.measurements", json.dumps(spec | {"threads": threads})]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {TIME_LIMIT} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness.peers",
        description="Train and decode beside transformers, x-transformers and mambapy on this machine: same "
        "shapes, taking turns, one fresh process per measurement. About half an hour on two quiet cores.",
    )
    choices = ",".join((*ROWS, *OTHER))
    parser.add_argument("--only", default=choices, help=f"comma-separated, of {choices}")
    parser.add_argument("--widths", default="128,512", help="of the models (default: %(default)s)")
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="(default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="pairs per measurement (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("results/peers"), help="folder (default: %(default)s)"
    )
    return parser.parse_args()


def main() -> None:
    asked = parsed()
    only, widths = asked.only.split(","), [int(width) for width in asked.widths.split(",")]
    if unknown := set(only) - {*ROWS, *OTHER}:
        fail(f"--only {', '.join(sorted(unknown))}: choose from {', '.join((*ROWS, *OTHER))}")
    if wrong := set(widths) - {128, 512}:
        fail(f"--widths {wrong.pop()}: choose from 128, 512")
    if wrong_precision := set(asked.precisions.split(",")) - set(PRECISIONS):
        fail(f"--precisions {wrong_precision.pop()}: choose from {', '.join(PRECISIONS)}")
    if asked.repeats < 2:
        fail(f"--repeats {asked.repeats}: quartiles need at least 2")
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        fail(f"{', '.join(missing)} not installed: pip install 'archs[peers]'")
    console, results = Console(), []
    todo = specs(only, widths, asked.repeats, asked.precisions.split(","))
    about = environment(threads=asked.threads)
    command = "python -m harness.peers " + " ".join(sys.argv[1:])
    asked.out.mkdir(parents=True, exist_ok=True)
    for index, spec in enumerate(todo, 1):
        found = measured(spec, asked.threads)
        results.append({"spec": spec, "found": found})
        console.print(
            f"[{index}/{len(todo)}] {report.line(spec, found)}", markup=False, highlight=False, soft_wrap=True
        )
        write_json(asked.out / "peers.json", {"command": command, "environment": about, "results": results})
    text = report.markdown(results, about, command.strip())
    (asked.out / "report.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
