"""On what a run was made: versions, device, threads, processor and the state of the user's checkout."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("archs", "torch", "lightning", "numba", "tokenizers", "datasets", "mamba-ssm")


def environment(device: str = "cpu", threads: int | None = None) -> dict[str, Any]:
    """What stands in a record's `environment`.

    device: as PyTorch names it ("cpu", "NVIDIA H100"); threads: CPU threads, None for what PyTorch uses.
    """
    torch = sys.modules.get("torch")  # asked, never imported for this
    if threads is None and torch is not None:
        threads = torch.get_num_threads()
    return {
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := version_of(name)) is not None},
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "device": device,
        "threads": threads,
        "git": git_revision(Path.cwd()),
    }


def version_of(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def git_revision(folder: Path) -> str | None:
    """The commit that `folder` is a checkout of ("-dirty" after it if files differ); None if it is none."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
