"""The user's own files, read strictly: what is missing, empty or damaged is named in one line."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import datasets

from .hub import quiet


def existing(
    files: str | Sequence[str] | None, key: str = "corpus.files", example: str = "books/*.txt"
) -> list[Path]:
    """Paths that `files` stands for, sorted, each once; a glob passes over empty files and folders.

    key: what the user set them with, and an example of what it may be, for errors.
    """
    patterns = [files] if isinstance(files, str | Path) else list(files or [])
    if not patterns:
        raise ValueError(f"{key} is not set: give a path, a glob or a list, as in '{key}={example}'")
    found: set[Path] = set()
    for pattern in (Path(pattern).expanduser() for pattern in patterns):
        if has_magic(str(pattern)) and not pattern.exists():
            matches = [Path(match) for match in glob(str(pattern), recursive=True)]
            matches = [match for match in matches if match.is_file() and match.stat().st_size]
            if not matches:
                raise ValueError(f"{key}={pattern} matches no file that holds anything")
            found.update(matches)
        elif not pattern.exists():
            raise ValueError(f"{key}={pattern} does not exist")
        elif pattern.is_dir():
            raise ValueError(f"{key}={pattern} is a folder: name the files in it, as in {pattern}/**/*.txt")
        elif not pattern.stat().st_size:
            raise ValueError(f"{key}={pattern} is empty")
        else:
            found.add(pattern)
    return sorted(found)


def read_text(path: Path) -> str:
    """The file's text, byte for byte (`datasets` would translate line ends)."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def read_rows(kind: str, paths: list[Path]) -> list[Mapping[str, Any]]:
    """Rows of all files, streamed: nothing is cached, so that no edit of a file can be overlooked."""
    rows: list[Mapping[str, Any]] = []
    with quiet(), tempfile.TemporaryDirectory() as folder:
        for path in paths:
            if path.suffix in (".json", ".jsonl"):
                read_text(path)
            try:
                rows += datasets.load_dataset(
                    kind, data_files=[str(path)], split="train", streaming=True, cache_dir=folder
                )
            except Exception as error:  # of pyarrow, json or datasets, by kind of damage
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ValueError(f"{path} cannot be read as {kind}: {reason}") from None
    return rows
