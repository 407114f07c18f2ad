"""The user's tables: read strictly, refused in one line, and split so that no text stands on both sides."""

import csv
import json
from collections import defaultdict

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.tables import Record, column, counted, divided, hub_rows, load, table_rows, texts, together

ROWS = [{"text": 'a "quoted"\nline, and more', "label": "x"}, {"text": "Käse  ☃ \u2028", "label": "y"}]


def written(path, rows):
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_every_kind_of_file_gives_its_rows(tmp_path, kind):
    path = written(tmp_path / f"rows.{kind}", ROWS)
    assert [dict(row.values) for row in table_rows(str(path), "task.files")] == ROWS


def test_rows_know_where_they_stand_and_may_be_long(tmp_path):
    path = written(tmp_path / "rows.csv", [*ROWS, {"text": "long " * 100_000, "label": "z"}])
    before = csv.field_size_limit()
    rows = table_rows([str(path)], "task.files")
    assert [row.where for row in rows] == [f"{path} line {n}" for n in (2, 4, 5)]
    assert len(rows[2].values["text"]) == 500_000
    assert csv.field_size_limit() == before
    lines = written(tmp_path / "rows.jsonl", ROWS)
    assert [row.where for row in table_rows(str(lines), "task.files")] == [
        f"{lines} line {n}" for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "text,label\nok,x\nno comma here\n",
            r"a\.csv line 3 is broken: it has 1 field\(s\), the header 2",
        ),
        ("a.csv", 'text,label\n"two\nlines",x\na,b,c\n', r"a\.csv line 4 is broken: it has 3 field"),
        ("a.csv", 'text,label\nok,x\n"never closed,y\nmore,z\n', r"a\.csv line 3 is broken: unexpected end"),
        ("a.csv", "text,text\nok,x\n", r"a\.csv names a column twice: text, text"),
        ("a.csv", "text,label\n", r"task\.files=.*a\.csv holds no row"),
        ("a.json", '[{"text": "ok"},\n {"text": }]', r"a\.json line 2 is broken: Expecting value"),
        ("a.jsonl", '{"text": "ok"}\n\n{"text": \n', r"a\.jsonl line 3 is broken: Expecting value"),
        ("a.jsonl", '{"text": "ok"}\n7\n', r"a\.jsonl line 2 is no object but int"),
        ("a.xlsx", "text", r"task\.files=.*a\.xlsx is of no known kind: choose \.csv, \.tsv, "),
        ("a.parquet", "text", r"a\.parquet cannot be read as parquet: "),
        ("a.csv", "", r"task\.files=.*a\.csv is empty"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        table_rows(str(tmp_path / name), "task.files")
    assert "\n" not in str(caught.value)


def test_columns_are_checked_row_by_row():
    rows = [Record({"body": "a", "n": 1}, "f line 2"), Record({"body": " ", "n": 2}, "f line 3")]
    assert column(rows, "n", "task.label") == [1, 2]
    for name, message in (
        ("text", "task.text=text: f line 2 has no such column; it has body, n"),
        ("n", "task.text=n: f line 2 holds int, not text"),
        ("body", "task.text=body: f line 3 holds no text"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            texts(rows, name, "task.text")
    assert counted(["b", "a", "b"]) == "b (2), a (1)"
    assert counted(list("abcdefg")).endswith(" and 2 more")


def identity(records):
    return [record.values["text"] for record in records]


def rows(*names):
    return [Record({"text": text, "by": by}, text) for text, by in names]


CUT = {"group": None, "validation": 0.2, "test": 0.2, "duplicates": "refuse"}


@given(
    st.lists(
        st.tuples(st.text("abc", max_size=3), st.sampled_from("uvwxyz") | st.none()), min_size=1, max_size=40
    )
)
def test_what_shares_a_text_or_a_group_stays_together(pairs):
    """Against a search that joins rows one by one."""
    names = together([text for text, _ in pairs], [by for _, by in pairs])
    parts = []
    for text, by in pairs:
        touched = [part for part in parts if ("text", text) in part or (by and ("by", by) in part)]
        parts = [part for part in parts if part not in touched]
        parts.append({("text", text), *([("by", by)] if by else [])}.union(*touched))
    expected = [next(i for i, part in enumerate(parts) if ("text", text) in part) for text, _ in pairs]
    assert len(set(zip(names, expected, strict=True))) == len(set(names)) == len(set(expected))


def test_splits_are_cut_by_hash_disjoint_and_stable():
    many = rows(*((f"text {i % 500}", f"author {i % 40}") for i in range(600)))
    split = divided({"train": many}, identity, **CUT)
    found = {name: set(identity(part)) for name, part in split.items()}
    assert sum(len(part) for part in split.values()) == 600
    assert not found["train"] & found["test"]
    assert not found["validation"] & found["test"]
    assert not found["train"] & found["validation"]
    assert 60 < len(found["test"]) < 140
    more = divided({"train": many + rows(("new", "b"))}, identity, **CUT)
    assert sum(len(set(identity(more[name])) ^ found[name]) for name in found) == 1, "others do not move"
    authors = defaultdict(set)
    for name, part in divided({"train": many}, identity, **CUT | {"group": "by"}).items():
        for row in part:
            authors[row.values["by"]].add(name)
    assert all(len(names) == 1 for names in authors.values())


def test_given_splits_are_kept_and_the_missing_one_is_cut():
    train, test = rows(*((f"{i}", "") for i in range(50))), rows(("x", ""), ("y", ""))
    split = divided({"train": train, "test": test}, identity, **CUT)
    assert split["test"] == test
    assert len(split["train"]) + len(split["validation"]) == 50
    assert 1 <= len(split["validation"]) < 25
    whole = {"train": train, "validation": rows(("z", "")), "test": test}
    assert divided(whole, identity, **CUT | {"validation": 0.0, "test": 0.0}) == whole


def test_texts_that_given_splits_share_are_refused_with_their_number():
    train, test = rows(*((f"{i}", "") for i in range(50))), rows(("3", ""), ("4", ""), ("y", ""))
    with pytest.raises(ValueError, match=r"^2 of the 50 train examples stand in a later split too: remove "):
        divided({"train": train, "test": test}, identity, **CUT)
    split = divided({"train": train, "test": test}, identity, **CUT | {"duplicates": "drop"})
    assert len(split["train"]) + len(split["validation"]) == 48
    assert len(split["test"]) == 3
    with pytest.raises(ValueError, match="all of the 2 train examples stand in a later split"):
        divided({"train": train[3:5], "test": test}, identity, **CUT | {"duplicates": "drop"})


def test_groups_that_given_splits_share_are_refused_too():
    train = rows(*((f"{i}", "" if i % 2 else f"author {i % 10}") for i in range(50)))
    test = rows(("x", "author 4"), ("y", ""), ("z", None))
    message = "^5 of the 50 train examples stand in a later split too, or others of their by do: remove "
    with pytest.raises(ValueError, match=message):
        divided({"train": train, "test": test}, identity, **CUT | {"group": "by"})
    split = divided({"train": train, "test": test}, identity, **CUT | {"group": "by", "duplicates": "drop"})
    assert len(split["train"]) + len(split["validation"]) == 45
    assert {row.values["by"] for row in split["validation"]}.isdisjoint(
        row.values["by"] for row in split["train"] if row.values["by"]
    ), "rows without a group are not one group"


@pytest.mark.parametrize(
    ("count", "changes", "message"),
    [
        (2, {}, "task.files hold 2 different texts or groups, too few to cut into 3 splits"),
        (9, {"validation": 0}, "task.validation=0 must be more than 0 and less than 1"),
        (9, {"validation": 0.5, "test": 0.5}, "must have a sum below 1"),
        (9, {"duplicates": "keep"}, "task.duplicates=keep is unknown: choose refuse or drop"),
        (9, {"group": "author"}, "task.group=author: 0 has no such column; it has text, by"),
    ],
)
def test_impossible_splits_are_refused(count, changes, message):
    with pytest.raises(ValueError, match=message):
        divided({"train": rows(*((f"{i}", "") for i in range(count)))}, identity, **CUT | changes)


NO_FILES = {"files": None, "validation_files": None, "test_files": None, "nearest": "use task=other"}
REVIEWS = {"path": "org/reviews", "name": None, "train": "train", "validation": None, "test": "test"}


def test_the_hub_is_read_with_the_names_of_its_classes(monkeypatch):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["n", "p"])}
    )
    made = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, -1]}, features=features)
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or made)
    found = load(hub=REVIEWS, **NO_FILES)
    assert set(found) == {"train", "test"}
    assert [dict(row.values) for row in found["train"]] == [
        {"text": "a", "label": "n"},
        {"text": "b", "label": "p"},
        {"text": "c", "label": None},
    ]
    assert found["test"][1].where == "org/reviews test row 2"
    assert asked == [(("org/reviews", None), {"split": split}) for split in ("train", "test")]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ConnectionError("no\nroute"),
            "task.hub.path=org/reviews needs a network .* reached: use task=other",
        ),
        (
            ValueError("Unknown split\nmore"),
            "task.hub.path=org/reviews task.hub.name=None, split train: Unknown",
        ),
    ],
)
def test_a_hub_out_of_reach_is_one_line(monkeypatch, error, message):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fails)
    with pytest.raises(ValueError, match=message) as caught:
        hub_rows("org/reviews", None, "train", "use task=other")
    assert "\n" not in str(caught.value)


def test_where_rows_come_from_is_said_once(tmp_path):
    path = str(written(tmp_path / "rows.csv", ROWS))
    assert set(load(hub={}, **NO_FILES | {"files": path, "test_files": path})) == {"train", "test"}
    for changes, hub, message in (
        ({"files": path}, REVIEWS, "task.files and task.hub.path=org/reviews are both set: choose one"),
        ({"test_files": path}, REVIEWS, "task.test_files and task.hub.path=org/reviews are both set"),
        ({}, {}, "task.files is not set: give a path"),
        ({"files": path, "test_files": "none.csv"}, {}, "task.test_files=none.csv does not exist"),
        ({}, REVIEWS | {"splt": "x"}, "task.hub has no key splt: it takes path, name, train, val"),
        ({}, REVIEWS | {"train": None}, "task.hub.train is not set"),
    ):
        with pytest.raises(ValueError, match=message):
            load(hub=hub, **NO_FILES | changes)
