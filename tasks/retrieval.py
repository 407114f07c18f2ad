"""Two texts of one class: are they about the same, does one cite the other, or follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archs.contract import Family

from .classification import TextTask
from .labelled import read_labelled
from .tables import Files
from .tokenizer import TokenizerSpec

MISSING = (
    "the published pairs of papers (AAN) are on no hub; give their tables, as in task.files=train.tsv, or "
    "use task=sotu_party, which is always there"
)
NEAREST = (
    "without one use task=lra_retrieval with files of your own (task.files=pairs.tsv), or task=sotu_party"
)


class Retrieval(TextTask):
    """Classification of two texts, read one after the other by every family:

        source   The first text <sep> The second one       `length` tokens at most, half of them for each text
        target   <extra_id_0>                              the class, as in classification

    Tables say so ("text1 <sep> text2 <sep> target"): the published task encodes each text by itself.

    What the first text leaves of its half the second may use, and the other way round. Splits that are not
    given are cut by a hash of both texts together: as in the published task, a text alone may stand in
    several splits, in other company (`group` keeps rows together).
    """

    name = "retrieval"

    def __init__(
        self,
        *,
        family: Family,
        start: int | None = None,
        tokenizer: TokenizerSpec,
        cache_dir: str | Path,
        files: Files = None,
        validation_files: Files = None,
        test_files: Files = None,
        hub: Mapping[str, Any] | None = None,
        text: str = "text1",
        second: str = "text2",
        label: str = "label",
        group: str | None = None,
        length: int = 8000,
        validation: float = 0.1,
        test: float = 0.1,
        duplicates: str = "refuse",
        quick_examples: int = 256,
        bytewise: bool | None = None,
    ) -> None:
        """text, second, label, group: columns; the rest as for Classification.

        Raises ValueError in one line for rows that cannot be learned from.
        """
        if length < 3:
            raise ValueError(f"task.length={length} must be at least 3: two texts and what separates them")
        if not files and not (hub or {}).get("path"):
            raise ValueError(f"task.files is not set: {MISSING}")
        documents, notes = read_labelled(
            files=files,
            validation_files=validation_files,
            test_files=test_files,
            hub=hub or {},
            columns={"task.text": text, "task.second": second},
            label=label,
            group=group,
            validation=validation,
            test=test,
            duplicates=duplicates,
            nearest=NEAREST,
        )
        super().__init__(
            family=family,
            start=start,
            tokenizer=tokenizer,
            cache_dir=cache_dir,
            documents=documents,
            length=length,
            windows=None,
            quick_examples=quick_examples,
            labels_from=f"task.label={label}",
            notes=notes,
            bytewise=bool(bytewise),
        )
        self.asked = self.asked.replace("source", "text1 <sep> text2")
