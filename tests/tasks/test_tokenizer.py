import json
import pickle
import string
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import normalizers, pre_tokenizers

from tasks import tokenizer as tk

TEXTS = [
    "The people's representatives, we've said, can't and won't; they'll wait -- I'm sure you'd agree.\n\n"
    * 20,
    "def f(x):\n    return x  # naïve café, 東京 и Москва 🙂\n\n\n\tend   \n" * 20,
]
BPE = tk.train_bpe(TEXTS, 460)
BYTES = tk.raw_bytes()
EVERY = pytest.mark.parametrize("tokenizer", [BPE, BYTES], ids=["bpe", "bytes"])

# Characters on which the GPT-2 pattern decides, beside any others.
tricky = st.text(st.sampled_from("  \n\n\t\r\u00a0\u2003\u3000\x1c\x85'srtvemld09.,_-<>aéß漢🙂"), max_size=60)
texts = st.one_of(
    st.text(max_size=60), tricky, st.sampled_from(["<mask>", "<pad><bos>", "<extra_id_7> x", ""])
)


def test_special_tokens_have_the_same_ids_everywhere():
    assert len(tk.SPECIAL_TOKENS) == tk.N_SPECIAL == 107
    assert tuple(range(7)) == (tk.PAD, tk.UNK, tk.BOS, tk.EOS, tk.MASK, tk.SEP, tk.CLS)
    for tokenizer in (BPE, BYTES):
        ids = [Library.from_str(tokenizer.json).token_to_id(token) for token in tk.SPECIAL_TOKENS]
        assert ids == list(range(107))


def test_the_byte_alphabet_is_the_library_s():
    assert set(tk.ALPHABET) == set(pre_tokenizers.ByteLevel.alphabet())
    assert len(tk.ALPHABET) == 256


@EVERY
@given(text=texts)
def test_bytes_of_tokens_sum_to_the_text_s_and_decoding_gives_it_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.byte_lengths[ids].sum() == len(text.encode())
    assert tokenizer.to_bytes(ids) == text.encode()
    assert tokenizer.decode(ids) == text


@EVERY
@given(text=texts)
@example(text="<mask>")
@example(text="".join(tk.SPECIAL_TOKENS))
def test_text_never_becomes_a_special_token(tokenizer, text):
    assert (tokenizer.encode(text) >= tk.N_SPECIAL).all()


@EVERY
def test_neither_saving_nor_pickling_lets_special_tokens_in(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    for other in (tk.Tokenizer.load(tmp_path / "tokenizer.json"), pickle.loads(pickle.dumps(tokenizer))):
        assert other.digest == tokenizer.digest
        assert (other.encode("<mask> and <bos>") == tokenizer.encode("<mask> and <bos>")).all()
        assert (other.encode("<mask>") >= tk.N_SPECIAL).all()


def test_ids_are_those_of_the_library():
    for tokenizer in (BPE, BYTES):
        library = Library.from_str(tokenizer.json)
        for text in TEXTS:
            assert tokenizer.encode(text).tolist() == library.encode(text, add_special_tokens=False).ids


@given(text=texts, data=st.data())
@settings(max_examples=300)
@example(text="a  \n b", data=None)
def test_text_cut_at_any_boundaries_has_the_same_tokens(text, data):
    cuts = tk.pretoken_boundaries(text)
    raw = text.encode()
    assert cuts[0] == 0
    assert cuts[-1] == len(raw)
    assert (np.diff(cuts) > 0).all()
    chosen = (
        cuts if data is None else sorted({0, len(raw), *data.draw(st.sets(st.sampled_from(cuts.tolist())))})
    )
    pieces = [raw[a:b].decode() for a, b in pairwise(chosen)]
    for tokenizer in (BPE, BYTES):
        apart = [id for piece in pieces for id in tokenizer.encode(piece)]
        assert apart == tokenizer.encode(text).tolist()


def test_ordinary_words_are_cut_apart():
    text = "We can't go, 東京!"
    raw, cuts = text.encode(), tk.pretoken_boundaries(text)
    pieces = [raw[a:b].decode() for a, b in pairwise(cuts)]
    assert pieces == ["We", " can", "'t", " go", ",", " 東京", "!"]


def test_training_is_deterministic_and_reaches_the_size_asked_for():
    again = tk.train_bpe(iter(TEXTS), 460)
    assert again.digest == BPE.digest
    assert again.vocab_size == len(again.byte_lengths) == 460
    assert tk.BPE(460).fit(TEXTS).digest == BPE.digest
    assert tk.RawBytes().fit(TEXTS).digest == BYTES.digest
    assert BYTES.vocab_size == tk.MIN_VOCAB == 363


def test_training_text_full_of_special_names_builds_none_of_them():
    tokenizer = tk.train_bpe(["<mask><pad><extra_id_0> " * 200], 500)
    ids = tokenizer.encode("<mask><pad><extra_id_0>")
    assert (ids >= tk.N_SPECIAL).all()
    assert tokenizer.decode(ids) == "<mask><pad><extra_id_0>"


@pytest.mark.parametrize("size", [0, 107, 362])
def test_a_vocabulary_without_room_for_bytes_is_refused(size):
    with pytest.raises(ValueError, match=rf"^tokenizer\.vocab_size={size} is too small.*363$"):
        tk.BPE(size)


def changed(**changes):
    spec = json.loads(BPE.json)
    for path, value in changes.items():
        *parents, key = path.split("__")
        node = spec
        for parent in parents:
            node = node[parent]
        node[key] = value
    return json.dumps(spec)


def lossy():
    library = Library.from_str(BPE.json)
    library.normalizer = normalizers.Lowercase()
    yield "normalizer", library.to_str()
    library = Library.from_str(BPE.json)
    library.enable_truncation(8)
    yield "truncation", library.to_str()
    yield "add_prefix_space", changed(pre_tokenizer__add_prefix_space=True)
    yield "Whitespace", changed(pre_tokenizer={"type": "Whitespace"})
    yield "GPT-2 pattern", changed(pre_tokenizer__use_regex=False)
    yield "unk_token", changed(model__unk_token="<unk>")
    yield "dropout", changed(model__dropout=0.1)
    yield "special tokens", changed(added_tokens=[])
    yield "WordLevel", changed(model={"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"})


@pytest.mark.parametrize(("reason", "text"), list(lossy()), ids=lambda value: value[:16])
def test_a_lossy_tokenizer_is_refused_in_one_line(reason, text, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="bits per byte") as error:
        tk.Tokenizer.load(path)
    assert reason in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b"\xff\xfe", b"[1, 2]"])
def test_what_is_no_tokenizer_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="tokenizer") as error:
        tk.Tokenizer.load(path)
    assert "\n" not in str(error.value)


def test_ids_cut_inside_a_character_decode_with_a_replacement():
    assert BYTES.decode(BYTES.encode("é")[:1]) == "\ufffd"
    assert BYTES.decode([tk.BOS, *BYTES.encode("a"), tk.EOS]) == "a"
    assert string.ascii_letters == BYTES.decode(BYTES.encode(string.ascii_letters))
