"""Runs share a table only if they may, seeds become rows, and nothing that failed disappears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import write_run, write_study

from harness.lock import run_lock
from harness.report.collect import collect
from harness.report.grouping import compare
from harness.report.remarks import footer
from harness.report.summary import METRICS


def comparisons(root):
    return compare(collect(root).records)


def test_one_table_per_task_one_row_per_architecture(tmp_path):
    write_study(tmp_path, seeds=(1, 2), curves=False)
    language, mqar = comparisons(tmp_path)
    assert (language.task, mqar.task) == ("language", "mqar")
    for table in (language, mqar):
        assert [row.label for row in table.rows] == ["bert", "gpt", "mamba", "t5"]
        assert all(row.seeds == [1, 2] and row.count == "2" for row in table.rows)
        assert table.title == table.task


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"digests__tokenizer": "0123456789"}, "tokenizer 01234567"),
        ({"digests__corpus": "abcdefabcdef"}, "corpus abcdefab"),
        ({"digests__windows": "9876543210"}, "windows 98765432"),
        ({"config__budget": {"kind": "tokens", "tokens": "4M"}}, "budget.tokens=4M"),
        ({"config__size": "10M"}, "size=10M"),
        ({"config__task": {"_target_": "tasks.Task", "window": 512}}, "task.window=512"),
    ],
)
def test_what_must_agree_separates_tables_and_is_named(tmp_path, change, named):
    write_run(tmp_path, "gpt", curves=False)
    write_run(tmp_path, "mamba", curves=False, **change)
    first, second = comparisons(tmp_path)
    assert {len(first.rows), len(second.rows)} == {1}
    assert named in [first.differs, second.differs]
    assert first.differs != second.differs


def test_what_only_tells_places_apart_does_not(tmp_path):
    write_run(tmp_path, "gpt", 1, curves=False)
    write_run(tmp_path, "gpt", 2, curves=False, config__results_dir="/elsewhere", config__study_name="other")
    (table,) = comparisons(tmp_path)
    (row,) = table.rows
    assert row.seeds == [1, 2]


def test_rows_of_one_architecture_say_how_they_differ(tmp_path):
    write_run(tmp_path, "gpt", curves=False)
    write_run(tmp_path, "gpt", curves=False, config__optim={"name": "adamw", "lr": 0.01})
    (table,) = comparisons(tmp_path)
    assert {row.label for row in table.rows} == {"gpt (optim.lr=0.003)", "gpt (optim.lr=0.01)"}


def test_a_setting_that_differs_between_architectures_is_told(tmp_path):
    write_run(tmp_path, "gpt", curves=False)
    write_run(tmp_path, "mamba", curves=False, config__batch_size=8)
    (table,) = comparisons(tmp_path)
    assert table.settings == {"batch_size": "gpt 16, mamba 8"}
    assert "Not the same for all: batch_size (gpt 16, mamba 8)." in footer(table)


def test_a_run_in_two_studies_counts_once(tmp_path):
    for study in ("a", "b"):
        write_run(tmp_path / study, "gpt", identity="same", curves=False)
    (table,) = comparisons(tmp_path)
    assert [row.count for row in table.rows] == ["1"]


@pytest.mark.parametrize("status", ["failed", "diverged", "interrupted", "out-of-memory"])
def test_runs_without_a_result_are_counted_and_shown(tmp_path, status):
    write_study(tmp_path, seeds=(1, 2), archs=("gpt", "mamba"), tasks=("language",), curves=False)
    write_run(tmp_path, "gpt", 3, curves=False)
    write_run(tmp_path, "mamba", 3, status=status, error="the reason", digests={}, curves=False)
    (table,) = comparisons(tmp_path)
    mamba = table.rows[1]
    assert mamba.count == f"2 of 3, 1 {status}"
    assert sorted(mamba.values("continuation_bpb")) == [1, 2]
    assert f"mamba, seed 3: {status}: the reason." in footer(table)
    assert table.verdicts["continuation_bpb"].winners == ()
    assert "mamba has no result for seed 3" in table.verdicts["continuation_bpb"].reason


def test_a_run_counts_as_running_only_while_its_process_lives(tmp_path):
    folder = write_run(tmp_path, "gpt", status="running", curves=False)
    with run_lock(folder):
        assert comparisons(tmp_path)[0].rows[0].count == "0 of 1, 1 running"
    assert comparisons(tmp_path)[0].rows[0].count == "0 of 1, 1 interrupted"


def test_the_test_split_is_read_only_when_every_completed_run_has_it(tmp_path):
    write_run(tmp_path, "gpt", test=True, curves=False)
    write_run(tmp_path, "mamba", test=True, curves=False)
    write_run(tmp_path, "t5", status="failed", curves=False)
    (table,) = comparisons(tmp_path)
    validation = collect(tmp_path).records[0]["validation"]["continuation_bpb"]
    assert table.split == "test"
    assert table.rows[0].estimate("continuation_bpb")[0] == pytest.approx(validation - 0.02)
    write_run(tmp_path, "bert", curves=False)
    (table,) = comparisons(tmp_path)
    assert table.split == "validation"
    assert "Every number is from the validation split." in footer(table)


def test_infill_winners_only_among_those_that_saw_the_same(tmp_path):
    write_study(tmp_path, seeds=(1, 2, 3), tasks=("language",), curves=False)
    (table,) = comparisons(tmp_path)
    assert table.verdicts["continuation_bpb"].winners == ("mamba",)
    assert set(table.verdicts["infill_bpb"].winners) == {"t5", "mamba"}
    assert "To infill, bert, t5 saw both sides; gpt, mamba saw the left only." in footer(table)


def test_plateaus_follow_from_data_and_baselines(tmp_path):
    write_study(tmp_path, curves=False)
    language, mqar = comparisons(tmp_path)
    marks = {row.label: language.plateau(row, language.metrics[0]) for row in language.rows}
    bits = "no better than unigram at this budget"
    assert marks == {"bert": None, "gpt": None, "mamba": None, "t5": None} | {
        row.label: bits for row in language.rows if row.estimate("continuation_bpb")[0] > 2.40
    }
    marks = {row.label: mqar.plateau(row, mqar.metrics[0]) for row in mqar.rows}
    chance = "not solved (plateau of chance)"
    assert marks == {"bert": None, "gpt": None, "mamba": chance, "t5": "not solved"}


@given(st.floats(2.0, 3.0))
def test_the_unigram_mark_begins_at_its_margin(bits):
    record = {"arch": "x", "task": "language", "status": "completed", "seed": 1, "config": {}, "digests": {}}
    record |= {"validation": {"continuation_bpb": bits}, "baselines": {"unigram": {"continuation_bpb": 2.5}}}
    (table,) = compare([record])
    marked = table.plateau(table.rows[0], METRICS[0]) is not None
    assert marked == (bits > 2.5 - 0.02)


def test_recall_is_counted_as_solved_or_not(tmp_path):
    write_study(tmp_path, seeds=(1, 2, 3), tasks=("mqar",), curves=False)
    (table,) = comparisons(tmp_path)
    solved = {row.label: row.solved("accuracy", table.solved_from)[:2] for row in table.rows}
    assert solved == {"bert": (3, 3), "gpt": (3, 3), "mamba": (0, 3), "t5": (0, 3)}


def test_the_interval_of_a_mean_stands_beside_no_median(tmp_path):
    """Of tasks that are solved or not medians are shown, which that interval is not about."""
    write_study(tmp_path, seeds=(1, 2, 3), curves=False, test=True, clusters=20)
    language, mqar = comparisons(tmp_path)
    assert "continuation_bpb" in [metric.key for metric in language.judged]
    assert mqar.judged == []
