"""Runs in child processes of their own, watched: whatever happens to one, the study goes on.

A fresh process gives each run its own memory peak and random state, and lets a run be killed, run out of
memory or hang without taking the others along. Parent and child talk through a scratch folder:

    config.yaml   parent to child: the composed configuration
    folder        child to parent: the run folder, as soon as it is known
    heartbeat     touched by the child while it makes progress
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from .record import read_record, update_record
from .searchpath import child_environment
from .train import BUSY

POLL = 0.2  # seconds between looks at the child
KILLS_ALLOWED = 2  # a run that was killed this often is failed, so that a study cannot loop on it


def supervise(config: DictConfig, title: str, hang_after: float) -> str:
    """Train `config` in a child process; returns the status that its record now has.

    title: what the child's progress bar is called. hang_after: seconds without a heartbeat after which
    the child counts as stuck and is killed.
    """
    with tempfile.TemporaryDirectory(prefix="archs-") as name:
        scratch = Path(name)
        OmegaConf.save(config, scratch / "config.yaml")
        (scratch / "heartbeat").touch()
        command = [sys.executable, "-m", "harness.worker", "train", str(scratch), title]
        child = subprocess.Popen(command, env=child_environment())
        stuck = False
        # What ends this process ends it like Ctrl-C: with the child.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            while child.poll() is None:
                time.sleep(POLL)
                silent = time.time() - (scratch / "heartbeat").stat().st_mtime
                if silent > hang_after:
                    stuck = True
                    child.kill()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGTERM)  # unless it got the Ctrl-C too; it is saving a checkpoint
            child.wait()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
        folder = scratch / "folder"
        if not folder.exists():  # it never came as far as a run folder; why is on stderr
            return "running elsewhere" if child.returncode == BUSY else "failed"
        return settle(Path(folder.read_text()), child.returncode, stuck, hang_after)


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
    status = "failed" if record["attempts"] >= KILLS_ALLOWED else "interrupted"
    update_record(folder, status=status, error=error)
    return status
