"""One point, measured by two fresh processes: one for its memory, then one for all its times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..cores import pinned
from ..errors import ConfigError
from ..record import read_json
from ..searchpath import child_environment
from . import launcher
from .heap import allocating
from .memory import available

LAUNCHER = Path(launcher.__file__)
QUIET = {"KINETO_LOG_LEVEL": "99"}
PATIENCE = 60.0  # seconds that a process may take to start
# Of a point's seconds, what counting memory may take: where a training step uses it up, as much is left to
# time all other work in. A step that is not done once by then would not be done three times in the rest.
COUNTING = 0.5
SHARE = 0.95  # of the memory that is free, where no limit is given: the last of it is not ours to take


def measured(spec: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a point: {"status", "ended", ...}, with memory where only times could not be had.

    spec: of a point, with "ended", what is not to be tried. limits: {"seconds": for both processes,
    "memory": bytes a process may take, null: what is free}. Status: ok if any kind of work was timed;
    "ended" says of the others what ended them, and "error" why the first did.
    """
    deadline = time.monotonic() + limits["seconds"]
    found = child("memory", spec, COUNTING * limits["seconds"], limits["memory"])
    if found["status"] != "ok":
        return found
    ended = dict(found["ended"])
    if "prefill" in ended:  # which decoding begins with
        ended["decode"] = ended["prefill"]
    left = deadline - time.monotonic()
    times = child("times", {**spec, "ended": {**spec["ended"], **ended}}, left, limits["memory"])
    return {
        **found,
        **times,
        "ended": ended | times.get("ended", {}),
        "error": found["error"] or times.get("error"),
        "environment": {**found["environment"], **times.get("environment", {})},
    }


def free(device: str, threads: int) -> int | None:
    """Bytes of memory that a point may find free; None where the system does not say."""
    if device == "cpu":
        return available()
    return child("baseline", {"threads": threads, "device": device}, PATIENCE, None).get("free")


def child(what: str, spec: Mapping[str, Any], seconds: float, memory: int | None) -> dict[str, Any]:
    """One process of a point, ended when its time is over: what it found, or how it ended.

    free: what was, where it ran out of memory.
    """
    deadline = time.monotonic() + seconds
    room = available() if spec["device"] == "cpu" else None
    if memory is None and room is not None and what != "baseline":
        memory = int(SHARE * room)
    with tempfile.TemporaryDirectory(prefix="archs-") as name:
        scratch = Path(name)
        given, out, said = (scratch / file for file in ("spec.json", "out.json", "said"))
        given.write_text(json.dumps({**spec, "deadline": deadline, "memory": memory}))
        command = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(seconds), sys.executable]
        command += ["-m", "harness.efficiency.child", what, str(given), str(out)]
        with open(said, "wb") as file:
            process = subprocess.Popen(
                command, env=environment(what, spec["threads"]), stdout=file, stderr=subprocess.STDOUT
            )
            try:
                process.wait()
            finally:  # a sweep that is stopped leaves no child behind
                process.terminate()
                process.wait()
        found = dict(read_json(out)) if out.exists() else {}
        if not found or found.get("todo"):
            within = f"{seconds:.0f} s" + (", half of what a point may take" if what == "memory" else "")
            how = ended(process.returncode, said.read_text(errors="replace"), within)
            found = interrupted(found, how)
    found.pop("todo", None)
    if room is not None and "out-of-memory" in {found["status"], *found.get("ended", {}).values()}:
        found["free"] = room
    return found


def interrupted(found: dict[str, Any], how: dict[str, Any]) -> dict[str, Any]:
    """What a process had found that ended before it was done, and how."""
    if not found:
        return how
    ended = found["ended"] | dict.fromkeys(found["todo"], how["status"])
    return {**found, "ended": ended, "error": found["error"] or how["error"]}


def ended(status: int, said: str, within: str) -> dict[str, Any]:
    """What became of a process without a result, by the launcher's exit status. within: its time."""
    lines = said.strip().splitlines()
    if status == launcher.OVER:
        return {"status": "over-time", "error": f"not done within {within}"}
    if status == 128 + 9 or "bad_alloc" in said:  # SIGKILL: the kernel's, where memory has come to its end
        return {"status": "out-of-memory", "error": "killed, as systems do where memory ends"}
    how = f"killed by signal {status - 128}" if status > 128 else f"exit status {status}"
    return {"status": "failed", "error": f"{how}: {lines[-1]}" if lines else how}


def environment(what: str, threads: int) -> dict[str, str]:
    """Of a child: its threads, and what becomes of memory that it frees."""
    return {**allocating(what, child_environment()), **pinned(threads), **QUIET}


def check_memory(limit: int | None, device: str, threads: int) -> None:
    """Raise ConfigError for a limit that no point could keep, or no process would; None: what is free."""
    if limit is not None and device == "cpu" and sys.platform != "linux":
        raise ConfigError(f"memory={limit}: only Linux limits what a process maps; leave memory=null here")
    found = child("baseline", {"threads": threads, "device": device}, PATIENCE, None)
    held, room = found.get("bytes"), available() if device == "cpu" else found.get("free")
    if held is None:
        return
    holds = f"a process holds {held / 1e6:,.0f} MB before it has a model"
    if limit is not None and limit <= held:
        raise ConfigError(f"memory={limit}: {holds}; try memory=2G")
    if limit is None and room is not None and SHARE * room <= held:
        raise ConfigError(f"memory=null: {room / 1e6:,.0f} MB are free, and {holds}; make room for it")
