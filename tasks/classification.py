"""Classification of text: one reserved token per class, behind the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from archs.contract import Backbone, Family

from .bag_of_words import NaiveBayes
from .example import Example, Examples
from .labelled import NEAREST, Labelled, classes, fingerprint, read_labelled, shortened
from .scoring import native_nats, per_target
from .stream import encoded, fitted_on
from .streams import sha256, stream
from .supervised import Judged, SupervisedTask, shuffled
from .tables import Files, cut_note
from .tokenizer import N_SPECIAL, SENTINELS, TokenizerSpec

CHUNK = 512  # held-out windows laid out together: bounds the memory that long ones take
NOT_BYTES = "this task is published byte by byte (tokenizer=bytes), and is read by longer tokens here"
BINS = 15  # of the calibration error (Guo et al. 2017)


class TextTask(SupervisedTask):
    """Text of one class each, through one tokenizer. What is read, and what is named:

        source   I  was  not  amused  .        the text, `length` tokens of it at most
        target   <extra_id_0>                  the class: reserved token i is the i-th label in order

    The answer follows the source, in the layout of each family; a prediction is the argmax over the labels.
    Reserved tokens answer, so that the vocabulary is that of a run pretrained on text. The tokenizer is
    fitted on the training texts alone. Metrics of a held-out split, all per document:

    accuracy           of the likeliest label
    macro_f1           F1, averaged over the classes that occur or are named
    calibration_error  expected calibration error over 15 bins of the softmax restricted to the labels
    native_loss        nats per label, over the whole vocabulary
    """

    def __init__(
        self,
        *,
        family: Family,
        start: int | None,
        tokenizer: TokenizerSpec,
        cache_dir: str | Path,
        documents: Mapping[str, Sequence[Labelled]],
        length: int,
        windows: int | None,
        quick_examples: int,
        labels_from: str,
        notes: Sequence[str] = (),
        bytewise: bool = False,
    ) -> None:
        """documents: by split. labels_from: what the labels come from, for errors. notes: what was left out.
        bytewise: published for bytes, so that any other tokenizer is noted.

        windows: None to read the beginning of a text; or in training one window from a random place, and for
        a held-out text this many windows, evenly spaced, whose log probabilities are averaged.
        """
        for key, value in (("length", length), ("quick_examples", quick_examples)):
            if value < 1:
                raise ValueError(f"task.{key}={value} must be at least 1")
        self.documents, self.length = documents, length
        self.windows, self.anywhere = windows or 1, windows is not None
        self.label_names = classes(documents, labels_from)
        self.quick_examples = quick_examples
        texts = [text for document in documents["train"] for text in document.sides or [document.text]]
        self.tokenizer = fitted_on(texts, sha256(texts), tokenizer, cache_dir)
        super().__init__(
            family=family,
            start=start,
            vocab_size=self.tokenizer.vocab_size,
            source_len=length,
            answer_len=1,
            in_place=False,
            labels=np.array(SENTINELS[: len(self.label_names)]),
        )
        self.digests = {
            "examples": sha256(fingerprint(documents), length, windows),
            "tokenizer": self.tokenizer.digest,
        }
        self._ids: dict[str, list[np.ndarray]] = {}
        self.notes = tuple(notes)
        if bytewise and self.tokenizer.vocab_size > N_SPECIAL + 256:
            self.notes += (NOT_BYTES,)
        for split, members in documents.items():
            sides = zip(*(document.sides or (document.text,) for document in members), strict=True)
            rows = list(zip(*(encoded(side, self.tokenizer, cache_dir) for side in sides), strict=True))
            if self.anywhere:
                self._ids[split] = [ids for (ids,) in rows]
            else:
                whole = [sum(map(len, row)) + len(row) - 1 for row in rows]
                self._ids[split] = [shortened(row, length) for row in rows]
                self.notes += cut_note(split, "texts", whole, "length", length)
        token = dict(zip(self.label_names, self.labels, strict=True))
        self._answers = {
            split: np.array([token[document.label] for document in members])
            for split, members in documents.items()
        }

    def training(self, seed: int, index: int, size: int) -> Examples:
        texts, answers = self._ids["train"], self._answers["train"]
        which = shuffled((self.name,), seed, len(texts), index, size)
        places = stream("windows of texts", self.name, seed, index).random(size)
        examples = [
            Example(self._window(texts[i], place), answers[i : i + 1])
            for i, place in zip(which, places, strict=True)
        ]
        return Examples.of(examples)

    def examples(self, split: str) -> Examples:
        """The windows of each held-out text, one text after another."""
        places = (np.arange(self.windows) + 0.5) / self.windows
        sources = [self._window(ids, place) for ids in self._ids[split] for place in places]
        answers = np.repeat(self._answers[split], self.windows)
        return Examples.of(list(map(Example, sources, answers[:, None])))

    def quick(self, examples: Examples) -> Examples:
        """Of a random choice of texts, always the same, since rows often come sorted by class."""
        texts = np.arange(len(examples)).reshape(-1, self.windows)
        chosen = np.sort(stream("quick", self.name).permutation(len(texts))[: self.quick_examples])
        return examples.take(texts[chosen].ravel())

    def names(self, split: str) -> list[str]:
        return [document.cluster for document in self.documents[split]]

    def train_tokens(self) -> int:
        """Of an epoch, which shows every text once: source and answer."""
        return sum(min(len(ids), self.length) + 1 for ids in self._ids["train"])

    def bytes_per_token(self) -> float:
        lengths = self.tokenizer.byte_lengths
        ids = self._ids["train"]
        return float(sum(lengths[text].sum() for text in ids) / sum(map(len, ids)))

    def save(self, folder: Path) -> None:
        """tokenizer.json."""
        self.tokenizer.save(folder / "tokenizer.json")

    def judge(self, model: Backbone, examples: Examples) -> Judged:
        """What `model` says to each text, its windows averaged."""
        measure = partial(label_scores, labels=torch.as_tensor(self.labels))
        rows: list[np.ndarray] = []
        for first in range(0, len(examples), CHUNK):
            laid = self.laid(examples.take(slice(first, first + CHUNK)))
            rows += per_target(model, laid.rows(), measure)
        scores = np.concatenate(rows).reshape(-1, self.windows, len(self.labels) + 1).mean(axis=1)
        log_p = log_softmax(torch.from_numpy(scores[:, :-1]), dim=1)
        confidence, said = log_p.exp().max(dim=1)
        named = self.labels[said.numpy()]
        right = (named == examples.target[:: self.windows, 0]) * 1.0
        columns = (right, scores[:, -1], named, confidence.numpy())
        return Judged(*(list(column[:, None]) for column in columns))

    def ratios(self, judged: Judged, examples: Examples) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        right = np.concatenate(judged.right)
        return {"accuracy": (right, np.ones(len(right)))}

    def metrics(self, judged: Judged, examples: Examples) -> dict[str, Any]:
        said, confidence = np.concatenate(judged.said), np.concatenate(judged.confidence)
        answers = examples.target[:: self.windows, 0]
        return super().metrics(judged, examples) | self._quality(said, confidence, answers)

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """majority: always the most frequent label of training. naive Bayes: multinomial, over the words of
        the training texts, asked about the text that a model reads; one that does worse misses the words."""
        examples = self.examples(split)
        examples = self.quick(examples) if quick else examples
        answers = examples.target[:: self.windows, 0]
        read = [self.tokenizer.decode(example.source) for example in examples]
        texts = [" ".join(read[i : i + self.windows]) for i in range(0, len(read), self.windows)]
        log_p = self._naive_bayes.log_probabilities(texts)
        most = np.bincount(self._answers["train"]).argmax()
        share = float((self._answers["train"] == most).mean())
        majority = self._quality(np.full(len(answers), most), np.full(len(answers), share), answers)
        bayes = self._quality(self.labels[log_p.argmax(axis=1)], np.exp(log_p.max(axis=1)), answers)
        return {
            "majority": {"accuracy": float((answers == most).mean()), **majority},
            "naive Bayes": {
                "accuracy": float((answers == self.labels[log_p.argmax(axis=1)]).mean()),
                **bayes,
            },
        }

    @cached_property
    def _naive_bayes(self) -> NaiveBayes:
        texts = [self.tokenizer.decode(ids) for ids in self._ids["train"]]
        return NaiveBayes(texts, self._answers["train"] - self.labels[0], len(self.labels))

    def _window(self, ids: np.ndarray, place: float) -> np.ndarray:
        """`length` tokens from `place` on, a share of the way to where the last window begins."""
        first = int(place * (max(len(ids) - self.length, 0) + 1)) if self.anywhere else 0
        return ids[first : first + self.length]

    def _quality(self, said: np.ndarray, confidence: np.ndarray, answers: np.ndarray) -> dict[str, float]:
        """macro_f1 and calibration_error of label ids `said` with probability `confidence`."""
        from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_f1_score

        K = len(self.labels)
        place, target = (torch.from_numpy(ids - self.labels[0]).long() for ids in (said, answers))
        # The probabilities of labels that are not named do not enter the error.
        p = torch.zeros(len(said), K).scatter_(
            1, place[:, None], torch.from_numpy(confidence).float()[:, None]
        )
        return {
            "macro_f1": float(multiclass_f1_score(place, target, num_classes=K, average="macro")),
            "calibration_error": float(multiclass_calibration_error(p, target, num_classes=K, n_bins=BINS)),
        }


class Classification(TextTask):
    """The user's own labelled text, or a dataset of the hub.

    A text is read from its beginning; what is longer than `length` tokens is cut off behind. Splits that are
    not given are cut from the training rows by a hash of the text, so that equal texts, and rows of equal
    `group`, stay together.
    """

    name = "classification"

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
        text: str = "text",
        label: str = "label",
        group: str | None = None,
        length: int = 512,
        validation: float = 0.1,
        test: float = 0.1,
        duplicates: str = "refuse",
        quick_examples: int = 256,
        bytewise: bool | None = None,
    ) -> None:
        """files, hub: where rows come from (see `tables.load`); text, label, group: columns.

        Raises ValueError in one line for rows that cannot be learned from (see `labelled.read_labelled`).
        """
        documents, notes = read_labelled(
            files=files,
            validation_files=validation_files,
            test_files=test_files,
            hub=hub or {},
            columns={"task.text": text},
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


def label_scores(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """(N, K + 1): log probabilities among the K labels (ids), and what the target cost in nats."""
    among = log_softmax(logits[:, labels.to(logits.device)], dim=1)
    return torch.cat([among, native_nats(logits, targets)[:, None]], dim=1)
