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


def graded(root, task, budgets=(1e5, 1e6), seeds=(1, 2, 3), archs=("gpt", "mamba", "t5"), **changes):
    """A task at several budgets, of which more is better; mamba leads at all of them."""
    for place, budget in enumerate(budgets):
        for seed in seeds:
            for arch in archs:
                ahead = 0.1 * (arch == "mamba") + 0.01 * seed + 0.2 * place
                write_run(
                    root, arch, seed, task, curves=False, validation__accuracy=0.3 + ahead,
                    config__budget={"kind": "tokens", "tokens": budget}, **changes,
                )  # fmt: skip


def test_budgets_of_one_task_are_no_tasks_to_rank_or_average(tmp_path):
    graded(tmp_path, "copy", budgets=(1e5, 3e5, 1e6, 3e6))
    side = across(compare(collect(tmp_path).records))
    assert [column.title.split(" ")[0] for column in side.grid.columns] == ["architecture", *["copy"] * 4]
    assert side.footer[-1] == (
        "No score and no ranks over tasks: these tables are of one, copy, at several settings (as sizes, "
        "budgets, or lengths)."
    )


def test_a_task_at_several_budgets_counts_once_among_others(tmp_path):
    for task in ("copy", "sort", "parity", "dyck"):
        graded(tmp_path, task, budgets=(1e5, 1e6) if task == "copy" else (1e6,))
    side = across(compare(collect(tmp_path).records))
    assert len(side.ranks.tasks) == 4, "of five tables"
    assert side.ranks.mean_ranks == {"mamba": 1.0, "gpt": 2.5, "t5": 2.5}
    titles = [column.title for column in side.grid.columns]
    (gpt,) = (row for row in side.grid.rows if row[0].text == "gpt")
    assert gpt[titles.index("score")].value == pytest.approx(((0.32 + 0.52) / 2 + 3 * 0.32) / 4)
    assert any("counts once, by its mean over them" in line for line in side.footer)


def classified(root, **hubs):
    """The tables of one kind of task on several datasets of the hub, side by side."""
    for key, names in hubs.items():
        for name in names:
            task = {"_target_": "tasks.Classification", "length": 64, "hub": {"path": "imdb", key: name}}
            graded(root, "classification", budgets=(1e6,), config__task=task)
    return across(compare(collect(root).records))


def test_other_datasets_are_other_tasks(tmp_path):
    side = classified(tmp_path, path=("imdb", "ag_news", "mnli", "sst2"))
    assert len(side.ranks.tasks) == 4
    assert "score" in [column.title for column in side.grid.columns]
    assert not any("counts once" in line for line in side.footer)


def test_more_of_a_dataset_is_no_other_task(tmp_path):
    side = classified(tmp_path, train=("train[:100]", "train[:200]", "train[:400]", "train[:800]"))
    assert "these tables are of one, classification" in side.ranks
