"""Two texts of one class, read one after the other."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archs.contract import Family
from tasks import RawBytes, Retrieval
from tasks.labelled import shortened
from tasks.tokenizer import SEP


@given(a=st.integers(1, 40), b=st.integers(1, 40), length=st.integers(3, 60))
def test_each_text_gets_half_or_what_the_other_leaves(a, b, length):
    first, second = np.full(a, 200), np.full(b, 300)
    ids = shortened([first, second], length)
    assert len(ids) == min(length, a + b + 1)
    kept = {token: int((ids == token).sum()) for token in (200, SEP, 300)}
    assert kept[SEP] == 1
    assert ids[kept[200]] == SEP
    half = (length - 1) // 2
    assert kept[200] >= min(a, half)
    assert kept[300] >= min(b, half)


@pytest.fixture
def task(tmp_path):
    def made(rows, **keys):
        with (tmp_path / "papers.tsv").open("w", newline="") as file:
            header = ("label", "id1", "text1", "text2")
            csv.writer(file, delimiter="\t").writerows([header, *rows])
        return Retrieval(
            family=Family.DECODER,
            tokenizer=RawBytes(),
            cache_dir=tmp_path / "cache",
            files=str(tmp_path / "papers.tsv"),
            **({"length": 64} | keys),
        )

    return made


ROWS = [(i % 2, i, f"paper {i}", f"cites {i * i}") for i in range(40)]


def test_what_is_read(task):
    made = task(ROWS)
    texts = {f"paper {i}": (f"cites {i * i}", str(i % 2)) for i in range(40)}
    examples = made.examples("test")
    for example in examples:
        source = example.source.tolist()
        end = source.index(SEP)
        second, label = texts[made.tokenizer.decode(source[:end])]
        assert made.tokenizer.decode(source[end + 1 :]) == second
        assert example.target.tolist() == [made.labels[made.label_names.index(label)]]


def test_texts_that_only_together_look_alike_are_two_questions(task):
    """Two rows whose texts run on into one another differ in the digest of the data."""
    one = task([*ROWS, (1, 41, "a\n\nb", "c")])
    two = task([*ROWS, (1, 41, "a", "b\n\nc")])
    assert one.digests["examples"] != two.digests["examples"]


def test_what_is_cut_is_said(task):
    made = task(ROWS, length=17)
    cut = sum(len(d.text) - 1 > 17 for d in made.documents["train"])
    assert (
        made.notes[0]
        == f"{cut} of {len(made.documents['train'])} train texts are cut to task.length=17 tokens"
    )


@pytest.mark.parametrize(
    ("rows", "keys", "words"),
    [
        ([*ROWS, (1, 40, "paper", " ")], {}, r"task.second=text2: .*papers.tsv line 42 holds no text"),
        (ROWS, {"second": "text3"}, r"task.second=text3: .* no such column; it has label, id1, text1, text2"),
        (ROWS, {"length": 2}, r"task.length=2 must be at least 3"),
    ],
)
def test_bad_input_is_one_line(task, rows, keys, words):
    with pytest.raises(ValueError, match=words) as refused:
        task(rows, **keys)
    assert "\n" not in str(refused.value)
