"""Labelled text: where it is read from, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .tables import Files, Record, column, counted, divided, load, texts
from .tokenizer import SENTINELS

NEAREST = "without one use task=sotu_party, or your own files with task=classification task.files=..."
MOST = len(SENTINELS)  # classes: each is answered by a reserved token of its own


class Labelled(NamedTuple):
    """A text and its class. Those of one `cluster` belong together (parts of a speech, say)."""

    text: str
    label: str
    cluster: str


def read_labelled(
    *,
    files: Files,
    validation_files: Files,
    test_files: Files,
    hub: Mapping[str, Any],
    text: str,
    label: str,
    group: str | None,
    validation: float,
    test: float,
    duplicates: str,
) -> dict[str, list[Labelled]]:
    """Labelled texts by split; see `tables.load` and `tables.divided` for the arguments.

    Raises ValueError in one line for what cannot be learned from: a column that is missing, a text or label
    that is empty, labels that only a held-out split has.
    """
    given = load(
        files=files, validation_files=validation_files, test_files=test_files, hub=hub, nearest=NEAREST
    )
    for records in given.values():
        labels_of(records, label)
        texts(records, text, "task.text")
    split = divided(
        given,
        lambda records: [record.values[text] for record in records],
        group=group,
        validation=validation,
        test=test,
        duplicates=duplicates,
    )
    found = {name: _labelled(records, name, text, label, group) for name, records in split.items()}
    classes(found, f"task.label={label}")
    return found


def _labelled(
    records: Sequence[Record], split: str, text: str, label: str, group: str | None
) -> list[Labelled]:
    groups = [None] * len(records) if group is None else column(records, group, "task.group")
    clusters = [f"{split} {i}" if name is None else str(name) for i, name in enumerate(groups)]
    labels = labels_of(records, label)
    return [
        Labelled(record.values[text], *rest) for record, *rest in zip(records, labels, clusters, strict=True)
    ]


def labels_of(records: Sequence[Record], name: str) -> list[str]:
    """The labels, as strings; none may be empty."""
    values = column(records, name, "task.label")
    for value, record in zip(values, records, strict=True):
        if value is None or not str(value).strip():
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
        for part in (split, *(value for document in members for value in document[:2])):
            data = part.encode()
            sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()
