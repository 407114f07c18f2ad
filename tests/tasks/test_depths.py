"""Accuracy by depth: where the answer stands, counted from the beginning of the source."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import corpus

from archs.contract import Family
from tasks import MQAR, Copy, Needle, RawBytes, Sort
from tasks.supervised import Judged, by_depth

COUNTS = {"validation_examples": 20, "test_examples": 20, "quick_examples": 10}


class Anyone:
    """A model that is not asked: tests say what it answers."""

    max_len = None


def judged(task, right):
    """The task, told that an example is answered as right(example) says, token by token."""

    def judge(model, examples):
        rows = [np.asarray(right(example), dtype=float) for example in examples]
        return Judged(rows, rows, rows, rows)

    task.judge = judge
    return task


def fifths(values):
    return dict(zip(("0", "20", "40", "60", "80"), values, strict=True))


def test_copying_by_place_in_the_sequence():
    task = Copy(family=Family.DECODER, vocab=5, length=10, beyond=[20], **COUNTS)
    judged(task, lambda example: np.arange(len(example.target)) >= 0.6 * len(example.target))
    found = task.evaluate(Anyone(), "test")
    assert found["by_depth"] == {"trained": fifths([0, 0, 0, 1, 1]), "length_20": fifths([0, 0, 0, 1, 1])}
    assert found["accuracy"] == found["accuracy_length_20"] == pytest.approx(0.4)


def test_answers_shorter_than_the_longest_count_without_their_ends():
    task = Copy(family=Family.DECODER, vocab=5, length=[5, 10], beyond=[20], **COUNTS)
    judged(
        task,
        lambda example: [*np.ones(len(example.target)), 0][:10] if len(example.target) < 20 else [1] * 20,
    )
    assert task.evaluate(Anyone(), "test")["by_depth"]["trained"] == fifths([1, 1, 1, 1, 1])


@given(pairs=st.integers(1, 4), seed=st.integers(0, 9))
@settings(max_examples=10)
def test_recall_by_place_of_the_pair(pairs, seed):
    task = MQAR(family=Family.DECODER, vocab=64, length=32, pairs=pairs, **COUNTS)
    examples = task.training(seed, 0, 12)
    depths = task.answer_depths(examples)
    assert depths.shape == examples.target.shape
    for example, row in zip(examples, depths, strict=True):
        for at, value, depth in zip(example.at, example.target, row, strict=True):
            place = round(at - 32 * (1 - depth / 100))
            assert place % 2 == 0
            assert place < 2 * pairs
            assert example.source[place] == example.source[at]
            assert example.source[place + 1] == value


def test_needles_by_their_own_depths_at_every_length(tmp_path):
    task = Needle(
        corpus=corpus(),
        tokenizer=RawBytes(),
        cache_dir=tmp_path,
        family=Family.DECODER,
        length=120,
        depths=[0, 50, 100],
        beyond=[200],
        **{**COUNTS, "test_examples": 30},
    )
    fact = task.tokenizer.encode(" The secret").tolist()

    def right(example):
        """Facts at the very beginning are missed in their last token."""
        return [*np.ones(len(example.target) - 1), example.source[: len(fact)].tolist() != fact]

    found = judged(task, right).evaluate(Anyone(), "test")
    assert found["by_depth"] == {part: {"0": 0, "50": 1, "100": 1} for part in ("trained", "length_200")}
    assert found["exact_match_depth_0"] == 0
    assert found["exact_match_length_200"] == pytest.approx(2 / 3)


def test_only_what_is_asked_beyond_training_and_knows_depths_reports_them():
    plain = Copy(family=Family.DECODER, vocab=5, length=10, beyond=[], **COUNTS)
    sort = Sort(family=Family.DECODER, vocab=5, length=10, beyond=[20], **COUNTS)
    for task in (plain, sort):
        judged(task, lambda example: np.ones(len(example.target)))
        assert "by_depth" not in task.evaluate(Anyone(), "test")
    longer = judged(
        Copy(family=Family.DECODER, vocab=5, length=10, beyond=[20], **COUNTS),
        lambda example: np.ones(len(example.target)),
    )
    assert "by_depth" not in longer.evaluate(Anyone(), "validation", quick=True)


@pytest.mark.parametrize("family", Family)
def test_lengths_that_positions_do_not_reach_are_none_and_have_no_depths(family):
    task = Copy(family=family, start=0, vocab=5, length=10, beyond=[20, 40], **COUNTS)
    judged(task, lambda example: np.ones(len(example.target)))
    model = Anyone()
    model.max_len = 1000  # of which as many are trained as 10 symbols and their copy take
    found = task.evaluate(model, "test")
    assert found["exact_match_length_20"] is found["exact_match_length_40"] is None
    assert list(found["by_depth"]) == ["trained"]
    model.max_len = None
    assert list(task.evaluate(model, "test")["by_depth"]) == ["trained", "length_20", "length_40"]


def test_the_means_are_those_of_their_answers():
    right = [np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])]
    depths = np.array([[0.0, 19.9, 99.0], [20.0, 100.0, 0.0]])
    many = by_depth(right * 20, np.tile(depths, (20, 1)), np.array([3, 2] * 20))
    assert many == {"0": 0.5, "20": 0.0, "80": 1.0}
    few = by_depth(right * 10, np.tile(depths, (10, 1)), np.array([3, 2] * 10))
    assert few == {"0": 0.5, "80": 1.0}, "10 answers tell no accuracy"
    assert by_depth(right, np.array([0, 25]), np.array([3, 3])) == {"0": 0.0, "25": 0.0}
