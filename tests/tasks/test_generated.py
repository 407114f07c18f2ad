"""What every generated task gets from its base: endless or repeated training data, slices, parts beyond."""

import numpy as np
import pytest
import torch
from torch import nn

from archs.contract import Family, Output
from tasks import Examples, GeneratedTask
from tasks.rows import IGNORE
from tasks.tokenizer import EOS, N_SPECIAL, PAD, SEP


class Last(GeneratedTask):
    """Repeat the last symbol of a source, `times` over: a slice of a shorter length has shorter sources."""

    name = "last"

    def __init__(self, lengths=(4, 8), beyond=(), in_place=False, times=1, family=Family.DECODER, **given):
        self.in_place_ = in_place
        self.times = times
        super().__init__(
            family=family,
            start=PAD,
            parameters={"lengths": list(lengths)},
            alphabet=16,
            source_len=max(lengths),
            answer_len=2,
            in_place=in_place,
            slices=[f"length_{n}" for n in lengths],
            beyond=[f"length_{n}" for n in beyond],
            **{"validation_examples": 20, "test_examples": 20, "quick_examples": 6} | given,
        )

    def draw(self, part, rng, count):
        length = int(part.removeprefix("length_"))
        source = N_SPECIAL + rng.integers(0, 16, (count, length))
        target = np.repeat(source[:, -1:], self.times, axis=1)
        at = np.full_like(target, length - 1) if self.in_place_ else None
        return Examples(source, target, at)

    def baselines(self, split, *, quick=False):
        return {"chance": {"accuracy": 1 / 16}}


class Repeater(nn.Module):
    """Names the symbol before <sep>, or the last one it reads; ends after one symbol."""

    max_len = None

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        logits = torch.zeros(*tokens.shape, N_SPECIAL + 16)
        for b, row in enumerate(tokens.tolist()):
            for t, token in enumerate(row):
                logits[b, t, EOS if t and row[t - 1] == SEP else row[t - 1] if token == SEP else token] = 9.0
        return Output(logits)

    def head(self, hidden):
        return hidden


def answers(batch):
    return [[t for t in row if t != IGNORE] for row in batch.targets.tolist()]


def sources(examples):
    return sorted(tuple(example.source.tolist()) for example in examples)


def test_lengths_of_slices_alternate_and_the_shorter_are_padded():
    batch = Last().batch(1, 0, 4)
    assert batch.tokens.shape == (4, 8 + 2)  # source, <sep>, the symbol
    assert batch.keep.sum(dim=1).tolist() == [6, 10, 6, 10]
    assert batch.consumed == 2 * (4 + 1) + 2 * (8 + 1)
    for row, answer, length in zip(batch.tokens.tolist(), answers(batch), [4, 8, 4, 8], strict=True):
        assert answer == [row[length - 1], EOS]
        assert row[length] == SEP


@pytest.mark.parametrize("in_place", [False, True])
def test_a_batch_of_several_lengths_holds_the_same_rows_as_the_examples_alone(in_place):
    for family in Family:
        task = Last(in_place=in_place, family=family)
        batch, rows = task.batch(1, 0, 4), task.laid(task.training(1, 0, 4)).rows()
        for i, row in enumerate(rows):
            kept = len(row.tokens) if batch.keep is None else int(batch.keep[i].sum())
            assert batch.tokens[i, :kept].tolist() == row.tokens.tolist()
            assert batch.targets[i, row.at].tolist() == row.target.tolist()
            assert (batch.targets[i] != IGNORE).sum() == len(row.target)


def test_a_training_set_is_repeated_in_epochs_of_another_order():
    task = Last(train_examples=5)
    epochs = [[task.training(1, 2 * epoch + half, 5) for half in (0, 1)] for epoch in range(3)]
    sets = [sources(Examples.concat(epoch)) for epoch in epochs]
    assert sets[0] == sets[1] == sets[2]
    assert len(sets[0]) == 10
    assert len({sources_in_order(epoch) for epoch in epochs}) == 3
    assert sources(task.training(2, 0, 10)) != sets[0], "another seed trains on other examples"
    assert task.train_tokens() == 5 * (4 + 1) + 5 * (8 + 1)
    straddling = Examples.concat([task.training(1, i, 4) for i in range(5)])
    assert sources(straddling) == sorted(sets[0] * 2), "whatever the batch size"


def sources_in_order(parts):
    return tuple(tuple(example.source.tolist()) for part in parts for example in part)


def test_a_curriculum_walks_through_its_slices_in_every_epoch():
    task = Last(train_examples={"length_4": 8, "length_8": 5}, curriculum=True)
    lengths = [task.batch(1, index, 4).consumed // 4 - 1 for index in range(6)]
    assert lengths == [4, 4, 8, 4, 4, 8], "and leaves out what does not fill a batch"
    assert task.typical(4, 6) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match=r"batch_size=6 is more than the task.train_examples of a slice"):
        task.batch(1, 0, 6)
    with pytest.raises(ValueError, match=r"task.curriculum needs task.train_examples"):
        Last(curriculum=True)


def test_every_token_is_a_target_only_where_a_decoder_asks_for_it():
    batch = Last(lengths=(4,), train_on="all", in_place=True).batch(1, 0, 3)
    assert batch.targets[:, :-1].equal(batch.tokens[:, 1:]), "the next token everywhere"
    assert batch.targets[:, -1].equal(batch.tokens[:, -1]), "but the answer where it is asked for"
    ragged = Last(train_on="all").batch(1, 0, 2)
    assert [len(row) for row in answers(ragged)] == [6, 10]  # source[1:], <sep>, the symbol, <eos>
    assert Last(train_on="all").objective != Last().objective
    for family in (Family.ENCODER, Family.ENCODER_DECODER):
        with pytest.raises(ValueError, match=r"task.train_on=all .* only a decoder"):
            Last(train_on="all", family=family)
    with pytest.raises(ValueError, match=r"task.train_on=every is unknown: choose answers or all"):
        Last(train_on="every")


def test_parts_are_reported_apart_and_those_beyond_count_in_no_headline():
    task = Last(beyond=(16,))
    found = task.evaluate(Repeater(), "test")
    names = {f"{metric}_length_{n}" for metric in ("accuracy", "exact_match") for n in (4, 8, 16)}
    assert {name: found[name] for name in names} == dict.fromkeys(names, 1.0)
    assert (found["exact_match"], found["accuracy"], found["solved"]) == (1.0, 1.0, True)
    clusters = found["clusters"]
    assert clusters["names"] == [str(i) for i in range(20)]
    assert sum(clusters["accuracy"]["total"]) == sum(clusters["accuracy"]["count"]) == 40
    assert not names & task.evaluate(Repeater(), "test", quick=True).keys()
    assert "clusters" not in task.evaluate(Repeater(), "validation")


def test_a_model_without_the_positions_for_a_part_has_no_value_there():
    short = Repeater()
    short.max_len = 12
    found = Last(beyond=(16,)).evaluate(short, "validation")
    assert found["exact_match_length_16"] is None
    assert found["exact_match_length_8"] == 1.0


def test_a_model_that_is_wrong_is_told_so():
    class Endless(Repeater):
        def head(self, hidden):
            return hidden - 20.0 * (torch.arange(hidden.shape[-1]) == EOS)

    found = Last().evaluate(Endless(), "test")
    assert (found["accuracy"], found["exact_match"], found["solved"]) == (0.5, 0.0, False)
