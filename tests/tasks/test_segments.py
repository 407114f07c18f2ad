"""Training sequences of several windows: batch after batch, all of their tokens, each once."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import START, corpus

from archs.contract import Family
from tasks import Causal, FillInTheMiddle, LanguageTask, Masked, Prefix, RawBytes, SpanPrefix

CORPUS = corpus()
SMALL = {"context_bytes": 24, "scored_bytes": 8, "windows": 2, "quick_windows": 1, "native_windows": 2}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def made(objective=Causal, family=Family.DECODER, **changes):
        about = {"corpus": CORPUS, "tokenizer": RawBytes(), "cache_dir": cache, "start": START}
        return LanguageTask(objective=objective, family=family, **about, **(SMALL | {"window": 32} | changes))

    return made


@given(segments=st.integers(1, 9), group=st.integers(0, 40), size=st.integers(1, 5), seed=st.integers(0, 3))
@settings(max_examples=40)
def test_the_windows_of_a_sequence_are_those_of_one_long_window(make, segments, group, size, seed):
    """The same tokens in the same order, every one a target once, and the first read alone."""
    parted, whole = make(segments=segments), make(window=32 * segments)
    batches = [parted.batch(seed, group * segments + part, size) for part in range(segments)]
    one = whole.batch(seed, group, size)
    assert torch.equal(torch.cat([batch.tokens for batch in batches], 1), one.tokens)
    assert torch.equal(torch.cat([batch.targets for batch in batches], 1), one.targets)
    assert [batch.seen for batch in batches] == [32 * part for part in range(segments)]
    assert {batch.consumed for batch in batches} == {size * 32}
    assert sum(batch.consumed for batch in batches) == one.consumed
    assert all(batch.keep is None for batch in batches)


def test_one_segment_is_what_there_was(make):
    task = make()
    assert task.sequence is None
    assert make(segments=3).sequence == 96
    assert task.batch(1, 5, 4).tokens.shape == (4, 31)


def test_a_batch_depends_on_its_number_alone(make):
    task = make(segments=4)
    inorder = [task.batch(1, index, 2).tokens for index in range(12)]
    for index in reversed(range(12)):
        assert torch.equal(task.batch(1, index, 2).tokens, inorder[index])


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ((FillInTheMiddle, Family.DECODER), "objective=fim"),
        ((Prefix, Family.DECODER), "objective=prefix"),
        ((Masked, Family.ENCODER), "objective=masked"),
        ((SpanPrefix, Family.ENCODER_DECODER), "objective=span_prefix"),
    ],
)
def test_an_objective_that_does_not_read_on_is_refused_in_one_line(make, about, said):
    with pytest.raises(ValueError, match=rf"\Atask\.segments=2[^\n]*{said}[^\n]*causal[^\n]*\Z"):
        make(*about, segments=2)


def test_bad_numbers_are_refused_in_one_line(make):
    with pytest.raises(ValueError, match=r"\Atask\.segments=0 must be at least 1\Z"):
        make(segments=0)
    tokens = make().train_tokens()
    with pytest.raises(ValueError, match=re.escape(f"than the {tokens} of the training split")):
        make(segments=tokens // 32 + 1)
