"""The six mechanistic tasks: solvable by rule for every family, chance, golden data, refusals."""

import hashlib

import numpy as np
import oracles
import pytest
import torch
from torch import nn

from archs.contract import Family, Output
from tasks import Compression, FuzzyRecall, InContextRecall, Memorization, NoisyRecall, SelectiveCopying
from tasks.tokenizer import N_SPECIAL

COUNTS = {"validation_examples": 60, "test_examples": 50, "quick_examples": 20}
SMALL = {
    InContextRecall: {"length": 24},
    NoisyRecall: {"length": 32, "noise": 0.4},
    FuzzyRecall: {"vocab": 8, "length": 60},
    SelectiveCopying: {"length": 24, "tokens": 5},
    Memorization: {"vocab": 17, "length": 8},
    Compression: {"length": 8},
}
PLACED = [task for task in SMALL if task is not Compression]
RECALL = [InContextRecall, NoisyRecall, FuzzyRecall]


def small(task, family=Family.DECODER, **changes):
    return task(family=family, start=0, **(COUNTS | SMALL[task] | changes))


def solver(task):
    match task:
        case FuzzyRecall():
            return oracles.fuzzy(task.keys, task.filler, task.written)
        case SelectiveCopying():
            return oracles.selective_copying(task.blank, task.mark)
        case Memorization():
            return oracles.memorization(task.training(1, 0, 64), task.ask)
    return oracles.recall(task.keys, task.values)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("kind", PLACED)
def test_a_rule_that_reads_up_to_the_question_solves_it(kind, family):
    task = small(kind, family)
    found = task.evaluate(oracles.Oracle(task.vocab_size, solver(task)), "validation")
    assert (found["accuracy"], found["exact_match"], found["solved"]) == (1.0, 1.0, True)


@pytest.mark.parametrize("kind", RECALL)
def test_the_published_protocol_is_solved_by_the_same_rule(kind):
    task = small(kind, train_on="all")
    found = task.evaluate(oracles.Oracle(task.vocab_size, solver(task)), "validation")
    assert (found["accuracy"], found["exact_match"]) == (1.0, 1.0)
    batch = task.batch(1, 0, 4)
    assert batch.targets[:, :-1].equal(batch.tokens[:, 1:]), "every next token is a target"
    assert task.objective == "every token"
    for family in (Family.ENCODER, Family.ENCODER_DECODER):
        with pytest.raises(ValueError, match=r"task\.train_on=all"):
            small(kind, family, train_on="all")


class Squeezed(nn.Module):
    """Stands where a backbone in its bottleneck does, and has squeezed everything."""

    max_len = None

    def __init__(self, vocab_size):
        super().__init__()
        self.vocab_size = vocab_size

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        return Output(nn.functional.one_hot(tokens, self.vocab_size).double())

    def head(self, hidden):
        return hidden


@pytest.mark.parametrize("family", Family)
def test_compression_asks_for_every_token_but_the_end(family):
    task = small(Compression, family)
    assert task.asked == "bottleneck"
    for source, target, at in task.examples("test"):
        assert at.tolist() == list(range(7))
        assert target.tolist() == source[:-1].tolist()
        assert source[-1] == N_SPECIAL + 15 > target.max()
    assert task.evaluate(Squeezed(task.vocab_size), "test")["exact_match"] == 1.0


class Constant(nn.Module):
    """Always names one symbol."""

    max_len = None

    def __init__(self, vocab_size, symbol):
        super().__init__()
        self.logits = torch.zeros(vocab_size)
        self.logits[N_SPECIAL + symbol] = 1.0

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        return Output(self.logits.expand(*tokens.shape, -1))

    def head(self, hidden):
        return hidden


@pytest.mark.parametrize("kind", SMALL)
def test_chance_is_a_random_symbol_that_an_answer_may_be(kind):
    task = small(kind)
    target = task.examples("test")
    named = {int(symbol) - N_SPECIAL for example in target for symbol in example.target}
    assert len(named) == task.choices, "each of them is an answer somewhere"
    guesses = [task.evaluate(Constant(task.vocab_size, symbol), "test")["accuracy"] for symbol in named]
    assert np.mean(guesses) == pytest.approx(task.baselines("test")["chance"]["accuracy"])
    asked = target.target_lengths
    expected = np.mean([task.choices ** -float(n) for n in asked])
    assert task.baselines("test")["chance"]["exact_match"] == pytest.approx(expected)


@pytest.mark.parametrize("kind", RECALL)
def test_the_commonest_value_in_sight_is_more_often_right_than_chance(kind):
    """Counted answer by answer: what names it has looked at no key."""
    task = small(kind)
    right = []
    for source, target, at in task.examples("test"):
        for place, answer in zip(at, target, strict=True):
            counts = np.bincount(source[: place + 1] - N_SPECIAL, minlength=64)
            values = counts[task.keys : task.keys + task.values]
            right.append(values.argmax() + task.keys + N_SPECIAL == answer)
    found = task.baselines("test")
    assert found["in sight"]["accuracy"] == pytest.approx(np.mean(right))
    assert found["in sight"]["accuracy"] > found["chance"]["accuracy"]


# The held-out examples of the default configuration, and a training batch of the small one.
GOLDEN = {
    InContextRecall: ("9672132126ef4ad2", "937e72bb9255f6e6"),
    NoisyRecall: ("f1fd9f1e8e74e3e5", "b65d687b58c8b364"),
    FuzzyRecall: ("1e3ef8b7c6d9e1f2", "46345e5f21328505"),
    SelectiveCopying: ("5fda7369c707edcd", "8a8786b163af98e1"),
    Memorization: ("ae26dce4918b4fd8", "c8ff4939da354112"),
    Compression: ("c212fe9753118093", "1234778103fec6ce"),
}


def checksum(batch):
    return hashlib.sha256(batch.tokens.numpy().tobytes() + batch.targets.numpy().tobytes()).hexdigest()


@pytest.mark.parametrize("kind", SMALL)
def test_the_data_of_a_seed_never_change(kind):
    """A new checksum means that no result is comparable with those made before."""
    task = kind(family=Family.DECODER)
    held, batch = task.digests["examples"], checksum(small(kind).batch(1, 3, 8))
    assert (held[:16], batch[:16]) == GOLDEN[kind]


@pytest.mark.parametrize("kind", SMALL)
def test_epochs_repeat_the_training_examples_and_splits_are_apart(kind):
    task = small(kind, train_examples=40)
    epochs = [task.training(1, index, 40) for index in range(2)]
    shown = [sorted(source.tobytes() for source, *_ in epoch) for epoch in epochs]
    assert shown[0] == shown[1]
    assert not np.array_equal(epochs[0].source, epochs[1].source), "in another order"
    held = {source.tobytes() for split in ("validation", "test") for source, *_ in task.examples(split)}
    if not task.test_is_training_map:
        assert len(held) == 110
        assert not held & set(shown[0])
    other = task.training(2, 0, 40)
    assert sorted(source.tobytes() for source, *_ in other) != shown[0], "each seed has its own"


def test_only_memorization_tests_what_it_trains():
    assert [kind for kind in SMALL if kind.test_is_training_map] == [Memorization]


@pytest.mark.parametrize("kind", SMALL)
def test_longer_sequences_are_reported_apart(kind):
    longer = 2 * SMALL[kind]["length"]
    task = small(kind, beyond=[longer])
    assert {len(source) for source, *_ in task.further("test")[f"length_{longer}"]} <= {longer - 1, longer}
    found = task.evaluate(Constant(task.vocab_size, 0), "test")
    assert found[f"accuracy_length_{longer}"] >= 0
    assert task.max_len == len(task.examples("test").source[0]) + (kind in (InContextRecall, NoisyRecall))
    with pytest.raises(ValueError, match=r"task\.beyond=\[4\] must be more than task\.length"):
        small(kind, beyond=[4])


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (InContextRecall, {"vocab": 3}, "task.vocab=3 must be at least 4"),
        (InContextRecall, {"length": 7}, "task.length=7 must be even whole numbers of at least 4"),
        (InContextRecall, {"train_examples": 0}, "task.train_examples=0 must be at least 1"),
        (
            InContextRecall,
            {"vocab": 4, "length": 4},
            r"task=in_context_recall \(vocab=4, .*only \d+ distinct",
        ),
        (NoisyRecall, {"vocab": 18}, "task.vocab=18 must be at least 20"),
        (NoisyRecall, {"noise": 1.5}, "task.noise=1.5 must be from 0 to 1"),
        (NoisyRecall, {"noise_vocab": 0}, "task.noise_vocab=0 must be at least 1"),
        (FuzzyRecall, {"vocab": 6}, "task.value_len=3 must be from 1 to 2, the symbols of task.vocab=6"),
        (FuzzyRecall, {"key_len": 5}, "task.key_len=5 must be from 1 to 4"),
        (FuzzyRecall, {"length": 11}, "task.length=11 must be whole numbers of at least 12"),
        (SelectiveCopying, {"vocab": 3}, "task.vocab=3 must be at least 4"),
        (SelectiveCopying, {"tokens": 0}, "task.tokens=0 must be at least 1"),
        (SelectiveCopying, {"tokens": 12}, "task.length=24 must be whole numbers of at least 25"),
        (Compression, {"vocab": 2}, "task.vocab=2 must be at least 3"),
        (
            Compression,
            {"vocab": 3, "length": 4},
            r"task=compression \(vocab=3, length_4\): only \d+ distinct",
        ),
        (Memorization, {"vocab": 4}, "task.vocab=4 must be at least 5"),
        (
            Memorization,
            {"vocab": 5, "length": 2},
            r"task=memorization \(vocab=5, length_2\): only \d+ distinct",
        ),
    ],
)
def test_impossible_parameters_are_refused_in_one_line(kind, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        small(kind, **changes)
    assert "\n" not in str(caught.value)
