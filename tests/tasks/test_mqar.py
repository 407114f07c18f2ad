"""Multi-query associative recall: the published task, its splits, and what its numbers mean."""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from archs.contract import Family, Output
from tasks import MQAR, Example, Examples
from tasks.rows import IGNORE
from tasks.synthetic.generator import BLOCK, belong, fingerprints, fixed_examples, training_block
from tasks.tokenizer import N_SPECIAL

SMALL = {
    "vocab": 64,
    "length": 32,
    "pairs": 4,
    "validation_examples": 60,
    "test_examples": 50,
    "quick_examples": 20,
}


def mqar(family=Family.DECODER, **changes):
    return MQAR(family=family, start=0, **(SMALL | changes))


def drawn(task, count=500):
    return task.draw(task.slices[0], np.random.default_rng(0), count)


@pytest.mark.parametrize("noise", [False, True])
def test_examples_are_as_published(noise):
    for source, target, at in drawn(mqar(random_non_queries=noise)):
        source, target = source - N_SPECIAL, target - N_SPECIAL
        keys, values = source[0:8:2], source[1:8:2]
        assert len(source) == 32
        assert len(set(keys)) == len(set(values)) == 4
        assert ((keys >= 1) & (keys < 32)).all()
        assert ((values >= 32) & (values < 64)).all()
        assert sorted(source[at]) == sorted(keys), "every key is asked for once"
        assert dict(zip(source[at], target, strict=True)) == dict(zip(keys, values, strict=True))
        assert (np.diff(at) > 0).all()
        assert (at % 2 == 0).all()
        assert (at >= 8).all()
        rest = np.delete(source, [*range(8), *at])
        if not noise:
            assert (rest == 0).all()
    assert not noise or len(set(rest)) > 1


def test_first_queries_follow_the_published_law():
    """p(i) proportional to i^(a - 1): the share of each slot when there is one query, and of both drawn
    without replacement when there are two."""
    task, count = mqar(power_a=0.01, pairs=1), 40000
    p = np.arange(1, 7) ** (0.01 - 1)
    p /= p.sum()
    rng = np.random.default_rng(0)
    first = task.query_slots(rng, count, 6, 1)[:, 0]
    assert np.bincount(first) / count == pytest.approx(p, abs=0.01)
    both = task.query_slots(rng, count, 6, 2)
    expected = p[:, None] * p[None, :] / (1 - p[:, None])
    np.fill_diagonal(expected, 0)
    seen = np.zeros((6, 6))
    np.add.at(seen, (both[:, 0], both[:, 1]), 1 / count)
    assert seen == pytest.approx(expected, abs=0.01)


def test_keys_are_drawn_uniformly_and_in_any_order():
    sources = np.stack([example.source for example in drawn(mqar(), 30000)]) - N_SPECIAL
    for place in (0, 2, 4, 6):
        share = np.bincount(sources[:, place], minlength=32)[1:] / len(sources)
        assert share == pytest.approx(np.full(31, 1 / 31), abs=0.006)


def checksum(batch):
    return hashlib.sha256(batch.tokens.numpy().tobytes() + batch.targets.numpy().tobytes()).hexdigest()


def test_the_data_of_a_seed_never_change():
    """A new checksum means that no result is comparable with those made before."""
    assert (
        checksum(mqar().batch(seed=1, index=3, size=8))
        == "778b74efe17a4d27e1d8361eb9ca17ff8a383a302ce04ab2b7eca6fd7bf56e8a"
    )
    assert mqar().digests["examples"] == "e215c172c59d642db3bf6ad3f91acf2223ae4cca6548a705a929d7cef79127e0"


def test_batches_are_pure_and_the_same_for_every_family():
    one, two = mqar(), mqar()
    two.batch(9, 5000, 4)  # what was drawn before does not matter
    for index in (0, 3, 700):
        assert checksum(one.batch(1, index, 4)) == checksum(two.batch(1, index, 4))
    assert checksum(one.batch(1, 0, 4)) != checksum(one.batch(2, 0, 4))
    whole = one.batch(1, 0, 8).tokens
    assert whole.equal(torch.cat([one.batch(1, i, 4).tokens for i in (0, 1)])), "whatever the batch size"
    for family in Family:
        batch = mqar(family).batch(1, 0, 8)
        assert batch.tokens.equal(whole)
        assert (batch.source is not None) == (family is Family.ENCODER_DECODER)
        assert batch.keep is None
        assert batch.tokens.min() >= N_SPECIAL
        assert batch.tokens.max() < mqar().vocab_size
        assert batch.consumed == 8 * (32 + 4)
        assert (batch.targets != IGNORE).sum() == 8 * 4


def test_held_out_examples_do_not_depend_on_the_seed_and_splits_are_disjoint():
    task = mqar()
    sources = {split: {e.source.tobytes() for e in task.examples(split)} for split in ("validation", "test")}
    assert {split: len(found) for split, found in sources.items()} == {"validation": 60, "test": 50}
    assert not sources["validation"] & sources["test"]
    for block in range(2):
        assert belong(fingerprints(training_block(first(task), ("t", {}), 1, block)), "train").all()
    assert belong(fingerprints(task.examples("test")), "test").all()


def first(task):
    return lambda rng, count: task.draw(task.slices[0], rng, count)


def few(space):
    """A task with `space` different sources."""

    def draw(rng, count):
        sources = N_SPECIAL + rng.integers(0, space, (count, 1))
        return Examples(sources, np.full_like(sources, N_SPECIAL))

    return draw


def test_splits_share_a_space_by_hash():
    examples = few(8000)(np.random.default_rng(0), 4000)
    hashes = fingerprints(examples)
    shares = [belong(hashes, split).mean() for split in ("train", "validation", "test")]
    assert shares == pytest.approx([6 / 8, 1 / 8, 1 / 8], abs=0.02)
    longer = Examples.of([Example(np.append(e.source, N_SPECIAL), e.target) for e in examples])
    assert not set(hashes) & set(fingerprints(longer))
    mixed = fingerprints(Examples.concat([examples, longer]))
    assert mixed.tolist() == [*hashes, *fingerprints(longer)], "whatever it is padded to"
    alone = [fingerprints(examples.take(slice(i, i + 1)))[0] for i in range(20)]
    assert alone == hashes[:20].tolist(), "whatever it is drawn with"


def test_a_space_too_small_is_refused():
    assert len(fixed_examples(few(2000), ("tiny", {"n": 2000}), "test", 150)) == 150
    with pytest.raises(
        ValueError, match=r"^task=tiny \(n=80\): only \d+ distinct examples exist for test, not 50;"
    ):
        fixed_examples(few(80), ("tiny", {"n": 80}), "test", 50)
    with pytest.raises(ValueError, match=r"^task=mqar \(vocab=6, .*, pairs_1\): only \d+ distinct"):
        mqar(vocab=6, length=4, pairs=1)
    assert len(training_block(few(2000), ("tiny", {}), 1, 0)) == BLOCK


SEGMENTS = {"segments": [[16, 2], [32, 4], [32, 8]], "beyond": [[32, 2], [48, 12]]}


def test_segments_are_points_of_length_and_pairs():
    task = mqar(**SEGMENTS)
    assert task.slices == ("length_16_pairs_2", "length_32_pairs_4", "length_32_pairs_8")
    assert task.max_len == 32, "what is trained on"
    shapes = [(len(e.source), len(e.target)) for e in task.examples("test")]
    assert shapes[:6] == [(16, 2), (32, 4), (32, 8)] * 2
    batch = task.batch(1, 0, 6)
    assert batch.tokens.shape == (6, 32)
    assert (batch.targets != IGNORE).sum(dim=1).tolist() == [2, 4, 8] * 2
    assert batch.keep.sum(dim=1).tolist() == [16, 32, 32] * 2
    further = task.further("test")
    assert {name: e.source.shape[1] for name, e in further.items()} == {
        "length_32_pairs_2": 32,
        "length_48_pairs_12": 48,
    }
    found = task.evaluate(Recaller(task.vocab_size), "test")
    assert found["accuracy_length_48_pairs_12"] == found["accuracy_length_16_pairs_2"] == 1.0


def test_points_beyond_change_nothing_that_is_trained_on():
    task = mqar(beyond=[[32, 8], [48, 12]])
    assert checksum(task.batch(1, 3, 8)) == checksum(mqar().batch(1, 3, 8))
    assert task.beyond == ("pairs_8", "length_48_pairs_12")


def test_a_curriculum_walks_from_easy_to_hard_in_every_epoch():
    task = mqar(**SEGMENTS, train_examples=[24, 8, 20], curriculum=True)
    shapes = [task.batch(1, index, 8).tokens.shape[1] for index in range(12)]
    pairs = [int((task.batch(1, index, 8).targets != IGNORE).sum()) // 8 for index in range(12)]
    assert shapes == [16, 16, 16, 32, 32, 32] * 2
    assert pairs == [2, 2, 2, 4, 8, 8] * 2
    assert checksum(task.batch(1, 1, 8)) == checksum(task.batch(1, 7, 8)), "the same order in every epoch"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 31}, "task.length=31 must be even and at least 16"),
        ({"length": 14}, "task.length=14 must be even and at least 16"),
        ({"vocab": 32}, "task.vocab=32 must be more than task.length=32"),
        ({"pairs": 0}, "task.pairs=0 must be at least 1"),
        ({"power_a": 0}, "task.power_a=0 must be positive"),
        ({"quick_examples": 0}, "task.quick_examples=0 must be at least 1, one for each of: pairs_4"),
        ({"segments": []}, r"task.segments=\[\]: at least one point"),
        ({"segments": [[32, 4, 100]]}, r"task.segments holds \[32, 4, 100\]: each must be \[length, pairs\]"),
        ({"segments": [32, 4]}, "task.segments holds 32: each must be"),
        ({"beyond": [["a", 4]]}, "task.beyond holds"),
        ({"beyond": [[34, 9]]}, r"task.length=34 \(task.beyond=\[\[34,9\]\]\) must be even and at least 36"),
        ({"beyond": [[32, 4]]}, "name a point .* twice"),
        ({"pairs": [4, 4]}, "name a point .* twice"),
        (
            {"train_examples": [8, 8]},
            r"task.train_examples=\[8, 8\] must be .* each of the 1 slices \(pairs_4\)",
        ),
        ({"train_examples": 0}, "task.train_examples=0 must be a number of at least 1"),
        ({"curriculum": True}, "task.curriculum needs task.train_examples"),
    ],
)
def test_impossible_parameters_are_refused_in_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        mqar(**changes)
    assert "\n" not in str(caught.value)


class Recaller(nn.Module):
    """Names the value of the key it reads, or, where `guess`, some value of the example."""

    def __init__(self, vocab_size, guess=None):
        super().__init__()
        self.vocab_size, self.guess, self.max_len = vocab_size, guess, None

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        if source is not None:
            assert source.equal(tokens), "the decoder re-reads the source"
        logits = torch.zeros(*tokens.shape, self.vocab_size)
        logits[..., 0] = 9.0  # a special token is no answer
        for b, row in enumerate(tokens.tolist()):
            for t, token in enumerate(row[:-1]):
                place = row.index(token) if self.guess is None else 2 * self.guess
                logits[b, t, row[place + 1]] = 5.0
        return Output(logits)

    def head(self, hidden):
        return hidden


@pytest.mark.parametrize("family", Family)
def test_recalling_is_solved_and_guessing_is_chance(family):
    task = mqar(family, quick_examples=50)
    found = task.evaluate(Recaller(task.vocab_size), "validation")
    right = np.log(np.exp(5) + np.exp(9) + task.vocab_size - 2) - 5
    assert found == {"accuracy": 1.0, "exact_match": 1.0, "solved": True, "native_loss": pytest.approx(right)}
    found = task.evaluate(Recaller(task.vocab_size, guess=1), "test", quick=True)
    assert found["accuracy"] == task.baselines("test")["chance"]["accuracy"] == 0.25
    assert (found["exact_match"], found["solved"]) == (0.0, False)


def test_several_numbers_of_pairs_are_drawn_in_turn_and_reported_apart():
    task = mqar(pairs=[2, 8])
    batch = task.batch(1, 0, 6)
    assert (batch.targets != IGNORE).sum(dim=1).tolist() == [2, 8] * 3
    assert batch.consumed == 3 * (32 + 2 + 32 + 8)
    found = task.evaluate(Recaller(task.vocab_size, guess=0), "validation")
    assert (found["accuracy_pairs_2"], found["accuracy_pairs_8"]) == (1 / 2, 1 / 8)
    assert found["accuracy"] == pytest.approx(2 / 10) == task.baselines("validation")["chance"]["accuracy"]
    with pytest.raises(ValueError, match="batch_size=5 is no multiple of the 2 slices"):
        task.batch(1, 0, 5)
