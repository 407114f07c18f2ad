"""Copying, reversing, sorting: checked against Python's own, and judged by a model that knows."""

import pytest
import torch
from drawn import check_splits, checksum, drawn, made, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archs.contract import Family, Output
from tasks import Copy, Reverse, Sort
from tasks.tokenizer import EOS, MASK, N_SPECIAL, SEP

WRITTEN = {Copy: list, Reverse: lambda symbols: symbols[::-1], Sort: sorted}
TASKS = pytest.mark.parametrize("task", WRITTEN)


def small(task, **changes):
    return made(task, **({"length": 8, "beyond": [12]} | changes))


@TASKS
@settings(max_examples=20)
@given(vocab=st.integers(8, 30), length=st.integers(6, 12), seed=st.integers(0, 99))
def test_answers_are_pythons(task, vocab, length, seed):
    made_task = small(task, vocab=vocab, length=length, beyond=[length + 5])
    for part, size in ((f"length_{length}", length), (f"length_{length + 5}", length + 5)):
        for source, target, at in drawn(made_task, part, 30, seed):
            assert len(source) == size
            assert target.tolist() == WRITTEN[task](source.tolist())
            assert 0 <= source.min() <= source.max() < vocab
            assert at is None


class Writer(nn.Module):
    """Writes the answer out, whatever the family and the length, and ends it."""

    def __init__(self, rewrite, vocab_size, max_len=None):
        super().__init__()
        self.rewrite, self.vocab_size, self.max_len = rewrite, vocab_size, max_len

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        logits = torch.zeros(*tokens.shape, self.vocab_size)
        for b, row in enumerate(tokens.tolist()):
            read = row[: row.index(SEP)] if source is None else source[b].tolist()
            read = [symbol for symbol in read if symbol >= N_SPECIAL]
            first = 0 if source is not None else len(read) + (MASK in row)
            for i, symbol in enumerate([*self.rewrite(read), EOS]):
                if first + i < len(row):
                    logits[b, first + i, symbol] = 9.0
        return Output(logits)

    def head(self, hidden):
        return hidden


@TASKS
@pytest.mark.parametrize("family", Family)
def test_writing_it_out_solves_every_length(task, family):
    written = small(task, length=[4, 8], vocab=20, family=family)
    found = written.evaluate(Writer(WRITTEN[task], written.vocab_size), "validation")
    for name in ("accuracy", "exact_match"):
        assert [found[name + part] for part in ("", "_length_4", "_length_8", "_length_12")] == [1.0] * 4
    assert found["solved"]
    wrong = WRITTEN[Reverse if task is Copy else Copy]
    assert written.evaluate(Writer(wrong, written.vocab_size), "test")["exact_match"] < 0.1


@pytest.mark.parametrize(("max_len", "longer"), [(16, None), (24, None), (None, 1.0)])
def test_lengths_that_a_table_of_positions_was_not_trained_to_are_none(max_len, longer):
    """12 symbols and as many of their copy, of which the last is not read again, behind <sep>: a table of 24
    has rows for them, of which training fills 16."""
    task = small(Copy)
    assert task.max_len == 16
    found = task.evaluate(Writer(list, task.vocab_size, max_len=max_len), "validation")
    assert (found["exact_match"], found["exact_match_length_12"]) == (1.0, longer)


@TASKS
def test_splits_and_chance(task):
    check_splits(small(task))
    alone = small(task, vocab=10).baselines("test")["chance"]
    assert alone == pytest.approx({"accuracy": 0.1, "exact_match": 0.1**8})
    several = small(task, vocab=10, length=[4, 8]).baselines("test")["chance"]
    assert several["accuracy"] == 1 / 11, "an end is a label where answers have several lengths"
    assert several["exact_match"] == pytest.approx((11**-5 + 11**-8) / 2)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Copy, ("2b364f1697a77536", "f611d7faeb08c279")),
        (Reverse, ("342c91f6891f676b", "aa30ede1b7aae7d7")),
        (Sort, ("ef7dd5ba57dfb23c", "24fbb2f4ad5f1eb2")),
    ],
)
def test_the_data_of_a_seed_never_change(task, expected):
    """A new checksum means that no result is comparable with those made before."""
    assert checksum(small(task)) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab": 1}, r"^task.vocab=1 must be at least 2$"),
        ({"length": 0}, r"^task.length=0 must be whole numbers of at least 1$"),
        ({"beyond": [7]}, r"^task.beyond=\[7\] must be more than task.length=8$"),
        ({"vocab": 2, "length": 6}, r"^task=copy \(vocab=2, length_6\): only \d+ distinct examples"),
    ],
)
def test_impossible_parameters_are_refused(changes, message):
    refused(lambda **given: small(Copy, **given), message, **changes)
