"""One process at a time in a run folder, and no lock left behind by a dead one."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from .record import now, write_json

NAME = "lock"
POLL = 0.1  # seconds between looks at a lock that is waited for


@contextmanager
def run_lock(run_dir: Path, wait: float = 0.0) -> Iterator[bool]:
    """Hold the run folder, made if need be; yields whether this process has it.

    wait: seconds to wait while another holds it. A lock is stale, and taken over, when it was made on this
    host before its last boot or by a process that is gone. One from another host is never stale: this
    host cannot tell; remove the file by hand if its run is known to be dead.
    """
    held = _acquire(Path(run_dir), wait)
    try:
        yield held
    finally:
        if held:
            (Path(run_dir) / NAME).unlink(missing_ok=True)


def holder(run_dir: Path) -> dict[str, Any] | None:
    """Who holds the folder ({host, pid, ...}), or None if nobody alive does."""
    try:
        owner = json.loads((Path(run_dir) / NAME).read_bytes())
        return owner if isinstance(owner, dict) and not _stale(owner) else None
    except (FileNotFoundError, ValueError):
        return None  # written atomically: what is unreadable no process of ours has made


def _acquire(run_dir: Path, wait: float) -> bool:
    run_dir.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    while True:
        # Looking and taking must be one act, or two processes could both take over the same stale lock.
        with FileLock(run_dir / f".{NAME}-guard"):
            if holder(run_dir) is None:
                write_json(run_dir / NAME, _owner(os.getpid()))
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL)


def _owner(pid: int) -> dict[str, Any]:
    return {"host": platform.node(), "pid": pid, "boot": _boot(), "start": _start(pid), "since": now()}


def _stale(owner: dict[str, Any]) -> bool:
    if owner.get("host") != platform.node():
        return False
    if owner.get("boot") != _boot():
        return True
    pid = owner.get("pid")
    # A process number is used again some day: the same process also started at the same time.
    return not isinstance(pid, int) or not _alive(pid) or owner.get("start") != _start(pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and alive
    return True


def _boot() -> str | None:
    """An id that is new with every boot of this host; None where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _start(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if it is dead or the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]  # a killed child stays a zombie until it is waited for
