"""Prepared files that are made once: written whole under a lock, and checked every time they are opened."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from .streams import sha256


def cached(
    cache_dir: str | Path, kind: str, key: Mapping[str, Any], make: Callable[[BinaryIO], dict[str, Any]]
) -> tuple[Path, dict[str, Any]]:
    """The file `cache_dir/kind/<digest of key>.bin`, made by `make` unless a sound one is there.

    `make` writes the content and returns facts about it (JSON values), which are kept in a sidecar with the
    key and the content's sha256; a file that does not fit its sidecar (cut short, damaged, another's) is made
    again. Processes that want the same file wait for the one that makes it. Returns (path, facts).
    """
    content = Path(cache_dir).expanduser() / kind / f"{sha256(kind, key)[:32]}.bin"
    try:
        content.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(content.with_suffix(".lock")):
            facts = _sound(content, key)
            if facts is None:
                facts = _write(content, key, make)
    except OSError as error:
        raise ValueError(f"cache_dir={cache_dir} cannot be used: {error}") from None
    return content, facts


def _sound(content: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """The facts of a finished file, or None when it or its sidecar is missing or wrong."""
    try:
        sidecar = json.loads(content.with_suffix(".json").read_text())
        if sidecar["key"] == dict(key) and sidecar["sha256"] == _digest(content):
            return sidecar["facts"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    return None


def _write(
    content: Path, key: Mapping[str, Any], make: Callable[[BinaryIO], dict[str, Any]]
) -> dict[str, Any]:
    """Both files under temporary names first; the sidecar, which vouches for the content, last."""
    new = content.with_suffix(".new")
    with new.open("wb") as file:
        facts = make(file)
    sidecar = json.dumps({"key": dict(key), "facts": facts, "sha256": _digest(new)}, indent=1)
    new.replace(content)
    new.write_text(sidecar)
    os.replace(new, content.with_suffix(".json"))
    return facts


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
