"""Few-shot labels: the same bytes for every family, the likeliest label, and prompts that are made to fit."""

import csv

import numpy as np
import pytest
import torch
from torch import nn

from archs.contract import Family, Output
from tasks import Causal, Masked, Prefix, RawBytes, Span, SpanPrefix
from tasks.classification import Classification
from tasks.fewshot import chosen, few_shot, fitting
from tasks.labelled import Labelled
from tasks.tokenizer import BOS, N_SPECIAL, raw_bytes

ENCODER, DECODER, ENCODER_DECODER = Family
ASKED = [
    (Causal, DECODER),
    (Masked, ENCODER),
    (Prefix, ENCODER_DECODER),
    (SpanPrefix, ENCODER_DECODER),
    (Span, ENCODER_DECODER),
]
BYTES = raw_bytes()


class Reader(nn.Module):
    """Knows that a label is the last letter of the question's text, in capitals; keeps what it reads.

    Whatever stands before the place that is asked for, it expects the next byte of " A\n", " B\n", ...
    """

    vocab_size, max_len = BYTES.vocab_size, None

    def __init__(self, family):
        super().__init__()
        self.family, self.texts = family, []

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        out = torch.zeros(*tokens.shape, self.vocab_size)
        for b, row in enumerate(tokens.tolist()):
            row = row if keep is None else row[: int(keep[b].sum())]
            before = []
            if source is not None:
                before = source[b].tolist()
                before = before if source_keep is None else before[: int(source_keep[b].sum())]
                row = row[1:]  # the start token
            self.texts.append(BYTES.decode(token for token in [*before, *row] if token >= N_SPECIAL))
            for t in range(tokens.shape[1]):
                known = [*before, *row[:t]] if self.family is ENCODER or source is not None else row[: t + 1]
                text = BYTES.decode(token for token in known if token >= N_SPECIAL)
                question = text.rsplit("Text: ", 1)[-1]
                if "\nLabel:" in question:
                    asked, written = question.split("\nLabel:", 1)
                    expected = f" {asked[-1].upper()}\n"
                    if len(written) < len(expected):
                        out[b, t, N_SPECIAL + ord(expected[len(written)])] = 9
        return Output(out)

    def head(self, hidden):
        return hidden


@pytest.fixture
def task(tmp_path):
    def made(family=DECODER):
        words = [f"{'xyz'[i % 3]}{i} ends in {'abc'[i * 7 % 3]}" for i in range(90)]
        with (tmp_path / "letters.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *((word, word[-1].upper()) for word in words)])
        return Classification(
            family=family,
            start=0,
            tokenizer=RawBytes(),
            cache_dir=tmp_path / "cache",
            files=str(tmp_path / "letters.csv"),
        )

    return made


@pytest.mark.parametrize(("objective", "family"), ASKED)
@pytest.mark.parametrize("shots", [0, 3])
def test_a_model_that_knows_names_every_label_and_all_families_read_the_same(task, objective, family, shots):
    known = task(family)
    model = Reader(family)
    found = few_shot(model, objective(family=family, start=0), known, "test", shots, limit=400)
    assert (found["accuracy"], found["macro_f1"]) == (1, 1)
    assert (found["shots"], found["prompts_shortened"], found["texts_cut"]) == (shots, 0, 0)
    for document in known.documents["test"]:
        end = f"Text: {document.text}\nLabel:"
        (prompt,) = {
            text[: text.rindex("\nLabel:") + 7]
            for text in model.texts
            if f"{end} " in text or text.endswith(end)
        }
        assert prompt.count("Text: ") == shots + 1
        assert prompt.startswith("Text: ")
        assert prompt.endswith(end)


def test_a_model_that_knows_nothing_names_one_label(task):
    known = task()
    model = Reader(DECODER)
    model.forward = lambda tokens, *_, **__: Output(torch.zeros(*tokens.shape, model.vocab_size))
    found = few_shot(model, Causal(family=DECODER), known, "test", 0, limit=400)
    assert found["named_most"] == 1
    assert found["accuracy"] < 1


def test_examples_are_drawn_evenly_over_labels():
    train = [Labelled(str(i), "a" if i < 50 else "b" if i < 58 else "c", str(i)) for i in range(60)]
    for shots in (1, 2, 3, 5, 6, 12, 60):
        picked = chosen(train, ["a", "b", "c"], shots, np.random.default_rng(shots))
        assert len({p.text for p in picked}) == shots
        counts = sorted(sum(p.label == label for p in picked) for label in "abc")
        assert counts[-1] - counts[0] <= 1 or counts[0] == 2  # there are but two of "c"


def test_a_long_prompt_loses_whole_examples_from_the_left_and_then_the_end_of_its_text():
    examples = [Labelled(f"example {i}", "A", "") for i in range(4)]
    full = fitting(BYTES, examples, "the question", 1000)
    assert full.ids[0] == BOS
    assert full.shots == 4
    assert not full.cut
    less = fitting(BYTES, examples, "the question", len(full.ids) - 1)
    assert less.shots == 3
    assert BYTES.decode(full.ids).endswith(BYTES.decode(less.ids))
    assert BYTES.decode(less.ids).startswith("Text: example 1\n")
    bare = fitting(BYTES, [], "the question", 100)
    cut = fitting(BYTES, examples, "the question", len(bare.ids) - 3)
    assert (cut.shots, cut.cut, BYTES.decode(cut.ids)) == (0, True, "Text: the quest\nLabel:")
    with pytest.raises(ValueError, match="needs more than 9 tokens"):
        fitting(BYTES, examples, "the question", 9)


def test_a_text_is_not_cut_inside_a_character():
    bare = fitting(BYTES, [], "ab☃☃", 100)
    for missing in range(1, 6):
        text = BYTES.decode(fitting(BYTES, [], "ab☃☃", len(bare.ids) - missing).ids)
        assert "\ufffd" not in text
        assert text in ("Text: ab☃\nLabel:", "Text: ab\nLabel:")


def test_more_shots_than_examples_is_one_line(task):
    with pytest.raises(ValueError, match=r"shots=500 is more than the \d+ training examples"):
        few_shot(Reader(DECODER), Causal(family=DECODER), task(), "test", 500, limit=400)
