"""Labelled text: where it is read from, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from .tables import Files, Record, column, counted, divided, groups_of, left_out, load, texts
from .tokenizer import SENTINELS, SEP

NEAREST = "without one use task=sotu_party, or your own files with task=classification task.files=..."
MOST = len(SENTINELS)  # classes: each is answered by a reserved token of its own


class Labelled(NamedTuple):
    """A text and its class. Those of one `cluster` belong together (parts of a speech, say); `sides` are the
    two texts that it is made of, where it is made of two."""

    text: str
    label: str
    cluster: str
    sides: tuple[str, ...] = ()


def read_labelled(
    *,
    files: Files,
    validation_files: Files,
    test_files: Files,
    hub: Mapping[str, Any],
    columns: Mapping[str, str],
    label: str,
    group: str | None,
    validation: float,
    test: float,
    duplicates: str,
    nearest: str,
) -> tuple[dict[str, list[Labelled]], tuple[str, ...]]:
    """Labelled texts by split, and what was left out, in words; see `tables` for the arguments.

    columns: those of a row's text, or of its two texts, by the key that names each (for errors).
    Equal texts under different labels are counted, in words too. Raises ValueError in one line for what
    cannot be learned from: a column that is missing, a text or label that is empty.
    """
    given = load(
        files=files, validation_files=validation_files, test_files=test_files, hub=hub, nearest=nearest
    )
    for records in given.values():
        labels_of(records, label)
        for key, name in columns.items():
            texts(records, name, key)

    def joined(records: Sequence[Record]) -> list[str]:
        return ["\n\n".join(record.values[name] for name in columns.values()) for record in records]

    kept = divided(given, joined, group=group, validation=validation, test=test, duplicates=duplicates)
    found = {}
    for split, records in kept.items():
        rows = zip(
            records, joined(records), labels_of(records, label), groups_of(records, group), strict=True
        )
        found[split] = [
            Labelled(
                text,
                name,
                cluster or f"{split} {i}",
                tuple(record.values[side] for side in columns.values()) if len(columns) > 1 else (),
            )
            for i, (record, text, name, cluster) in enumerate(rows)
        ]
    return found, (*left_out(given, kept), *contradictions(found.values()))


def contradictions(splits: Iterable[Sequence[Labelled]]) -> tuple[str, ...]:
    """How many texts stand under several labels, in words; () for none."""
    labels: dict[tuple[str, ...], set[str]] = {}
    for document in chain.from_iterable(splits):
        labels.setdefault(document.sides or (document.text,), set()).add(document.label)
    torn = sum(len(names) > 1 for names in labels.values())
    many = f"{torn} texts stand" if torn > 1 else "1 text stands"
    return (f"{many} under more than one label, so that no model can be right about all",) if torn else ()


def labels_of(records: Sequence[Record], name: str) -> list[str]:
    """The labels, as strings; none may be empty."""
    values = column(records, name, "task.label")
    for value, record in zip(values, records, strict=True):
        if value is None or not str(value).strip():  # NaN is None: see `column`
            raise ValueError(f"task.label={name}: {record.where} has no label")
        if not isinstance(value, str | int | float):
            raise ValueError(f"task.label={name}: {record.where} holds {type(value).__name__}, not a label")
    return [str(value).strip() for value in values]


def classes(documents: Mapping[str, Sequence[Labelled]], key: str) -> list[str]:
    """The labels of the training split, sorted. key: what the user would change, for the errors.

    Raises ValueError for fewer than two, for more than there are reserved tokens, and for labels that only a
    held-out split has.
    """
    names = sorted({document.label for document in documents["train"]})
    if len(names) < 2:
        raise ValueError(f"{key}: every training example is {names[0]!r}; at least two classes are needed")
    if len(names) > MOST:
        raise ValueError(
            f"{key}: {len(names)} classes are more than the {MOST} reserved tokens that can answer; "
            "merge the rare ones"
        )
    for split, held in documents.items():
        unseen = [document.label for document in held if document.label not in names]
        if unseen:
            raise ValueError(
                f"{key}: {len(unseen)} {split} examples have a label that no training example has: "
                f"{counted(unseen)}"
            )
    return names


def fingerprint(documents: Mapping[str, Sequence[Labelled]]) -> str:
    """sha256 over the splits, texts and labels, in order."""
    sha = hashlib.sha256()
    for split, members in documents.items():
        values = (
            value for document in members for value in (*(document.sides or [document.text]), document.label)
        )
        for part in (split, *values):
            data = part.encode()
            sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()


def shortened(sides: Sequence[np.ndarray], length: int) -> np.ndarray:
    """At most `length` tokens of a text, its first; or of two, `first <sep> second`, each cut to half of them
    or to what the other leaves."""
    if len(sides) == 1:
        return sides[0][:length]
    first, second = sides
    room = length - 1
    first = first[: max(room // 2, room - len(second))]
    return np.concatenate([first, [SEP], second[: room - len(first)]])
