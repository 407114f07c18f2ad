import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import baselines
from tasks import tokenizer as tk
from tasks.baselines import Bigram, Unigram, bits_per_byte, xz_bpb
from tasks.corpus import Corpus, Document

V = tk.N_SPECIAL + 4
A, B, C, D = range(tk.N_SPECIAL, V)
STREAM = np.array([tk.BOS, A, B, A, B, A, C, tk.EOS, tk.BOS, B, tk.EOS], dtype=np.uint16)
ids = st.lists(st.sampled_from([A, B, C, D, tk.BOS, tk.EOS]), max_size=50)


def test_unigram_by_hand():
    # A three times, B three times, C once, D never: (c + 1) / (7 + 4)
    p = np.exp(-Unigram(STREAM, V).nats(np.array([A]), np.array([A, B, C, D])))
    assert p == pytest.approx([4 / 11, 4 / 11, 2 / 11, 1 / 11])


def test_bigram_by_hand():
    model = Bigram(STREAM, V)
    # After A: B twice, C once; two kinds. p(w | A) = (c(A, w) + 2 p(w)) / (3 + 2)
    context = np.array([D, A])
    p = [np.exp(-model.nats(context, np.array([w])))[0] for w in (A, B, C, D)]
    assert p == pytest.approx([(0 + 8 / 11) / 5, (2 + 8 / 11) / 5, (1 + 4 / 11) / 5, (0 + 2 / 11) / 5])
    # Within the scored tokens, the left one is the true one.
    both = model.nats(context, np.array([B, A]))
    assert both[0] == pytest.approx(-np.log(p[1]))
    assert both[1] == pytest.approx(-np.log((2 + 4 / 11) / 3))


@pytest.mark.parametrize("context", [[], [D], [tk.BOS], [C]], ids=["none", "unseen", "special", "last"])
def test_where_nothing_followed_the_bigram_is_the_unigram(context):
    context, scored = np.array(context, dtype=np.int64), np.array([B])
    assert Bigram(STREAM, V).nats(context, scored) == pytest.approx(Unigram(STREAM, V).nats(context, scored))


@given(stream=ids, left=st.sampled_from([A, B, C, D, tk.BOS]))
def test_probabilities_over_ordinary_tokens_sum_to_one(stream, left):
    stream = np.array(stream, dtype=np.uint16)
    for model in (Unigram(stream, V), Bigram(stream, V)):
        p = [np.exp(-model.nats(np.array([left]), np.array([w])))[0] for w in (A, B, C, D)]
        assert sum(p) == pytest.approx(1)
        assert min(p) > 0


@given(stream=ids, chunk=st.integers(1, 9))
def test_counting_in_chunks_changes_nothing(stream, chunk):
    stream = np.array(stream, dtype=np.uint16)
    whole = Bigram(stream, V).counts.toarray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_CHUNK", chunk)
        assert (Bigram(stream, V).counts.toarray() == whole).all()


def test_a_memory_mapped_stream_counts_alike(tmp_path):
    STREAM.tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", dtype=np.uint16, mode="r")
    window = np.array([A]), np.array([B, A, D])
    assert (Bigram(mapped, V).nats(*window) == Bigram(STREAM, V).nats(*window)).all()


def test_bits_per_byte_counts_the_scored_tokens_alone():
    lengths = np.zeros(V, dtype=np.int64)
    lengths[tk.N_SPECIAL :] = [1, 2, 3, 4]
    uniform = Unigram(np.array([], dtype=np.uint16), V)  # two bits a token
    windows = [(np.array([C, C]), np.array([A, B])), (np.array([D]), np.array([D]))]
    assert bits_per_byte(uniform, windows, lengths) == pytest.approx(3 * 2 / (1 + 2 + 4))


def test_a_bigram_beats_a_unigram_on_text_that_repeats():
    tokenizer = tk.raw_bytes()
    seen = tokenizer.encode("the union of the states " * 200)
    window = [(tokenizer.encode("the union "), tokenizer.encode("of the states"))]
    unigram, bigram = (bits_per_byte(m(seen, 363), window, tokenizer.byte_lengths) for m in (Unigram, Bigram))
    assert bigram < unigram / 2


def test_xz_is_the_size_of_the_split_compressed():
    documents = [Document(str(i), str(i), f"naïve {i} text\n" * 50) for i in range(30)]
    corpus = Corpus("toy", documents, 0.2, 0.2)
    data = "".join(document.text for document in corpus.split("test")).encode()
    assert xz_bpb(corpus, "test") == 8 * len(lzma.compress(data, preset=9)) / len(data)
