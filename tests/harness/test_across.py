"""A score over tasks is of seeds that every task has, and its spread is what can be said of it."""

import pytest
from sample_records import write_run, write_study

from harness.report.across import across
from harness.report.collect import collect
from harness.report.grouping import compare

TASKS = ("copy", "sort")


def scores(root, **changes):
    side = across(compare(collect(root).records))
    place = [column.title for column in side.grid.columns].index("score")
    return {row[0].text: row[place] for row in side.grid.rows}, side.footer


def test_the_score_of_tasks_that_are_solved_or_not_has_a_range(tmp_path):
    for task in TASKS:
        for seed, solved in enumerate((True, False, True)):
            write_run(
                tmp_path, "gpt", seed, task, curves=False, solved_from=0.99,
                validation__accuracy=1.0 if solved else 0.25,
            )  # fmt: skip
    found, footer = scores(tmp_path)
    assert found["gpt"].interval == "[25.0–100.0]"
    (line,) = (line for line in footer if line.startswith("Score"))
    assert "its range over seeds" in line
    assert "Student" not in line


def test_the_score_of_other_tasks_has_an_interval(tmp_path):
    write_study(tmp_path, seeds=(1, 2, 3), archs=("t5",), tasks=TASKS, curves=False)
    found, footer = scores(tmp_path)
    assert found["t5"].interval.startswith("± ")
    assert any("Student's t" in line for line in footer)


def test_a_seed_that_one_task_lacks_counts_in_no_score(tmp_path):
    values = {"copy": {1: 0.5, 2: 0.6}, "sort": {2: 0.8, 3: 0.9}}
    for task, by_seed in values.items():
        for seed, value in by_seed.items():
            write_run(tmp_path, "gpt", seed, task, curves=False, validation__accuracy=value)
    found, _ = scores(tmp_path)
    assert found["gpt"].value == pytest.approx(0.7)
    assert found["gpt"].interval == ""
