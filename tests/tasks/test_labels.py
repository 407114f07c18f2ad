"""Labels and groups as tables give them: what is none, what contradicts itself, and what is said of it."""

import json

import datasets
import pytest

from archs.contract import Family
from tasks import BPE, Classification, RawBytes, Retrieval
from tasks.classification import NOT_BYTES

ROWS = [{"text": f"text number {i}", "label": i % 2, "by": float(i % 9)} for i in range(60)]
NAN = float("nan")


@pytest.fixture
def make(tmp_path):
    def made(rows, kind="json", tokenizer=None, **keys):
        path = tmp_path / f"rows.{kind}"
        if kind == "json":
            path.write_text("\n".join(map(json.dumps, rows)))  # writes NaN as Python and pandas do
        else:
            datasets.Dataset.from_list(rows).to_parquet(path)
        return Classification(
            family=Family.DECODER,
            tokenizer=tokenizer or RawBytes(),
            cache_dir=tmp_path / "cache",
            files=str(path),
            length=32,
            **keys,
        )

    return made


@pytest.mark.parametrize(("kind", "place"), [("json", "line 61"), ("parquet", "row 61")])
@pytest.mark.parametrize("label", [NAN, None])
def test_a_number_that_is_missing_is_no_label(make, kind, place, label):
    rows = [{**row, "label": float(row["label"])} for row in ROWS]
    with pytest.raises(ValueError, match=rf"^task.label=label: .*rows.{kind} {place} has no label$"):
        make([*rows, {"text": "one more", "label": label, "by": 1.0}], kind)


def test_rows_without_a_group_are_no_group(make):
    task = make([*ROWS, *({"text": f"alone {i}", "label": i % 2, "by": NAN} for i in range(60))], group="by")
    alone = [document for split in task.documents.values() for document in split if "alone" in document.text]
    assert len({document.cluster for document in alone}) == 60
    assert len([split for split, of in task.documents.items() if {*of} & {*alone}]) == 3


@pytest.mark.parametrize(("torn", "words"), [(30, "30 texts stand"), (1, "1 text stands"), (0, None)])
def test_texts_with_contradicting_labels_are_counted(make, torn, words):
    again = [{**row, "label": 1 - row["label"]} for row in ROWS[:torn]]
    notes = make([*ROWS, *again, ROWS[-1]]).notes
    expected = f"{words} under more than one label, so that no model can be right about all"
    assert notes == ((expected,) if torn else ())


def test_a_task_that_is_published_for_bytes_says_so_of_any_other_tokenizer(make):
    assert make(ROWS, bytewise=True).notes == ()
    assert make(ROWS, tokenizer=BPE(380)).notes == ()
    assert make(ROWS, tokenizer=BPE(380), bytewise=True).notes == (NOT_BYTES,)


@pytest.mark.parametrize("family", Family)
def test_two_texts_in_one_row_are_named_in_tables(tmp_path, family):
    rows = [{"text1": f"one {i}", "text2": f"two {i}", "label": i % 2} for i in range(40)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    task = Retrieval(
        family=family, start=0, tokenizer=RawBytes(), cache_dir=tmp_path, files=str(tmp_path / "rows.json")
    )
    assert task.asked.startswith("text1 <sep> text2 ")
