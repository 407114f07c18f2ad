import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import tokenizer as tk
from tasks import windows as ww
from tasks.corpus import Corpus, Document

WORDS = [
    "the",
    "people's",
    "naïve",
    "Union",
    "東京,",
    "--",
    "1905",
    "we'll\n\n",
    "  ",
    "\t",
    "!?",
    "antidisestablish",
]
SPLIT = "test"


def corpus(sizes=(300, 500, 80, 900, 10, 400), seed=0):
    """Documents of so many words; all but the first and last group fall into the test split."""
    rng = np.random.default_rng(seed)
    documents = [
        Document(str(i), str(i), f"{i} " + " ".join(rng.choice(WORDS, size))) for i, size in enumerate(sizes)
    ]
    return Corpus("toy", documents, 1e-9, 1 - 1e-6)


CORPUS = corpus()
TOKENIZERS = [tk.raw_bytes(), tk.train_bpe([d.text for d in CORPUS.split(SPLIT)], 420)]


def continuation(count=24, context=200, scored=40, data=CORPUS, split=SPLIT):
    return ww.make_windows(data, split, count, context, scored)


def infill(count=24, window=240, span=30, data=CORPUS, split=SPLIT):
    return ww.make_infill_windows(data, split, count, window, span)


KINDS = pytest.mark.parametrize("make", [continuation, infill])


@given(context=st.integers(40, 400), scored=st.integers(20, 120))
@settings(max_examples=40)
def test_context_and_scored_part_have_the_length_asked_for_at_most(context, scored):
    windows, _ = continuation(5, context, scored)
    for window in windows:
        assert 0 <= window.first < window.first_scored < window.last
        assert context / 2 < window.first_scored - window.first <= context
        assert scored / 2 < window.last - window.first_scored <= scored


@given(window=st.integers(120, 400), share=st.floats(0.05, 0.25))
@settings(max_examples=40)
def test_a_span_has_at_least_its_bytes_and_a_quarter_of_the_window_on_each_side(window, share):
    span = max(1, int(share * window))
    for found in infill(5, window, span)[0]:
        assert found.last - found.first <= window
        assert found.last_scored - found.first_scored >= span
        assert min(found.first_scored - found.first, found.last - found.last_scored) >= window / 4


@KINDS
@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["bytes", "bpe"])
def test_every_tokenizer_has_a_boundary_at_every_cut(make, tokenizer):
    for window in make()[0]:
        text = CORPUS.split(SPLIT)[window.document].text
        ends = tokenizer.byte_lengths[tokenizer.encode(text)].cumsum()
        assert set(window[1:]) <= {0, *ends}
        pieces = ww.parts(text, window)
        whole = text.encode()[window.first : window.last].decode()
        assert "".join(pieces) == whole
        assert (
            np.concatenate([tokenizer.encode(p) for p in pieces]).tolist() == tokenizer.encode(whole).tolist()
        )


@KINDS
def test_scored_bytes_never_overlap_and_documents_take_turns(make):
    windows, _ = make(40)
    seen = [np.zeros(len(d.text.encode()), dtype=int) for d in CORPUS.split(SPLIT)]
    for window in windows:
        last = window.last_scored if isinstance(window, ww.InfillWindow) else window.last
        seen[window.document][window.first_scored : last] += 1
    assert max(counts.max() for counts in seen) == 1
    long = {i for i, d in enumerate(CORPUS.split(SPLIT)) if len(d.text.encode()) > 1000}
    assert len(long) >= 2
    assert {window.document for window in windows[: len(long) + 1]} >= long


@KINDS
def test_the_list_is_fixed_by_corpus_and_settings(make):
    windows, digest = make()
    assert make() == (windows, digest)
    assert make(12)[0] == windows[:12]
    other = [make(12), make(24, 160), make(24, data=corpus(seed=1))]
    assert len({digest, *(d for _, d in other)}) == 4
    assert continuation()[1] != infill()[1]


@KINDS
def test_too_little_room_is_one_line(make):
    for call in (
        lambda: make(10_000),
        lambda: make(1, 100_000, 40),
        lambda: make(0),
        lambda: make(3, 200, 0),
    ):
        with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
            call()
    with pytest.raises(ValueError, match=r"test split of corpus toy has room for \d+ .* not 10000"):
        make(10_000)


def test_a_span_of_more_than_half_the_window_is_refused():
    with pytest.raises(
        ValueError, match="a quarter of a window of 200 bytes on each side: it can have 1 to 100"
    ):
        infill(1, 200, 101)


def test_a_text_without_cuts_has_no_windows():
    documents = [Document(str(i), str(i), "x" * 5000 + str(i)) for i in range(6)]
    with pytest.raises(ValueError, match="room for 0"):
        continuation(1, data=Corpus("toy", documents, 1e-9, 1 - 1e-6))
