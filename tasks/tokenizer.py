"""One tokenizer for a whole study: byte-level BPE or raw bytes, with exact accounting of bytes.

Every text is a sequence of bytes and every ordinary token stands for a fixed string of bytes, so that the
bytes of the tokens of a document sum to its UTF-8 length, whatever the text. That makes bits per byte
comparable between tokenizers; a tokenizer that does not have the property (a normaliser, an unknown token, a
prefix space) is refused when it is loaded.

Ids: 0-106 special, the same for every tokenizer; then 256 single bytes; then the merges of BPE.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKENS = (
    *("<pad>", "<unk>", "<bos>", "<eos>", "<mask>", "<sep>", "<cls>"),
    *(f"<extra_id_{i}>" for i in range(100)),
)
PAD, UNK, BOS, EOS, MASK, SEP, CLS = range(7)
N_SPECIAL = len(SPECIAL_TOKENS)
SENTINELS = range(7, N_SPECIAL)
MIN_VOCAB = N_SPECIAL + 256


def _byte_alphabet() -> str:
    """The character that stands for each byte in byte-level BPE (Radford et al. 2019): printable ones for
    themselves, the others, in order, for the characters from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


ALPHABET = _byte_alphabet()
_BYTE_OF = {character: byte for byte, character in enumerate(ALPHABET)}
_PRETOKENIZER = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
_SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()])
_CHUNK = 1 << 20  # characters encoded at once: bounds the memory that encodings take


@lru_cache(maxsize=128)  # a held-out document is cut for both kinds of windows
def pretoken_boundaries(text: str) -> np.ndarray:
    """Byte offsets, ascending, where `text` may be cut for every tokenizer here: 0, ..., UTF-8 length.

    The tokens of `text[a:b]` for two such offsets are exactly a run of the tokens of `text`. No merge of BPE
    crosses a pre-token of the GPT-2 pattern, so pre-token starts are cuts, except after white space: the
    pattern looks ahead there (`\\s+(?!\\S)`) and would group the spaces at a new end of text differently.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    ends = np.cumsum(1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000))
    starts = np.array([start for _, (start, _) in _PRETOKENIZER.pre_tokenize_str(text)], dtype=np.int64)
    starts = starts[starts > 0]
    cuts = ends[starts[~np.isin(codes[starts - 1], _SPACES)] - 1]
    offsets = np.unique(np.concatenate([[0], cuts, ends[-1:]])).astype(np.int64)
    offsets.setflags(write=False)  # shared by all who ask again
    return offsets


class Tokenizer:
    """Text to token ids and back, defined by one JSON (the format of the `tokenizers` library).

    vocab_size    number of ids, special tokens included
    digest        sha256 of the JSON; stands in every result row
    token_bytes   the byte string of every id; empty for special tokens
    byte_lengths  (vocab_size,) int64, the lengths of these: what a token counts in bits per byte
    """

    def __init__(self, json_text: str, source: str = "tokenizer") -> None:
        """Raises ValueError, in one line that starts with `source`, for a tokenizer that loses bytes."""
        self.json = json_text
        self.digest = hashlib.sha256(json_text.encode()).hexdigest()
        try:
            spec = json.loads(json_text)
            self._tokenizer = tokenizers.Tokenizer.from_str(json_text)
        except Exception as error:  # the library raises plain Exception
            raise ValueError(f"{source} is no tokenizer: {str(error).splitlines()[0]}") from None
        if reason := _why_lossy(spec):
            raise ValueError(f"{source} cannot be used for bits per byte: {reason}")
        # Not saved in the JSON: without it, "<mask>" in a text would become the special token.
        self._tokenizer.encode_special_tokens = True
        vocab: dict[str, int] = spec["model"]["vocab"]
        self.vocab_size = len(vocab)
        ordinary = sorted((i, token) for token, i in vocab.items() if i >= N_SPECIAL)
        self.token_bytes = (b"",) * N_SPECIAL + tuple(
            bytes(_BYTE_OF[character] for character in token) for _, token in ordinary
        )
        self.byte_lengths = np.array([len(token) for token in self.token_bytes], dtype=np.int64)
        # With no merges a token is a byte: a table look-up, much faster than the general way.
        self._id_of_byte = None
        if not spec["model"]["merges"]:
            self._id_of_byte = np.array([vocab[character] for character in ALPHABET], dtype=np.int32)

    def encode(self, text: str) -> np.ndarray:
        """(n,) int32 ordinary ids; never a special one, even where the text contains "<mask>"."""
        return self.encode_many([text])[0]

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        """`encode` of each text, on all cores."""
        if self._id_of_byte is not None:
            return [self._id_of_byte[np.frombuffer(text.encode(), np.uint8)] for text in texts]
        encoded: list[np.ndarray] = []
        for chunk in _chunks(texts):
            batch = self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
            encoded += [np.array(encoding.ids, dtype=np.int32) for encoding in batch]
        return encoded

    def to_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that ids stand for; special tokens stand for none."""
        return b"".join(self.token_bytes[i] for i in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out; bytes that are no UTF-8 become U+FFFD."""
        return self.to_bytes(ids).decode(errors="replace")

    def save(self, path: str | Path) -> None:
        Path(path).write_bytes(self.json.encode())

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Raises ValueError in one line when there is no such file or it holds no lossless tokenizer."""
        try:
            return cls(Path(path).read_bytes().decode(), source=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as a tokenizer: {error}") from None

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[str]]:
        return Tokenizer, (self.json,)  # the library's own pickle would drop encode_special_tokens


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _why_lossy(spec: dict[str, Any]) -> str | None:
    """What in a tokenizer's JSON breaks the accounting of bytes, or None."""
    model, pretokenizer = spec["model"], spec.get("pre_tokenizer") or {}
    vocab = model.get("vocab", {})
    specials = {token["content"]: token["id"] for token in spec["added_tokens"]}
    if model.get("type") != "BPE":
        return f"its model is {model.get('type')}, not byte-level BPE"
    for part in ("normalizer", "post_processor", "truncation", "padding"):
        if spec.get(part) is not None:
            return f"it has a {part.replace('_', '-')}, which changes the text"
    if pretokenizer.get("type") != "ByteLevel" or not pretokenizer.get("use_regex"):
        return f"its pre-tokenizer is {pretokenizer.get('type')}, not ByteLevel with the GPT-2 pattern"
    if pretokenizer["add_prefix_space"]:
        return "it adds a space before the text (add_prefix_space)"
    for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key):
            return f"its model sets {key}"
    if specials != dict(zip(SPECIAL_TOKENS, range(N_SPECIAL), strict=True)):
        return f"its special tokens are not <pad> <unk> <bos> ... <extra_id_99> with ids 0 to {N_SPECIAL - 1}"
    if sorted(vocab.values()) != list(range(len(vocab))):
        return "its ids have gaps or repeat"
    if missing := set(ALPHABET) - vocab.keys():
        return f"{len(missing)} of the 256 bytes have no token"
    foreign = (token for token, i in vocab.items() if i >= N_SPECIAL and not set(token) <= _BYTE_OF.keys())
    if (token := next(foreign, None)) is not None:
        return f"its token {token!r} is not made of bytes"
    if any("".join(pair) in specials for pair in model["merges"]):
        return "its merges build a special token"
    return None


def _blank(model: models.Model) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = _PRETOKENIZER
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _special_tokens() -> list[AddedToken]:
    return [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]


def _check_vocab_size(vocab_size: int) -> None:
    if vocab_size < MIN_VOCAB:
        raise ValueError(
            f"tokenizer.vocab_size={vocab_size} is too small: "
            f"{N_SPECIAL} special tokens and 256 bytes need at least {MIN_VOCAB}"
        )


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE of the given total size; the same texts always give the same JSON.

    A text too short or too uniform for that many merges gives a smaller vocabulary.
    """
    _check_vocab_size(vocab_size)
    tokenizer = _blank(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_special_tokens(),
        initial_alphabet=list(ALPHABET),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Tokenizer(tokenizer.to_str())


def raw_bytes() -> Tokenizer:
    """Every byte a token: id 107 + byte."""
    vocab = {token: i for i, token in enumerate((*SPECIAL_TOKENS, *ALPHABET))}
    tokenizer = _blank(models.BPE(vocab=vocab, merges=[]))
    tokenizer.add_special_tokens(_special_tokens())
    return Tokenizer(tokenizer.to_str())


class TokenizerSpec(Protocol):
    """What conf/tokenizer/*.yaml describes: a tokenizer still to be fitted."""

    @property
    def name(self) -> str:
        """Names kind and parameters; with the corpus digest it decides the fitted tokenizer."""

    def fit(self, texts: Iterable[str]) -> Tokenizer:
        """Fit on the texts of the training split, and of no other."""


@dataclass(frozen=True)
class BPE:
    """Byte-level BPE; `vocab_size` counts the 107 special tokens and the 256 bytes too."""

    vocab_size: int = 2048

    def __post_init__(self) -> None:
        _check_vocab_size(self.vocab_size)

    @property
    def name(self) -> str:
        return f"bpe-{self.vocab_size}"

    def fit(self, texts: Iterable[str]) -> Tokenizer:
        return train_bpe(texts, self.vocab_size)


@dataclass(frozen=True)
class RawBytes:
    """Every byte a token; nothing to fit."""

    @property
    def name(self) -> str:
        return "bytes"

    def fit(self, texts: Iterable[str]) -> Tokenizer:
        return raw_bytes()


@dataclass(frozen=True)
class Saved:
    """One that has been fitted already, such as a finished run's tokenizer.json; no text changes it."""

    path: str

    @property
    def name(self) -> str:
        return f"saved-{Tokenizer.load(self.path).digest}"

    def fit(self, texts: Iterable[str]) -> Tokenizer:
        return Tokenizer.load(self.path)
