"""Rows, columns, metric and filters are the user's; what must not share a column is refused, and named."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import write_run

from harness.compose import compose
from harness.report.collect import collect
from harness.report.pivot import pivot
from harness.report.selection import AGGREGATES, Selection, chosen, facet, full_key
from harness.strict import as_dict

TASKS = {pairs: {"_target_": "tasks.MQAR", "pairs": pairs, "vocab": 32} for pairs in (4, 8)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two architectures, two widths, two numbers of pairs (each a task of its own), three seeds."""
    root = tmp_path_factory.mktemp("recall")
    for arch in ("gpt", "mamba"):
        for dim in (32, 64):
            for pairs, task in TASKS.items():
                for seed in (1, 2, 3):
                    write_run(
                        root, arch, seed, "mqar", curves=False, config__task=task, config__arch__dim=dim,
                        solved_from=0.99, validation__accuracy=value(arch, dim, pairs, seed),
                    )  # fmt: skip
    return collect(root).records


def value(arch, dim, pairs, seed):
    return (0.9 if arch == "gpt" else 0.3) + dim / 1000 - pairs / 100 + seed / 1000


def table(runs, **asked):
    selection = Selection.of(asked)
    return pivot(chosen(list(runs), selection.where), selection)


def by_row(found):
    """{(row keys): {column: cell}}."""
    titles = [column.title for column in found.grid.columns]
    keys = [i for i, column in enumerate(found.grid.columns) if not column.unit and column.title != "runs"]
    return {
        tuple(row[i].text for i in keys): {titles[i]: cell for i, cell in enumerate(row) if i not in keys}
        for row in found.grid.rows
    }


def test_a_cell_is_the_mean_of_its_seeds_with_their_interval(runs):
    found = table(runs, rows=["label", "arch.dim"], columns="task.pairs", metric="accuracy")
    rows = by_row(found)
    assert list(rows) == [("gpt", "32"), ("gpt", "64"), ("mamba", "32"), ("mamba", "64")]
    half = 4.302652729911275 * np.std([0.001, 0.002, 0.003], ddof=1) / math.sqrt(3)
    for (arch, dim), cells in rows.items():
        assert list(cells) == ["pairs 4", "pairs 8", "runs"]
        for pairs in (4, 8):
            cell = cells[f"pairs {pairs}"]
            assert cell.value == pytest.approx(value(arch, int(dim), pairs, 2))
            assert cell.interval == f"± {100 * half:.1f}"
        assert cells["runs"].text == "6"


def test_the_winner_of_a_column_stands_out_and_is_explained(runs):
    found = table(runs, rows="label", columns="pairs", where={"dim": 64})
    rows = by_row(found)
    assert rows["gpt",]["pairs 4"].best
    assert not rows["mamba",]["pairs 4"].best
    assert any("gpt is best" in line for line in found.footer)


def test_what_a_row_differs_in_may_differ_in_a_column_but_wins_nothing(runs):
    found = table(runs, rows="task.pairs", columns="label", where={"dim": 64})
    assert list(by_row(found)) == [("4",), ("8",)]
    assert not any(cell.best for row in found.grid.rows for cell in row)
    assert any("runs of different task.pairs" in line for line in found.footer)


def test_other_aggregates(runs):
    where = {"dim": 64, "pairs": 4}
    cell = by_row(table(runs, columns="task", aggregate="median", where=where))["gpt",]["mqar"]
    assert cell.value == pytest.approx(value("gpt", 64, 4, 2))
    assert cell.interval == "[92.5–92.7]"
    cell = by_row(table(runs, columns="task", aggregate="best", where={"pairs": 4}))["gpt",]["mqar"]
    assert cell.value == pytest.approx(value("gpt", 64, 4, 3))
    assert cell.note == "of 6"
    cell = by_row(table(runs, columns="task", aggregate="solved", where=where))["gpt",]["mqar"]
    assert cell.text == "0 of 3"


def test_older_records_are_counted_as_solved_where_their_table_counts_them(tmp_path):
    """They do not say themselves from where a run has solved its task."""
    for arch, accuracy in (("gpt", 0.995), ("mamba", 0.5)):
        write_run(tmp_path, arch, task="mqar", curves=False, validation__accuracy=accuracy)
    cells = by_row(table(collect(tmp_path).records, columns="task", aggregate="solved"))
    assert {row: cell["mqar"].text for row, cell in cells.items()} == {
        ("gpt",): "1 of 1",
        ("mamba",): "0 of 1",
    }


def test_costs_across(runs):
    grid = table(runs, rows="label", columns="cost", where={"pairs": 4, "dim": 64}).grid
    place = [column.title for column in grid.columns].index("speed")
    assert [(row[0].text, row[place].value) for row in grid.rows] == [("gpt", 32_600), ("mamba", 13_040)]
    rows = by_row(
        table(runs, rows=["label", "dim"], columns="task", metric="tokens_per_second", where={"pairs": 4})
    )
    assert rows["mamba", "32"]["mqar"].value == pytest.approx(13_040)


def test_parts_of_a_task_are_columns(tmp_path):
    for arch in ("gpt", "mamba"):
        write_run(tmp_path, arch, task="mqar", parts={"pairs": (4, 8, 16)}, curves=False)
    runs = collect(tmp_path).records
    for key in ("pairs", "task.pairs"):
        rows = by_row(table(runs, rows="label", columns=key))
        assert list(rows["gpt",]) == ["pairs 4", "pairs 8", "pairs 16", "runs"]
        whole = runs[0]["validation"]["accuracy"]
        assert rows["gpt",]["pairs 16"].value == pytest.approx(0.8 * whole)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"config__budget": {"kind": "tokens", "tokens": "4M"}}, "budget"),
        ({"config__size": "10M"}, "size"),
        ({"digests__tokenizer": "0" * 64}, "tokenizer"),
        ({"digests__corpus": "0" * 64}, "corpus"),
    ],
)
def test_what_must_not_share_a_column_is_refused_and_named_unless_asked_for(tmp_path, change, named):
    write_run(tmp_path, "gpt", curves=False)
    write_run(tmp_path, "mamba", curves=False, **change)
    runs = collect(tmp_path).records
    with pytest.raises(ValueError, match=named) as refused:
        table(runs, rows="label", columns="task")
    assert "\n" not in str(refused.value)
    found = table(runs, rows="label", columns="task", allow=[named])
    assert len(found.grid.rows) == 2
    assert any("Asked for" in line and named in line for line in found.footer)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"rows": "label", "columns": "task"}, r"task.pairs=4 / task.pairs=8\): .*allow=\[task\]"),
        (
            {"rows": "label", "columns": "task.pairs"},
            r"differ in arch.dim: .*rows=\[label,arch.dim\]",
        ),
        ({"columns": "tsk"}, "tsk: no run has such a key; nearest: task"),
        (
            {"metric": "acuracy", "where": {"dim": 64, "pairs": 4}},
            "metric=acuracy: no run has it; nearest: accuracy",
        ),
        (
            {"columns": "cost", "metric": "accuracy"},
            "columns=cost takes no metric=accuracy: .*; leave one out",
        ),
        ({"columns": "cost", "aggregate": "best"}, "columns=cost takes no aggregate=best: .*; leave one out"),
        ({"aggregate": "men"}, "aggregate=men: choose from .*; nearest: mean"),
        ({"allow": ["budgett"]}, "allow=budgett: choose from .*; nearest: budget"),
        ({"where": {"seed": [8, 9]}}, "no run with seed=8, 9; seed is one of 1, 2, 3"),
        ({"where": "seed"}, "where=seed: takes"),
    ],
)
def test_what_cannot_be_is_one_line(runs, asked, words):
    with pytest.raises(ValueError, match=words) as refused:
        table(runs, **asked)
    assert "\n" not in str(refused.value)


def test_filters_take_counts_numbers_and_nested_keys(runs):
    for where in (
        {"size": "1M"},
        {"size": 1_000_000},
        {"task": {"pairs": 8}},
        {"task.pairs": [8]},
        {"pairs": "8"},
    ):
        left = chosen(list(runs), Selection.of({"where": where}).where)
        assert len(left) == (len(runs) if "size" in where else len(runs) // 2)


@given(st.sets(st.integers(1, 3), min_size=1), st.sampled_from(["gpt", "mamba"]))
def test_a_filter_keeps_exactly_what_it_names(runs, seeds, arch):
    left = chosen(list(runs), Selection.of({"where": {"seed": sorted(seeds), "label": arch}}).where)
    assert {run["identity"] for run in left} == {
        run["identity"] for run in runs if run["seed"] in seeds and run["arch"] == arch
    }


def test_keys_by_their_last_part(runs):
    assert full_key("dim", runs) == "arch.dim"
    assert facet(runs[0], "arch") == runs[0]["arch"]
    with pytest.raises(ValueError, match="say which"):
        full_key("_target_", runs)


def test_the_commands_keys_and_a_users_file_reach_the_selection(tmp_path):
    lines = [
        "rows=[label,arch.dim]",
        "columns=task.pairs",
        "metric=accuracy",
        "where={seed: [1,2], task.pairs: 8}",
    ]
    selection = Selection.of(as_dict(compose("report", lines)))
    assert selection.rows == ("label", "arch.dim")
    assert selection.where == {"seed": (1, 2), "task.pairs": (8,)}
    assert not Selection.of(as_dict(compose("report"))).is_table
    assert set(AGGREGATES) == {"mean", "median", "best", "solved"}
