import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import tokenizer as tk
from tasks.corpus import Corpus, Document
from tasks.stream import Stream, fitted_tokenizer, token_stream
from tasks.streams import stream


def corpus(word="word", count=30):
    texts = [f"{word} {i} is naïve, isn't it? <mask>\n" * (i % 4 + 1) for i in range(count)]
    return Corpus("toy", [Document(str(i), str(i), text) for i, text in enumerate(texts)], 0.1, 0.1)


@pytest.fixture
def prepared(tmp_path):
    data = corpus()
    tokenizer = fitted_tokenizer(data, tk.BPE(400), tmp_path)
    return data, tokenizer, token_stream(data, tokenizer, "train", tmp_path)


@pytest.mark.parametrize("spec", [tk.BPE(400), tk.RawBytes()], ids=lambda spec: spec.name)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_stream_is_every_document_between_bos_and_eos(spec, split, tmp_path):
    data = corpus()
    tokenizer = fitted_tokenizer(data, spec, tmp_path)
    made = token_stream(data, tokenizer, split, tmp_path)
    expected = [np.r_[tk.BOS, tokenizer.encode(d.text), tk.EOS] for d in data.split(split)]
    assert made.ids.dtype == np.uint16
    assert made.ids.tolist() == np.concatenate(expected).tolist()
    assert made.tokens == len(made.ids)
    assert made.bytes == sum(len(d.text.encode()) for d in data.split(split))
    assert tokenizer.byte_lengths[made.ids].sum() == made.bytes


def test_the_tokenizer_sees_the_training_split_alone(tmp_path):
    data = corpus()
    expected = tk.train_bpe([d.text for d in data.split("train")], 400)
    assert fitted_tokenizer(data, tk.BPE(400), tmp_path).digest == expected.digest


def test_what_is_prepared_is_used_again(prepared, tmp_path, monkeypatch):
    data, tokenizer, made = prepared
    monkeypatch.setattr(tk.Tokenizer, "encode_many", None)
    monkeypatch.setattr(tk, "train_bpe", None)
    assert fitted_tokenizer(data, tk.BPE(400), tmp_path).digest == tokenizer.digest
    assert token_stream(data, tokenizer, "train", tmp_path) == made


def test_another_corpus_tokenizer_or_split_is_another_file(prepared, tmp_path):
    data, tokenizer, made = prepared
    other = corpus("other")
    paths = {
        made.path,
        token_stream(data, tk.raw_bytes(), "train", tmp_path).path,
        token_stream(data, tokenizer, "test", tmp_path).path,
        token_stream(other, tokenizer, "train", tmp_path).path,
    }
    assert len(paths) == 4
    assert fitted_tokenizer(other, tk.BPE(400), tmp_path).digest != tokenizer.digest


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-2]),
        lambda path: path.write_bytes(b""),
        flip,
        lambda path: path.unlink(),
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").write_text('{"key": {"corpus": "another"}}'),
    ],
    ids=[
        "cut",
        "emptied",
        "flipped",
        "gone",
        "no sidecar",
        "broken sidecar",
        "odd sidecar",
        "foreign sidecar",
    ],
)
def test_a_damaged_or_foreign_file_is_made_again(harm, prepared, tmp_path):
    data, tokenizer, made = prepared
    content = made.path.read_bytes()
    del made
    for path in (
        token_stream(data, tokenizer, "train", tmp_path).path,
        *(tmp_path / "tokenizers").glob("*.bin"),
    ):
        harm(path)
    assert fitted_tokenizer(data, tk.BPE(400), tmp_path).digest == tokenizer.digest
    assert token_stream(data, tokenizer, "train", tmp_path).path.read_bytes() == content


def test_many_at_once_make_one_file(tmp_path):
    data, tokenizer = corpus(), tk.raw_bytes()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: token_stream(data, tokenizer, "train", tmp_path), range(8)))
    assert len(set(made)) == 1
    assert sorted(path.suffix for path in (tmp_path / "streams").iterdir() if path.suffix != ".lock") == [
        ".bin",
        ".json",
    ]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"\Acache_dir=[^\n]+\Z"):
        token_stream(corpus(), tk.raw_bytes(), "train", tmp_path / "file")


def test_a_large_vocabulary_takes_four_bytes(tmp_path, monkeypatch):
    tokenizer = tk.raw_bytes()
    tokenizer.vocab_size = 70_000
    made = token_stream(corpus(), tokenizer, "train", tmp_path)
    assert made.ids.dtype == np.uint32
    assert made.ids[0] == tk.BOS


def counting(folder, tokens):
    """A stream whose ids are their own places."""
    path = folder / f"{tokens}.bin"
    np.arange(tokens, dtype="<u2").tofile(path)
    return Stream(path, "<u2", tokens, tokens)


@given(tokens=st.integers(8, 500), length=st.integers(1, 8), seed=st.integers(0, 3), epoch=st.integers(0, 3))
@settings(max_examples=50)
def test_an_epoch_shows_no_token_twice_and_misses_less_than_a_window(
    tmp_path_factory, tokens, length, seed, epoch
):
    made = counting(tmp_path_factory.mktemp("stream"), tokens)
    windows = made.windows(length)
    rows = made.batch_windows(seed, epoch, windows, length)
    assert rows.shape == (windows, length)
    assert ((rows - rows[:, :1]) % tokens == np.arange(length)).all()  # consecutive, on the ring
    assert len(np.unique(rows)) == windows * length > tokens - length


def test_windows_depend_on_seed_and_number_alone(tmp_path):
    made = counting(tmp_path, 1000)
    whole = made.batch_windows(3, 0, 64, 16)  # more than one epoch
    parts = [pickle.loads(pickle.dumps(made)).batch_windows(3, i, 8, 16) for i in reversed(range(8))]
    assert (np.concatenate(parts[::-1]) == whole).all()
    assert (made.batch_windows(4, 0, 64, 16) != whole).any()


def test_epochs_differ_in_order_and_phase(tmp_path):
    made = counting(tmp_path, 1000)
    first, second = (made.batch_windows(0, epoch, made.windows(16), 16) for epoch in range(2))
    assert (first != second).any()
    assert set(first[:, 0]) != set(second[:, 0])


def test_a_stream_shorter_than_a_window_is_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"\A[^\n]*has 10 tokens[^\n]*window of 11[^\n]*\Z"):
        counting(tmp_path, 10).batch_windows(0, 0, 1, 11)


def test_a_pickled_stream_carries_no_tokens(tmp_path):
    made = counting(tmp_path, 60_000)
    assert made.ids[7] == 7
    assert len(pickle.dumps(made)) < 1000


def test_named_random_streams():
    draw = stream("a", 1, {"x": 2, "y": 3}).random(4)
    assert (stream("a", np.int64(1), {"y": 3, "x": 2}).random(4) == draw).all()
    for names in (("a", 2), ("a", "1", {"x": 2, "y": 3}), (["a", 1], {"x": 2, "y": 3})):
        assert (stream(*names).random(4) != draw).all()
    assert stream("pinned").integers(1000) == stream("pinned").integers(1000)
