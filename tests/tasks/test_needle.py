"""The needle: one made-up fact at its depth in real text, and an answer that stands nowhere else."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from toys import corpus

from archs.contract import Family, Output
from tasks import BPE, Needle, RawBytes
from tasks.corpus import Corpus, Document
from tasks.needle import unused_names, unused_values
from tasks.rows import IGNORE
from tasks.tokenizer import EOS, N_SPECIAL, SEP

COUNTS = {"validation_examples": 20, "test_examples": 25, "quick_examples": 10}
FACT = re.compile(r" The secret number of (\w+) is( \d{4})\.")
ASKED = re.compile(r" The secret number of (\w+) is$")
SPECS = [RawBytes(), BPE(400)]


@pytest.fixture
def needle(tmp_path):
    def made(family=Family.DECODER, tokenizer=SPECS[0], text=None, **keys):
        given = {"length": 200, **COUNTS, **keys}
        made_of = text or corpus()
        return Needle(
            corpus=made_of, tokenizer=tokenizer, cache_dir=tmp_path, family=family, start=0, **given
        )

    return made


@pytest.mark.parametrize("tokenizer", SPECS, ids=lambda spec: spec.name)
def test_the_fact_stands_at_its_depth_and_its_answer_nowhere_else(needle, tokenizer):
    task = needle(tokenizer=tokenizer)
    for i, example in enumerate([*task.training(1, 3, 50), *task.examples("test")]):
        assert len(example.source) == 200
        assert example.at is None
        text, answer = task.tokenizer.decode(example.source), task.tokenizer.decode(example.target)
        (fact,), (question,) = FACT.finditer(text), ASKED.finditer(text)
        assert fact[1] == question[1]
        assert fact[2] == answer
        assert text.count(answer.strip()) == 1
        assert text.count(fact[1]) == 2
        before, after = text[: fact.start()], text[fact.end() : question.start()]
        depth = task.depths[(i if i >= 50 else 150 + i) % 5] / 100
        moved = len(before) - depth * len(before + after)
        assert abs(moved) < 20, "depth counts tokens, and moves on to the next word"
        if depth not in (0, 1):
            assert after[0] in " \n"


def test_text_is_that_of_the_split(needle):
    own = corpus()
    task = needle(text=own)
    for split, found in (("train", task.training(1, 0, 20)), ("test", task.examples("test"))):
        running = "\n".join([*(document.text for document in own.split(split)), ""])
        for example in found:
            text = ASKED.sub("", FACT.sub("", task.tokenizer.decode(example.source)))
            assert text in running


def test_examples_are_pure_and_new_and_the_same_for_every_family(needle):
    task, again = needle(), needle(Family.ENCODER)
    assert (task.training(1, 5, 8).source == again.training(1, 5, 8).source).all()
    assert task.digests == again.digests
    shown = [e.source.tobytes() for index in range(10) for e in task.training(1, index, 8)]
    assert len(set(shown)) == 80
    assert (task.training(1, 5, 8).source != task.training(2, 5, 8).source).any()
    batch = task.batch(1, 0, 8)
    assert batch.consumed == 8 * (200 + 5)
    assert (batch.tokens[:, 200] == SEP).all()
    assert (batch.targets != IGNORE).sum() == 8 * 5
    assert batch.tokens.shape[1] <= task.max_len


class Reader(nn.Module):
    """Finds the fact of a source and gives its number, in a decoder; `blind` beyond so many tokens."""

    def __init__(self, task, max_len=None, blind=None):
        super().__init__()
        self.task, self.max_len, self.blind = task, max_len, blind

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        out = torch.zeros(*tokens.shape, self.task.vocab_size)
        for b, row in enumerate(tokens.tolist()):
            end = row.index(SEP)
            fact = FACT.search(self.task.tokenizer.decode(row[:end]))
            answer = [*self.task.tokenizer.encode(fact[2]).tolist(), EOS]
            for place, token in enumerate(answer):
                if end + place < len(row) and not (self.blind and fact.start() < self.blind):
                    out[b, end + place, token] = 9.0
        return Output(out)

    def head(self, hidden):
        return hidden


@pytest.mark.parametrize("tokenizer", SPECS, ids=lambda spec: spec.name)
def test_a_reader_solves_it_and_depths_are_reported_apart(needle, tokenizer):
    task = needle(tokenizer=tokenizer)
    found = task.evaluate(Reader(task), "test")
    assert task.primary == "exact_match"
    assert found["exact_match"] == found["accuracy"] == 1.0
    assert found["solved"]
    assert len(found["clusters"]["names"]) == 25
    found = task.evaluate(Reader(task, blind=1), "test")
    assert found["exact_match_depth_0"] == 0.0
    assert {found[f"exact_match_depth_{depth}"] for depth in (25, 50, 75, 100)} == {1.0}
    assert found["exact_match"] == pytest.approx(0.8)
    assert 0 < task.baselines("test")["chance"]["exact_match"] < 1e-3


def test_longer_texts_are_evaluated_where_positions_reach(needle):
    task = needle(beyond=[300])
    assert task.evaluate(Reader(task), "test")["exact_match_length_300"] == 1.0
    found = task.evaluate(Reader(task, max_len=task.max_len), "validation")
    assert found["exact_match_length_300"] is None
    assert found["exact_match"] == 1.0


def test_numbers_and_names_of_the_corpus_are_not_used():
    values = unused_values(["In 1999, and 12345678.", "4321"])
    assert not {" 1999", " 1234", " 2345", " 5678", " 4321"} & set(values)
    assert len(values) == 9000 - 1 - 5 - 1
    names = unused_names([""])
    assert set(names) - set(unused_names([f"About {names[7]}."])) == {names[7]}
    with pytest.raises(ValueError, match="all but 999 of the numbers of 4 digits: too few are left"):
        unused_values([" ".join(map(str, range(1000, 9001)))])


def test_answers_shorter_than_the_longest_end(needle):
    """BPE that has seen some numbers joins their digits."""
    texts = [f"word {n} 12 21 11 22 " * 9 for n in "abcdefghijklmnopqrstuvwxyz"]
    numbered = Corpus("n", [Document(str(i), str(i), text) for i, text in enumerate(texts)], 0.2, 0.2)
    task = needle(tokenizer=BPE(380), text=numbered, length=100)
    lengths = task.examples("test").target_lengths
    assert lengths.min() < lengths.max() <= task.answer_len
    assert task.labels[0] == EOS
    assert (task.labels[1:] == np.arange(N_SPECIAL, task.vocab_size)).all()
    assert task.evaluate(Reader(task), "test")["exact_match"] == 1.0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"depths": [0, 101]}, r"task.depths=\[0, 101\] must be different percentages, from 0 to 100"),
        ({"depths": []}, r"task.depths=\[\] must be"),
        ({"beyond": [200]}, r"task.beyond=\[200\] must be longer than task.length=200"),
        ({"quick_examples": 4}, "task.quick_examples=4 must be at least 5, one per depth"),
        ({"length": 60}, "task.length=60 and task.beyond=.* must leave room for the fact"),
        ({"length": 10**6}, "task.length=1000000 and .* be less than the"),
    ],
)
def test_impossible_keys_are_refused_in_one_line(needle, keys, message):
    with pytest.raises(ValueError, match=message) as caught:
        needle(**keys)
    assert "\n" not in str(caught.value)
