import json

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import corpus as cp

SPLITS = cp.SPLITS


def essays(folder, count, words=60):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i:03}.txt").write_text(" ".join(f"word{i}x{j}" for j in range(words)) + "\n")
    return str(folder / "*.txt")


def where(corpus):
    return {document.text: split for split in SPLITS for document in corpus.split(split)}


def one_line(call):
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as error:
        call()
    return str(error.value)


def test_sotu_is_whole_and_split_by_year_and_president():
    corpus = cp.sotu()
    documents = [document for split in SPLITS for document in corpus.split(split)]
    assert len(documents) == len({document.id for document in documents}) >= 249
    assert sum(len(document.text) for document in documents) > 12e6
    groups = [{document.group for document in corpus.split(split)} for split in SPLITS]
    assert len(set.union(*groups)) == sum(map(len, groups))
    assert len({split for split in SPLITS for d in corpus.split(split) if d.id.startswith("1973-Nixon")}) == 1
    assert all(len(corpus.split(split)) >= 5 for split in SPLITS)
    assert corpus.digest == cp.sotu().digest


def test_python_is_the_standard_library_without_tests():
    corpus = cp.python()
    ids = {document.id for split in SPLITS for document in corpus.split(split)}
    assert {"ast.py", "json/decoder.py", "json/__init__.py"} <= ids
    assert not any("test" in id.split("/") or "site-packages" in id for id in ids)


@given(
    groups=st.sets(st.text(min_size=1, max_size=8), min_size=3, max_size=40),
    fractions=st.tuples(st.floats(0.01, 0.49), st.floats(0.01, 0.49)),
)
def test_splits_are_disjoint_and_none_is_empty(groups, fractions):
    documents = [cp.Document(f"{group}{i}", group, f"{group} {i}") for group in groups for i in range(2)]
    corpus = cp.Corpus("toy", documents, *fractions)
    split_of = {}
    for split in SPLITS:
        assert corpus.split(split)
        for document in corpus.split(split):
            assert split_of.setdefault(document.group, split) == split
    assert split_of.keys() == groups


def test_fractions_are_kept_in_expectation():
    documents = [cp.Document(str(i), str(i), "text") for i in range(4000)]
    corpus = cp.Corpus("toy", documents, 0.05, 0.2)
    assert 150 < len(corpus.split("validation")) < 250
    assert 700 < len(corpus.split("test")) < 900


def test_another_file_moves_no_other(tmp_path):
    files = essays(tmp_path, 80)
    before = cp.text(files, validation=0.2, test=0.2)
    (tmp_path / "more.txt").write_text("one more essay\n")
    after = cp.text(files, validation=0.2, test=0.2)
    assert where(after).items() >= where(before).items()
    assert after.digest != before.digest


def test_one_changed_byte_is_another_corpus_and_another_place_is_not(tmp_path):
    first = cp.text(essays(tmp_path / "a", 6))
    assert cp.text(essays(tmp_path / "b", 6)).digest == first.digest
    path = tmp_path / "b" / "003.txt"
    path.write_bytes(path.read_bytes()[:-1] + b"\r")
    assert cp.text(str(tmp_path / "b" / "*.txt")).digest != first.digest


def test_text_is_kept_byte_for_byte(tmp_path):
    contents = ["a\r\nb\n\n", "\ufeffé\r", "\x00 tab\t end "]
    for i, content in enumerate(contents):
        (tmp_path / f"{i}.txt").write_bytes(content.encode())
    assert set(where(cp.text([str(tmp_path / f"{i}.txt") for i in range(3)]))) == set(contents)


def test_a_glob_reaches_down_and_passes_over_empty_files(tmp_path):
    essays(tmp_path / "deep" / "down", 4)
    (tmp_path / "empty.txt").touch()
    assert len(where(cp.text(str(tmp_path / "**" / "*.txt")))) == 4


def test_a_single_file_is_cut_at_line_ends(tmp_path):
    book = "".join(f"Line {i} of a long book.\n" for i in range(2000))
    (tmp_path / "book.txt").write_text(book)
    corpus = cp.text(str(tmp_path / "book.txt"), piece_bytes=4096)
    pieces = sorted((d for s in SPLITS for d in corpus.split(s)), key=lambda d: int(d.id.rpartition("#")[2]))
    assert "".join(piece.text for piece in pieces) == book
    assert all(piece.text.endswith("\n") and 3000 < len(piece.text) < 5000 for piece in pieces[:-1])
    assert all(corpus.split(split) for split in SPLITS)


def write_rows(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        datasets.Dataset.from_list(rows).to_parquet(path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.parquet"])
def test_rows_with_a_text_and_a_group_column(name, tmp_path):
    kind = "parquet" if name.endswith("parquet") else "json"
    rows = [{"body": f"Post {i}\r\nby {i % 9}", "author": i % 9} for i in range(90)]
    write_rows(tmp_path / name, rows)
    corpus = cp.table(
        kind, str(tmp_path / name), text_key="body", group_key="author", validation=0.3, test=0.3
    )
    assert set(where(corpus)) == {row["body"] for row in rows}
    authors = [{document.group for document in corpus.split(split)} for split in SPLITS]
    assert sum(map(len, authors)) == 9
    message = one_line(lambda: cp.table(kind, str(tmp_path / name)))
    assert "'text'" in message
    assert "body, author" in message


def test_a_row_without_a_group_belongs_to_no_other(tmp_path):
    rows = [{"text": f"post {i}", "author": i if i < 3 else None} for i in range(60)]
    write_rows(tmp_path / "rows.jsonl", rows)
    corpus = cp.table("json", str(tmp_path / "rows.jsonl"), group_key="author", validation=0.3, test=0.3)
    assert all(len(corpus.split(split)) > 5 for split in SPLITS)


def test_equal_texts_stay_in_one_split(tmp_path):
    write_rows(tmp_path / "rows.jsonl", [{"text": f"poem {i % 10}"} for i in range(100)])
    corpus = cp.table("json", str(tmp_path / "rows.jsonl"), validation=0.3, test=0.3)
    assert sum(len({document.text for document in corpus.split(split)}) for split in SPLITS) == 10


def test_an_edited_file_is_never_taken_from_a_cache(tmp_path):
    path = tmp_path / "rows.jsonl"
    digests = set()
    for word in ("one", "two", "six"):
        write_rows(path, [{"text": f"{word} {i}"} for i in range(5)])
        digests.add(cp.table("json", str(path)).digest)
    assert len(digests) == 3


def test_bad_files_are_named_in_one_line(tmp_path, capfd):
    missing, empty = str(tmp_path / "missing.txt"), tmp_path / "empty.txt"
    empty.touch()
    latin = tmp_path / "latin.txt"
    latin.write_bytes("naïve".encode("latin-1"))
    assert missing in one_line(lambda: cp.text(missing))
    assert "is empty" in one_line(lambda: cp.text(str(empty)))
    assert "byte 2 is 0xef" in one_line(lambda: cp.text(str(latin)))
    assert str(latin) in one_line(lambda: cp.text([str(latin)]))
    assert "matches no file" in one_line(lambda: cp.text(str(tmp_path / "*.md")))
    assert "is a folder" in one_line(lambda: cp.text(str(tmp_path)))
    assert "corpus.files" in one_line(lambda: cp.text(None))
    (tmp_path / "short.txt").write_text("too short")
    assert "too small" in one_line(lambda: cp.text(str(tmp_path / "short.txt")))

    damaged = {
        "bad.jsonl": b'{"text": "a"}\n{oops',
        "bin.jsonl": b'{"text": "\xff"}\n',
        "bad.parquet": b"PAR",
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        kind = "parquet" if name.endswith("parquet") else "json"
        assert str(tmp_path / name) in one_line(
            lambda kind=kind, name=name: cp.table(kind, str(tmp_path / name))
        )
    write_rows(tmp_path / "number.jsonl", [{"text": 3}])
    assert "not text" in one_line(lambda: cp.table("json", str(tmp_path / "number.jsonl")))
    assert "choose json or parquet" in one_line(lambda: cp.table("csv", str(tmp_path / "number.jsonl")))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("fractions", [(0, 0.1), (0.1, 0), (0.5, 0.5), (-0.1, 0.2)])
def test_impossible_fractions_are_refused(fractions):
    documents = [cp.Document(str(i), str(i), "text") for i in range(9)]
    assert "corpus.validation" in one_line(lambda: cp.Corpus("toy", documents, *fractions))


def test_an_unknown_split_is_refused():
    documents = [cp.Document(str(i), str(i), "text") for i in range(9)]
    assert "train, validation, test" in one_line(lambda: cp.Corpus("toy", documents, 0.1, 0.1).split("dev"))


def test_the_hub_is_read_by_text_column_and_missed_in_one_line(monkeypatch):
    rows = datasets.Dataset.from_dict({"text": [f"story {i}" for i in range(20)]})
    calls = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **how: calls.append((names, how)) or rows)
    assert len(where(cp.hub("someone/stories", "small", "train[:20]"))) == 20
    assert calls == [(("someone/stories", "small"), {"split": "train[:20]"})]

    def offline(*_, **__):
        raise ConnectionError("Couldn't reach the Hub\n(OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    message = one_line(lambda: cp.hub("someone/stories"))
    assert "someone/stories" in message
    assert "corpus=sotu" in message
    assert "corpus.path" in one_line(lambda: cp.hub(None))


def test_published_splits_are_kept_apart_and_whole():
    """What stands in several is kept by the last of them; what is not given is cut from training."""
    documents = {
        split: [cp.Document(f"{split}{i}", f"{split}{i}", f"{split} {i}") for i in range(30)]
        for split in SPLITS
    }
    heading = cp.Document("heading", "heading", "References")
    given = {split: [heading, *documents[split]] for split in ("validation", "test")}
    corpus = cp.Corpus("toy", [heading, *documents["train"]], 0.1, 0.1, given)
    expected = {**documents, "test": given["test"]}
    assert {split: corpus.split(split) for split in SPLITS} == expected
    half = cp.Corpus("toy", documents["train"], 0.2, 0, {"test": given["test"]})
    assert half.split("test") == given["test"]
    assert {*half.split("train"), *half.split("validation")} == {*documents["train"]}
    assert half.split("validation")
    assert "too small" in one_line(lambda: cp.Corpus("toy", [heading], 0.1, 0.1, given))


def test_a_short_file_is_cut_in_three(tmp_path):
    (tmp_path / "note.txt").write_text("".join(f"Line {i}.\n" for i in range(90)))
    assert len(where(cp.text(str(tmp_path / "note.txt")))) == 3
