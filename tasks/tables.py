"""Labelled text and pairs: rows of the user's own tables or of a hub dataset, and the splits they fall into.

Every row knows where it stands ("reviews.csv line 3"), so that what is wrong with one is said of that one.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .corpus import SPLITS, assign_splits
from .files import existing, read_rows, read_text
from .hub import read as read_hub

KINDS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
Files = str | Sequence[str] | None


class Record(NamedTuple):
    """One row: its values by column, and where it stands."""

    values: Mapping[str, Any]
    where: str


def load(
    *, files: Files, validation_files: Files, test_files: Files, hub: Mapping[str, Any], nearest: str
) -> dict[str, list[Record]]:
    """Rows by split: "train", and those of "validation" and "test" that are given rather than cut from it.

    hub: {path, name, train, validation, test}: a dataset, its configuration and the names of its splits;
    used where `path` is set. nearest: what to use where the hub cannot be reached.
    """
    given = {"files": files, "validation_files": validation_files, "test_files": test_files}
    for key, value in given.items():
        if hub.get("path") and value:
            raise ValueError(f"task.{key} and task.hub.path={hub['path']} are both set: choose one")
    if unknown := set(hub) - {"path", "name", *SPLITS}:
        raise ValueError(f"task.hub has no key {min(unknown)}: it takes path, name, {', '.join(SPLITS)}")
    if hub.get("path"):
        named = {split: hub[split] for split in SPLITS if hub.get(split)}
        if "train" not in named:
            raise ValueError("task.hub.train is not set: name the dataset's split to train on")
        return {split: hub_rows(hub["path"], hub.get("name"), name, nearest) for split, name in named.items()}
    by_split = dict(zip(SPLITS, given.items(), strict=True))
    return {
        split: table_rows(value, f"task.{key}")
        for split, (key, value) in by_split.items()
        if value or key == "files"
    }


def table_rows(files: Files, key: str) -> list[Record]:
    """The rows of all files. Raises ValueError in one line that names the file and line of a broken row."""
    records: list[Record] = []
    for path in existing(files, key, "reviews.csv"):
        if path.suffix not in KINDS:
            raise ValueError(f"{key}={path} is of no known kind: choose {', '.join(KINDS)}")
        if path.suffix == ".parquet":
            rows = read_rows("parquet", [path])
            records += [Record(row, f"{path} row {i}") for i, row in enumerate(rows, 1)]
        elif path.suffix in (".csv", ".tsv"):
            records += _separated(path, "," if path.suffix == ".csv" else "\t")
        else:
            records += _json(path)
    if not records:
        raise ValueError(f"{key}={files} holds no row")
    return records


def _separated(path: Path, delimiter: str) -> Iterator[Record]:
    """Rows of a CSV or TSV file with a header; RFC 4180 quoting, read strictly."""
    lines = io.StringIO(read_text(path).removeprefix("\ufeff"), newline="")
    most = csv.field_size_limit(2**31 - 1)  # a document may be longer than the default of 128 KiB
    try:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise ValueError(f"{path} line {line} is broken: {error}") from None
            if fields is None:
                return
            if not fields:  # an empty line
                continue
            if header is None:
                header = fields
                if len(set(header)) < len(header):
                    raise ValueError(f"{path} names a column twice: {', '.join(header)}")
                continue
            if len(fields) != len(header):
                raise ValueError(
                    f"{path} line {line} is broken: it has {len(fields)} field(s), the header {len(header)}"
                )
            yield Record(dict(zip(header, fields, strict=True)), f"{path} line {line}")
    finally:
        csv.field_size_limit(most)


def _json(path: Path) -> list[Record]:
    """Rows of one list of objects, or of an object per line."""
    text = read_text(path).removeprefix("\ufeff")
    if text.lstrip().startswith("["):
        try:
            rows = [(row, f"{path} item {i}") for i, row in enumerate(json.loads(text), 1)]
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} line {error.lineno} is broken: {error.msg}") from None
    else:
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    rows.append((json.loads(line), f"{path} line {number}"))
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path} line {number} is broken: {error.msg}") from None
    for row, where in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no object but {type(row).__name__}")
    return [Record(row, where) for row, where in rows]


def hub_rows(path: str, name: str | None, split: str, nearest: str) -> list[Record]:
    """A split of a dataset of the hub, the names of its classes written out."""
    import datasets

    missing = f"task.hub.path={path} needs a network the first time, and the hub cannot be reached: {nearest}"
    asked = f"task.hub.path={path} task.hub.name={name}, split {split}"
    rows = read_hub(path, name, split, asked, missing)
    classes = {
        column: feature.names
        for column, feature in rows.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }

    def written(row: dict[str, Any]) -> dict[str, Any]:
        # -1 is the hub's mark for a hidden label
        return row | {key: names[row[key]] if row[key] >= 0 else None for key, names in classes.items()}

    return [Record(written(row), f"{path} {split} row {i}") for i, row in enumerate(rows, 1)]


def column(records: Sequence[Record], name: str, key: str) -> list[Any]:
    """The values of a column, None where there is none: JSON and Parquet write NaN for a missing number.

    key: the configuration key that names it, for the error.
    """
    for record in records:
        if name not in record.values:
            raise ValueError(
                f"{key}={name}: {record.where} has no such column; it has {', '.join(record.values)}"
            )
    values = (record.values[name] for record in records)
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def texts(records: Sequence[Record], name: str, key: str) -> list[str]:
    """The values of a column of text, none of which may be empty."""
    found = column(records, name, key)
    for text, record in zip(found, records, strict=True):
        if not isinstance(text, str):
            raise ValueError(f"{key}={name}: {record.where} holds {type(text).__name__}, not text")
        if not text.strip():
            raise ValueError(f"{key}={name}: {record.where} holds no text")
    return found


def groups_of(records: Sequence[Record], name: str | None) -> list[str | None]:
    """The values of the column `name`, as text; None for rows without one, and for all where it is None."""
    if name is None:
        return [None] * len(records)
    found = (None if value is None else str(value) for value in column(records, name, "task.group"))
    return [value if value and value.strip() else None for value in found]


def divided(
    given: Mapping[str, Sequence[Record]],
    identity: Callable[[Sequence[Record]], Sequence[str]],
    *,
    group: str | None,
    validation: float,
    test: float,
    duplicates: str,
) -> dict[str, list[Record]]:
    """Rows in three disjoint splits: those that `load` found, and those cut from the training rows by hash.

    identity: the texts by which two rows are the same question; rows of one text fall into one split, and so
    do rows of one value in the column `group`. validation, test: fractions to cut off where a split is not
    given. duplicates: "refuse" texts and groups that two given splits share, or "drop" them from the one that
    is trained on (or, of validation and test, from validation).
    """
    if duplicates not in ("refuse", "drop"):
        raise ValueError(f"task.duplicates={duplicates} is unknown: choose refuse or drop")
    cut = {"validation": validation, "test": test}
    for split, share in cut.items():
        if split not in given and not 0 < share < 1:
            raise ValueError(f"task.{split}={share} must be more than 0 and less than 1")
    cut = {split: 0.0 if split in given else share for split, share in cut.items()}
    if sum(cut.values()) >= 1:
        raise ValueError(f"task.validation={validation} and task.test={test} must have a sum below 1")
    kept = _without_shared(given, identity, group, duplicates)
    if not any(cut.values()):
        return kept
    train = kept["train"]
    groups = together(identity(train), groups_of(train, group))
    split_of = assign_splits(set(groups), **cut)
    needed = 1 + sum(share > 0 for share in cut.values())
    if len(split_of) < needed:
        raise ValueError(
            f"task.files hold {len(split_of)} different texts or groups, too few to cut into {needed} splits"
        )
    for split in SPLITS:
        if split == "train" or cut[split]:
            kept[split] = [row for row, name in zip(train, groups, strict=True) if split_of[name] == split]
    return kept


def _without_shared(
    given: Mapping[str, Sequence[Record]],
    identity: Callable[[Sequence[Record]], Sequence[str]],
    group: str | None,
    duplicates: str,
) -> dict[str, list[Record]]:
    kept: dict[str, list[Record]] = {}
    later: set[str] = set()
    for split in reversed([split for split in SPLITS if split in given]):
        rows = given[split]
        names = [
            {_hash("text", text)} | (set() if by is None else {_hash("group", by)})
            for text, by in zip(identity(rows), groups_of(rows, group), strict=True)
        ]
        kept[split] = [row for row, name in zip(rows, names, strict=True) if not name & later]
        shared = len(rows) - len(kept[split])
        too = f"stand in a later split too{'' if group is None else f', or others of their {group} do'}"
        if shared and duplicates == "refuse":
            raise ValueError(
                f"{shared} of the {len(rows)} {split} examples {too}: "
                f"remove them, or leave them out of {split} with task.duplicates=drop"
            )
        if not kept[split]:
            raise ValueError(f"all of the {len(rows)} {split} examples {too}")
        later = later.union(*names)
    return {split: kept[split] for split in SPLITS if split in kept}


def left_out(given: Mapping[str, Sequence[Record]], kept: Mapping[str, Sequence[Record]]) -> tuple[str, ...]:
    """What `divided` dropped, in words; () for nothing."""
    dropped = sum(map(len, given.values())) - sum(map(len, kept.values()))
    return (f"{dropped} examples that a later split holds too are left out",) if dropped else ()


def cut_note(split: str, what: str, lengths: Sequence[int], key: str, most: int) -> tuple[str, ...]:
    """Says in words how many of the tokenized texts of a split are longer than task.`key`; () for none."""
    cut = sum(length > most for length in lengths)
    return (f"{cut} of {len(lengths)} {split} {what} are cut to task.{key}={most} tokens",) if cut else ()


def together(texts: Sequence[str], groups: Sequence[str | None]) -> list[str]:
    """A name for each row (N,), the same for rows that share a text or, however indirectly, a group.

    It is the hash of a text, or of a group where there are any, so that adding rows moves few others. None
    stands for no group.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = parent[above]
            name = above
        return name

    own = [_hash("text", text) for text in texts]
    for name, group in zip(own, groups, strict=True):
        if group is not None:
            one, other = sorted((root(name), root(_hash("group", group))))
            parent[other] = one
    return [root(name) for name in own]


def _hash(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind} {text}".encode()).hexdigest()


def counted(values: Sequence[str], most: int = 5) -> str:
    """ "spam (12), ham (3)", the most frequent first."""
    counts = Counter(values).most_common()
    rest = f" and {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{value} ({count})" for value, count in counts[:most]) + rest
