"""Runs in child processes of their own, watched: whatever happens to one, the study goes on.

A fresh process gives each run its own memory peak and random state, and lets a run be killed, run out of
memory or hang without taking the others along. Parent and child talk through a scratch folder:

    config.yaml   parent to child: the composed configuration
    folder        child to parent: the run folder, as soon as it is known
    heartbeat     touched by the child while it makes progress
    said          what the child wrote to its terminal
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from .record import read_record, update_record
from .searchpath import child_environment
from .train import BUSY

POLL = 0.2  # seconds between looks at the child
FAILURES_ALLOWED = 2  # a run that broke down or was killed so often is left alone: a study cannot loop on it
SAID = "said.txt"  # in the folder of a run that failed: what it wrote to its terminal, a traceback perhaps


class Ended(NamedTuple):
    """How a child ended. status: of its record, or "running elsewhere". said: its last words, where it never
    came as far as a record."""

    status: str
    said: str = ""


def supervise(config: DictConfig, title: str, hang_after: float) -> Ended:
    """Train `config` in a child process; returns how it ended.

    title: what the child's progress bar is called. hang_after: seconds without a heartbeat after which
    the child counts as stuck and is killed.
    """
    with tempfile.TemporaryDirectory(prefix="archs-") as name:
        scratch = Path(name)
        OmegaConf.save(config, scratch / "config.yaml")
        (scratch / "heartbeat").touch()
        command = [sys.executable, "-m", "harness.worker", "train", str(scratch), title]
        with open(scratch / "said", "wb") as said:
            child = subprocess.Popen(
                command, env=environment(config.trainer.threads), stdout=said, stderr=subprocess.STDOUT
            )
        stuck = watch(child, scratch / "heartbeat", hang_after)
        return conclude(scratch, child.returncode, stuck, hang_after)


def environment(threads: int | None) -> dict[str, str]:
    """Of a child that is to use so many CPU threads, in libraries that choose before PyTorch is told, too."""
    limits = {} if threads is None else {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    return {**child_environment(), **limits}


def watch(child: subprocess.Popen[bytes], heartbeat: Path, hang_after: float) -> bool:
    """Wait for the child to end; whether it was stuck, and killed. Ctrl-C and SIGTERM end the child first."""
    stuck = False
    ours = threading.current_thread() is threading.main_thread()  # only it may say what signals do
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if ours else None
    try:
        while child.poll() is None:
            time.sleep(POLL)
            if time.time() - heartbeat.stat().st_mtime > hang_after:
                stuck = True
                child.kill()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGTERM)  # unless it got the Ctrl-C too; it is saving a checkpoint
        child.wait()
        raise
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)
    return stuck


def conclude(scratch: Path, returncode: int, stuck: bool, hang_after: float) -> Ended:
    """How a child ended, from what it left in its scratch folder; the words of one that failed are kept."""
    said = (scratch / "said").read_text(errors="replace")
    if not (scratch / "folder").exists():  # it never came as far as a run folder
        return Ended("running elsewhere") if returncode == BUSY else Ended("failed", said.strip())
    folder = Path((scratch / "folder").read_text())
    status = settle(folder, returncode, stuck, hang_after)
    if status == "failed":
        (folder / SAID).write_text(said)
    return Ended(status)


def settle(folder: Path, returncode: int, stuck: bool, hang_after: float) -> str:
    """Write down how a child ended that could not do so itself, and return the record's status."""
    record = read_record(folder)
    if record["status"] != "running":
        return str(record["status"])
    if stuck:
        error = f"no progress for {hang_after:.0f} s; killed"
    elif returncode < 0:
        name = signal.Signals(-returncode).name
        hint = " (often the kernel, out of memory)" if -returncode == signal.SIGKILL else ""
        error = f"killed by {name}{hint}"
    else:
        error = f"the process ended with status {returncode} before the run did"
    failures = record.get("failures", 0) + 1
    status = "failed" if failures >= FAILURES_ALLOWED else "interrupted"
    update_record(folder, status=status, error=error, failures=failures)
    return status
