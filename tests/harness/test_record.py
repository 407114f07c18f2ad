import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import record
from harness.environment import environment, git_revision
from harness.record import DamagedRecord


def a_record(**changes):
    return {
        "version": record.VERSION,
        "identity": "0123456789ab",
        "name": "gpt-language-1M-s1",
        "study": "single",
        "status": "completed",
        "attempts": 1,
        "config": {"size": 1_000_000},
        "seed": 1,
        "parameters": {"total": 3, "non_embedding": 2},
        "validation": {"continuation_bpb": 2.0},
    } | changes


def test_what_is_written_is_read_and_can_be_updated(tmp_path):
    run = tmp_path / "study" / "run"
    assert not record.has_record(run)
    record.write_record(run, a_record(flops=np.float64(1.5), peak_memory=np.int64(7), lr=math.nan))
    assert record.read_record(run) == a_record(flops=1.5, peak_memory=7, lr=None)
    assert record.update_record(run, status="failed")["status"] == "failed"
    assert record.read_record(run)["status"] == "failed"
    assert [path.name for path in run.iterdir()] == ["run.json"]  # no temporary file is left


def test_a_failed_write_leaves_the_old_record(tmp_path):
    record.write_record(tmp_path, a_record())
    with pytest.raises(TypeError):
        record.write_record(tmp_path, a_record(error=object()))
    assert record.read_record(tmp_path) == a_record()
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


WHOLE = json.dumps(a_record())


@pytest.mark.parametrize(
    "content",
    [
        WHOLE[:-20],
        "",
        "[]",
        "{}",
        "null",
        '{"name": "package", "version": "1.0"}',
        json.dumps(a_record(version=99)),
        json.dumps(a_record(status="fine")),
        "\x00\x00\x00",
        "ÿ",
    ],
)
def test_a_damaged_or_foreign_record_is_reported_and_left_alone(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_text(content, encoding="latin-1")
    before = path.read_bytes()
    for touch in (record.read_record, lambda run: record.write_record(run, a_record())):
        with pytest.raises(DamagedRecord, match=r"run\.json: ") as error:
            touch(tmp_path)
        assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_a_record_of_another_run_is_not_written_over(tmp_path):
    record.write_record(tmp_path, a_record())
    with pytest.raises(DamagedRecord, match="belongs to the run 0123456789ab"):
        record.write_record(tmp_path, a_record(identity="ba9876543210"))
    assert record.read_record(tmp_path) == a_record()


rows = st.lists(
    st.fixed_dictionaries({"step": st.integers(0, 9), "kind": st.sampled_from(["train", "validation"])})
)


@given(rows, st.integers(0, 200))
def test_curves_survive_a_torn_line(tmp_path_factory, rows, cut):
    run = tmp_path_factory.mktemp("run")
    assert record.read_metrics(run) == []
    for row in rows:
        record.append_metrics(run, row | {"loss": 1.0})
    path = run / "metrics.jsonl"
    whole = path.read_bytes() if rows else b""
    path.write_bytes(whole[:cut])
    record.append_metrics(run, {"step": 10, "kind": "train", "loss": 2.0})
    found = record.read_metrics(run)
    assert found[-1] == {"step": 10, "kind": "train", "loss": 2.0}
    kept = whole[:cut].count(b"\n") + (whole[:cut].endswith(b"}"))
    assert {(row["step"], row["kind"]) for row in found[:-1]} == {(r["step"], r["kind"]) for r in rows[:kept]}


def test_of_rows_written_again_after_a_kill_the_last_counts(tmp_path):
    for loss in (3.0, 2.0):
        record.append_metrics(tmp_path, {"step": 5, "kind": "train", "loss": loss})
    record.append_metrics(tmp_path, {"step": 5, "kind": "validation", "loss": math.inf})
    assert [row["loss"] for row in record.read_metrics(tmp_path)] == [2.0, None]


def test_records_are_one_flat_row_each_and_damaged_ones_a_warning(tmp_path, capsys):
    for seed in (1, 2):
        record.write_record(tmp_path / "a" / f"run{seed}", a_record(seed=seed))
    record.write_json(tmp_path / "a" / "run1" / "test.json", {"continuation_bpb": 2.5})
    (tmp_path / "a" / "torn").mkdir()
    (tmp_path / "a" / "torn" / "run.json").write_text(WHOLE[:50])
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "run.json").write_text("{}")
    table = harness.records(tmp_path)
    assert list(table["seed"]) == [1, 2]
    assert list(table["validation.continuation_bpb"]) == [2.0, 2.0]
    assert table["test.continuation_bpb"][0] == 2.5
    assert table["parameters.total"][1] == 3
    assert table["config"][0] == {"size": 1_000_000}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert str(tmp_path / "a" / "torn" / "run.json") in lines[0]
    with pytest.raises(FileNotFoundError, match="no such folder"):
        harness.records(tmp_path / "nowhere")


def test_the_environment_says_on_what_a_run_was_made(tmp_path):
    found = environment("NVIDIA H100", threads=3)
    assert found["device"] == "NVIDIA H100"
    assert found["threads"] == 3
    assert found["torch"][0].isdigit()
    json.dumps(found)
    assert git_revision(tmp_path) is None
