"""One fact in a long real text, asked for at its end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from archs.contract import Family

from .corpus import SPLITS, Corpus
from .example import Example, Examples
from .stream import fitted_tokenizer, token_stream
from .streams import stream
from .supervised import SOLVED, SupervisedTask, digest
from .synthetic.generated import symbols
from .tokenizer import BOS, EOS, N_SPECIAL, Tokenizer, TokenizerSpec

DIGITS = 4
NAMES = 2000  # names that a fact may be about, before those that the corpus knows are taken out
FACT = " The secret number of {name} is{value}."
QUESTION = " The secret number of {name} is"


class Needle(SupervisedTask):
    """A made-up fact somewhere in real text; the question repeats its beginning.

        source   ... of the Treasury. The secret number of Tavoki is 4821. I recommend ...
                 ... our commerce. The secret number of Tavoki is
        target   " 4821"                                                    in the tokens of the corpus

    Text comes from the corpus group: training text for training, held-out text for the held-out splits. Names
    and numbers are drawn anew for every example, from those that occur nowhere in the corpus, so that the
    answer stands nowhere in the source but in the fact. A source has `length` tokens, fact and question
    included. The fact stands `depth` percent of the way into the text, moved on to the next beginning of a
    word; depths are taken in turn and reported apart.

    Longer sources, in `beyond`, are only evaluated. A prediction is the argmax over ordinary tokens, and
    <eos>, which ends answers shorter than the longest.
    """

    name = "needle"
    solved_from = SOLVED

    def __init__(
        self,
        *,
        corpus: Corpus,
        tokenizer: TokenizerSpec,
        cache_dir: str | Path,
        family: Family,
        start: int | None = None,
        length: int = 1024,
        depths: Sequence[int] = (0, 25, 50, 75, 100),
        beyond: Sequence[int] = (),
        validation_examples: int = 200,
        test_examples: int = 500,
        quick_examples: int = 50,
    ) -> None:
        """length: tokens of a source. depths: percent. beyond: lengths that are only evaluated."""
        self.length, self.depths, self.beyond = length, tuple(depths), tuple(beyond)
        counts = {"validation": validation_examples, "test": test_examples}
        self.quick_examples = quick_examples
        if not depths or len(set(depths)) < len(depths) or min(depths) < 0 or max(depths) > 100:
            raise ValueError(f"task.depths={list(depths)} must be different percentages, from 0 to 100")
        for key, value in (*counts.items(), ("quick", quick_examples)):
            if value < len(depths):
                raise ValueError(f"task.{key}_examples={value} must be at least {len(depths)}, one per depth")
        if beyond and min(beyond) <= length:
            raise ValueError(f"task.beyond={list(beyond)} must be longer than task.length={length}")

        self.tokenizer = fitted_tokenizer(corpus, tokenizer, cache_dir)
        texts = [document.text for split in SPLITS for document in corpus.split(split)]
        self._names, self._values = unused_names(texts), unused_values(texts)
        answers = [len(ids) for ids in self.tokenizer.encode_many(self._values)]
        answer_len = max(answers)
        super().__init__(
            family=family,
            start=start,
            vocab_size=self.tokenizer.vocab_size,
            source_len=length,
            answer_len=answer_len,
            in_place=False,
            labels=symbols(self.tokenizer.vocab_size - N_SPECIAL, ends=min(answers) < answer_len),
        )
        self._text = {split: plain(corpus, self.tokenizer, split, cache_dir) for split in SPLITS}
        self._begins = np.array([ids[:1] in (b" ", b"\n") for ids in self.tokenizer.token_bytes])
        self._held = {
            split: self._drawn(split, length, count, self._stream(split, length))
            for split, count in counts.items()
        }
        self._further = {
            split: {
                f"length_{longer}": self._drawn(split, longer, count, self._stream(split, longer))
                for longer in beyond
            }
            for split, count in counts.items()
        }
        held = [*self._held.values(), *(part for parts in self._further.values() for part in parts.values())]
        self.digests = {
            "corpus": corpus.digest,
            "tokenizer": self.tokenizer.digest,
            "examples": digest(example for examples in held for example in examples),
        }

    def training(self, seed: int, index: int, size: int) -> Examples:
        rng = stream(self.name, "train", self.length, list(self.depths), seed, index)
        return self._drawn("train", self.length, size, rng, index * size)

    def examples(self, split: str) -> Examples:
        return self._held[split]

    def parts(self, split: str) -> dict[str, slice]:
        return {f"depth_{depth}": slice(i, None, len(self.depths)) for i, depth in enumerate(self.depths)}

    def further(self, split: str) -> dict[str, Examples]:
        return self._further[split]

    def answer_depths(self, examples: Examples) -> np.ndarray:
        """Those asked for, taken in turn."""
        return np.resize(self.depths, len(examples))

    def quick(self, examples: Examples) -> Examples:
        return examples.take(slice(self.quick_examples))

    def train_tokens(self) -> None:
        """Facts are drawn anew, so that no example comes again."""

    def bytes_per_token(self) -> float:
        return float(self.tokenizer.byte_lengths[self._text["train"]].mean())

    def save(self, folder: Path) -> None:
        """tokenizer.json."""
        self.tokenizer.save(folder / "tokenizer.json")

    def baselines(self, split: str, *, quick: bool = False) -> dict[str, dict[str, float]]:
        """chance: any of the numbers that a fact may hold."""
        return {"chance": {"exact_match": 1 / len(self._values)}}

    def _stream(self, split: str, length: int) -> np.random.Generator:
        return stream(self.name, split, length, list(self.depths))

    def _drawn(
        self, split: str, length: int, count: int, rng: np.random.Generator, first: int = 0
    ) -> Examples:
        """Examples number `first` and on, whose depths are taken in turn."""
        names = [self._names[i] for i in rng.integers(0, len(self._names), count)]
        values = [self._values[i] for i in rng.integers(0, len(self._values), count)]
        facts = [FACT.format(name=n, value=v) for n, v in zip(names, values, strict=True)]
        questions = [QUESTION.format(name=n) for n in names]
        encoded = self.tokenizer.encode_many([*facts, *questions, *values])
        places = rng.random(count)
        examples = []
        for i, place in enumerate(places.tolist()):
            fact, question, answer = encoded[i], encoded[count + i], encoded[2 * count + i]
            text = self._window(split, length - len(fact) - len(question), place)
            cut = self._cut(text, self.depths[(first + i) % len(self.depths)])
            examples.append(Example(np.concatenate([text[:cut], fact, text[cut:], question]), answer))
        return Examples.of(examples)

    def _window(self, split: str, length: int, place: float) -> np.ndarray:
        """`length` tokens of running text."""
        ids = self._text[split]
        if not 1 <= length <= len(ids):
            raise ValueError(
                f"task.length={self.length} and task.beyond={list(self.beyond)} must leave room for the fact "
                f"and be less than the {len(ids)} tokens of the {split} text"
            )
        first = int(place * (len(ids) - length + 1))
        return ids[first : first + length]

    def _cut(self, text: np.ndarray, depth: int) -> int:
        """Where the fact goes: `depth` percent into the text, or the next beginning of a word."""
        at = len(text) * depth // 100
        if depth in (0, 100):
            return at
        begins = self._begins[text[at:]]
        return at + int(begins.argmax()) if begins.any() else at


def plain(corpus: Corpus, tokenizer: Tokenizer, split: str, cache_dir: str | Path) -> np.ndarray:
    """The text of a split as one row (n,) of ordinary tokens, a line break behind every document."""
    ids = token_stream(corpus, tokenizer, split, cache_dir).ids
    ids = ids[ids != BOS]
    ids[ids == EOS] = tokenizer.encode("\n")[0]
    return ids


def unused_values(texts: Sequence[str]) -> list[str]:
    """Numbers of four digits, with the space before, that stand nowhere in the texts, not even inside longer
    numbers."""
    used = {found for text in texts for found in re.findall(rf"(?=([0-9]{{{DIGITS}}}))", text)}
    values = [f" {number}" for number in range(10 ** (DIGITS - 1), 10**DIGITS) if str(number) not in used]
    if len(values) < 1000:
        raise ValueError(
            f"the corpus holds all but {len(values)} of the numbers of {DIGITS} digits: too few are left for "
            "task=needle to hide"
        )
    return values


def unused_names(texts: Sequence[str]) -> list[str]:
    """Made-up names, such as Tavoki, that are no words of the texts."""
    rng = stream("needle names")
    letters = np.stack(
        [rng.choice(list("bdfgklmnprstvz" if i % 2 == 0 else "aeiou"), NAMES) for i in range(6)], axis=1
    )
    used = {word for text in texts for word in re.findall(r"[A-Z][a-z]+", text)}
    return sorted({"".join(row).capitalize() for row in letters} - used)
