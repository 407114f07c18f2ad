"""A report over 2,000 runs reads every file once and stays small."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sample_records import write_run, write_sweep

from harness import record, report

ARCHS = ("gpt", "bert", "t5", "mamba", "mamba2", "llama", "bart", "hybrid")
TASKS = ("language", "mqar", "sort", "parity", "copy")
MEMORY = 500e6  # bytes, of the whole process


def write_many(root, archs, tasks, dims, seeds, **changes):
    for task in tasks:
        parts = None if task == "language" else {"pairs": (4, 8, 16, 32)}
        solved = None if task == "language" else 0.99
        for arch in archs:
            for dim in dims:
                for seed in seeds:
                    write_run(
                        root, arch, seed, task, test=True, parts=parts, solved_from=solved,
                        config__arch__dim=dim, identity=f"{arch}{dim}{seed}{task}",
                        state_bytes=1000 * dim, **changes,
                    )  # fmt: skip
    write_sweep(root, archs)


def test_every_file_is_read_once(tmp_path, monkeypatch):
    write_many(tmp_path / "study", ARCHS[:3], TASKS[:2], (32, 64), (1, 2, 3), clusters=20)
    read = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path), plain(path))[1])
    report.build(tmp_path / "study", tmp_path / "out")
    records = [path for path in read if path.suffix == ".json"]
    assert len(records) == len(set(records)) == 2 * 36 + 1  # run.json and test.json of each, sweep.json
    curves = [path for path in read if path.suffix == ".jsonl"]
    assert len(curves) == len(set(curves)) == 36


def write_copies(folder, dims):
    """The same run at other widths: what is not its record is linked, which costs no time and no disk."""
    told = json.loads((folder / "run.json").read_text())
    for dim in dims:
        told["config"]["arch"]["dim"] = dim
        copy = folder.with_name(f"{folder.name}-{dim}")
        copy.mkdir()
        (copy / "run.json").write_text(json.dumps(told | {"identity": copy.name}))
        for name in ("test.json", "metrics.jsonl"):
            os.link(folder / name, copy / name)


# archs-report, which tells its status when it ends
MEASURED = """
import atexit, sys
atexit.register(lambda: sys.stderr.write(open("/proc/self/status").read()))
from harness.commands import report
report()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
def test_two_thousand_runs_in_half_a_gigabyte(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    root = tmp_path / "study"
    write_many(root, ARCHS, TASKS, (32,), range(1, 11), clusters=1000)
    for folder in [path.parent for path in root.glob("*/run.json")]:
        write_copies(folder, (64, 128, 256, 512))
    assert sum(1 for _ in record.run_dirs(root)) == 2001  # one of them a trial
    arguments = [f"results_dir={tmp_path}", "study_name=study", f"out={tmp_path / 'out'}"]
    child = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], check=True, capture_output=True, text=True
    )
    # Its own peak: that of RUSAGE_CHILDREN is of all children, and inherited from this process besides.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", child.stderr)
    assert int(peak) * 1024 < MEMORY
    assert (tmp_path / "out" / "report.html").stat().st_size < 10e6
