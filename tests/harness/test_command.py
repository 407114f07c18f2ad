"""A command as the user runs it, in a process of its own, with a worker that only says what it got."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

WORKER = """
def run(config):
    print("seed", config.seed, config.choices.arch)
    if config.seed == 9:
        raise SystemExit(3)
    return 4 if config.seed == 8 else 0
"""
COMMAND = """
import sys
from harness.app import main
sys.argv[0] = "archs-train"
try:
    main("train", "my_worker")
finally:
    heavy = {"torch", "lightning", "datasets", "numba", "pandas"} & set(sys.modules)
    assert not heavy, heavy
"""


def command(folder, *arguments):
    (folder / "my_worker.py").write_text(WORKER)
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMMAND, *arguments],  # -P: as a console script, without the cwd
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "my_worker.py").unlink()
    left = {path.name for path in folder.iterdir()} - {"__pycache__", "tmp"}
    return done, left


def test_a_command_runs_its_worker_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "tmp").mkdir()
    done, left = command(tmp_path, "arch=mamba", "seed=3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "seed 3 mamba\n", "")
    done, also = command(tmp_path, "--multirun", "seed=1,8,2")
    assert done.stdout.splitlines() == [f"seed {seed} gpt" for seed in (1, 8, 2)]
    assert (done.returncode, done.stderr) == (4, "")
    assert left | also == set()


def test_a_wrong_override_help_and_the_configuration_need_no_torch(tmp_path):
    (tmp_path / "tmp").mkdir()
    done, left = command(tmp_path, "arch=gtp")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("archs-train: unknown arch 'gtp'; nearest: gpt")
    assert done.stderr.count("\n") == 1
    done, also = command(tmp_path, "--cfg", "job", "arch=t5")
    assert done.returncode == 0
    assert "\nseed: 1\n" in done.stdout
    assert left | also == set()


def test_help_teaches():
    done = subprocess.run(
        [sys.executable, "-m", "harness.commands", "train", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "archs-train arch=mamba task=mqar size=200k" in done.stdout
    assert "arch/position: alibi" in done.stdout
