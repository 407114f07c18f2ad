"""Layouts: the table of the three families, and that no answer leaks through any of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archs.contract import Family
from tasks import Example, Examples
from tasks import layout as layouts
from tasks.layout import asked, longest
from tasks.tokenizer import EOS, MASK, N_SPECIAL, PAD, SEP

ENCODER, DECODER, ENCODER_DECODER = Family
START = PAD


def layout(family, example, answer_len, start=None):
    """The row of one example, by itself and the same when laid out beside a longer one."""
    longer = example._replace(source=np.append(example.source, [N_SPECIAL] * 3))
    beside = layouts.layout(family, Examples.of([longer, example]), answer_len, start)
    (row,) = layouts.layout(family, Examples.of([example]), answer_len, start).rows()
    for one, other in zip(row, beside.rows()[1], strict=True):
        np.testing.assert_array_equal(one, other)
    return row


SOURCE, TARGET, AT = np.array([201, 202, 203, 204]), np.array([301, 302]), np.array([1, 3])

TABLE = [
    # family, at, source, tokens, read at, target
    (DECODER, AT, None, SOURCE, AT, TARGET),
    (ENCODER, AT, None, SOURCE, AT, TARGET),
    (ENCODER_DECODER, AT, SOURCE, SOURCE, AT, TARGET),
    (DECODER, None, None, [*SOURCE, SEP, 301, 302, EOS], [4, 5, 6], [301, 302, EOS]),
    (ENCODER, None, None, [*SOURCE, SEP, MASK, MASK, MASK, MASK], [5, 6, 7], [301, 302, EOS]),
    (ENCODER_DECODER, None, SOURCE, [START, 301, 302, EOS], [0, 1, 2], [301, 302, EOS]),
]


@pytest.mark.parametrize(("family", "at", "source", "tokens", "read", "target"), TABLE)
def test_the_table(family, at, source, tokens, read, target):
    row = layout(family, Example(SOURCE, TARGET, at), answer_len=4, start=START)
    assert (row.source is None) == (source is None)
    if source is not None:
        np.testing.assert_array_equal(row.source, source)
    np.testing.assert_array_equal(row.tokens, tokens)
    np.testing.assert_array_equal(row.at, read)
    np.testing.assert_array_equal(row.target, target)
    assert max(len(row.tokens), len(SOURCE)) == longest(family, 4, 4, at is not None)


@pytest.mark.parametrize("family", Family)
def test_a_full_answer_has_no_end(family):
    row = layout(family, Example(SOURCE, TARGET), answer_len=2, start=START)
    np.testing.assert_array_equal(row.target, TARGET)
    with pytest.raises(ValueError, match="does not fit answer_len=1"):
        layout(family, Example(SOURCE, TARGET), answer_len=1, start=START)


def test_every_layout_is_named_apart():
    assert len({asked(family, in_place) for family in Family for in_place in (True, False)}) == 6


ids = st.integers(N_SPECIAL, N_SPECIAL + 20)


@st.composite
def two_answers(draw):
    """A source, two different answers to it, and how many tokens these share at their beginning."""
    source = np.array(draw(st.lists(ids, min_size=2, max_size=8)))
    one, other = (np.array(draw(st.lists(ids, min_size=1, max_size=6))) for _ in range(2))
    i = draw(st.integers(0, min(len(one), len(other)) - 1))
    return source, one, np.concatenate([one[:i], other[i:]]), i


def same_inputs(a, b):
    assert a.tokens.tolist() == b.tokens.tolist()
    assert (a.source is None and b.source is None) or a.source.tolist() == b.source.tolist()


@pytest.mark.parametrize("family", Family)
@given(pair=two_answers(), data=st.data())
def test_answers_read_in_place_change_no_input(family, pair, data):
    source, one, other, _ = pair
    rows = []
    for target in (one, other):
        count = min(len(target), len(source))  # another length too: fewer or more positions are read
        at = sorted(data.draw(st.sets(st.integers(0, len(source) - 1), min_size=count, max_size=count)))
        rows.append(layout(family, Example(source, target[:count], np.array(at)), 6, START))
    same_inputs(*rows)


@given(pair=two_answers())
def test_an_encoder_s_answer_changes_no_input(pair):
    source, one, other, _ = pair
    same_inputs(*(layout(ENCODER, Example(source, target), 6) for target in (one, other)))


@pytest.mark.parametrize("family", [DECODER, ENCODER_DECODER])
@given(pair=two_answers())
def test_later_answers_change_nothing_that_earlier_ones_are_read_from(family, pair):
    """What a causal model has read where it names target[: i + 1] is the same for any target[i:]."""
    source, one, other, i = pair
    a, b = (layout(family, Example(source, target), 6, START) for target in (one, other))
    assert a.at[: i + 1].tolist() == b.at[: i + 1].tolist()
    read = a.at[i] + 1
    assert a.tokens[:read].tolist() == b.tokens[:read].tolist()
    assert len(a.tokens) == len(b.tokens), "the length of an answer shows nowhere"
    same_inputs(a._replace(tokens=a.tokens[:read]), b._replace(tokens=b.tokens[:read]))


@pytest.mark.parametrize("family", Family)
@given(pair=two_answers())
def test_longest_is_the_length_of_the_longest_sequence(family, pair):
    source, target, *_ = pair
    row = layout(family, Example(source, target), 6, START)
    sequences = [row.tokens] if row.source is None else [row.tokens, row.source]
    assert max(map(len, sequences)) == longest(family, len(source), 6, in_place=False)
    assert START not in row.target
