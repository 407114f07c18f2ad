"""Only what was asked alike, at one size, on a test set whose error is known, wins anything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_records import write_run, write_study
from test_grouping import folds

from harness.metrics import metric
from harness.report.collect import collect
from harness.report.grouping import compare, together
from harness.report.judging import judge
from harness.report.pivot import pivot
from harness.report.remarks import footer
from harness.report.selection import Selection
from harness.report.summary import Row
from harness.report.tables import quality

ACCURACY = {"bert": 0.99, "gpt": 0.7, "t5": 0.8, "mamba": 0.9}


@pytest.fixture
def copying(tmp_path):
    """Answers of several tokens behind the source: only the encoder is not given the gold prefix."""
    for arch, accuracy in ACCURACY.items():
        for seed in (1, 2, 3):
            write_run(
                tmp_path, arch, seed, "copy", curves=False, primary="exact_match",
                validation__accuracy=accuracy + seed / 1000,
                validation__exact_match=accuracy / 2 + seed / 1000,
                validation__accuracy_length_64=accuracy / 3 + seed / 1000,
            )  # fmt: skip
    return collect(tmp_path).records


def test_accuracy_given_the_gold_prefix_is_marked_and_compared_apart(copying):
    (table,) = compare(copying)
    assert table.verdicts["accuracy"].winners == ("mamba",), "bert names whole answers, which is harder"
    assert "among those that were given the gold prefix, mamba is best" in table.verdicts["accuracy"].reason
    assert table.verdict(metric("accuracy_length_64")).winners == ("mamba",)
    assert table.verdicts["exact_match"].winners == ("bert",), "an answer as a whole is the same question"
    grid = quality(table)
    titles = [column.title for column in grid.columns]
    marks = {row[0].text: row[titles.index("accuracy")].note for row in grid.rows}
    assert marks == {"bert": "", "gpt": "gold prefix", "mamba": "gold prefix", "t5": "gold prefix"}
    assert not any(row[titles.index("exact match")].note for row in grid.rows)
    (line,) = (line for line in footer(table) if line.startswith("Accuracy is of answer tokens"))
    assert "of gpt, mamba, t5 given the gold prefix, the right ones before, of bert without it" in line


def test_a_chosen_table_marks_and_compares_it_alike(copying):
    found = pivot(copying, Selection.of({"columns": "task", "metric": "accuracy"}))
    marked = {row[0].text: (row[1].best, row[1].note) for row in found.grid.rows}
    assert marked["bert"] == (False, "")
    assert marked["mamba"] == (True, "gold prefix")
    assert any("of gpt, mamba, t5 given the gold prefix" in line for line in found.footer)


def test_one_token_answers_and_those_read_in_place_are_asked_alike(tmp_path):
    write_study(tmp_path, seeds=(1, 2, 3), tasks=("mqar",), curves=False, primary="accuracy")
    (table,) = compare(collect(tmp_path).records)
    assert not any(cell.note for row in quality(table).rows for cell in row)
    assert "among" not in table.verdicts["accuracy"].reason


def grid_study(root, parameters, **changes):
    """Two architectures at two widths, gpt well ahead; parameters: {(arch, dim): number}."""
    for (arch, dim), number in parameters.items():
        for seed in (1, 2, 3):
            told = {"total": number, "non_embedding": number, "active": number}
            write_run(
                root, arch, seed, "mqar", curves=False, config__size=None, config__arch__dim=dim,
                parameters=told, validation__accuracy=(arch == "gpt") / 2 + dim / 1000 + seed / 10_000,
                **changes,
            )  # fmt: skip
    return collect(root).records


def test_sizes_that_nobody_solved_for_have_no_winner_and_are_told(tmp_path):
    apart = {("gpt", 16): 25_200, ("mamba", 16): 36_000, ("gpt", 32): 50_000, ("mamba", 32): 57_700}
    runs = grid_study(tmp_path, apart)
    (table,) = compare(runs)
    why = "no winner named: no size was asked for, and parameters differ (25.2k to 57.7k)"
    assert table.verdicts["accuracy"] == type(table.verdicts["accuracy"])((), why)
    assert "Not the same for all: parameters (25.2k to 57.7k)." in footer(table)
    chosen = pivot(runs, Selection.of({"rows": ["label", "dim"], "columns": "task"}))
    assert not any(cell.best for row in chosen.grid.rows for cell in row)
    assert "Not the same for all: parameters (25.2k to 57.7k)." in chosen.footer


def test_rows_at_one_point_of_the_grid_are_compared_where_they_are_of_one_size(tmp_path):
    equal_at_16 = {("gpt", 16): 20_000, ("mamba", 16): 21_000, ("gpt", 32): 50_000, ("mamba", 32): 70_000}
    (table,) = compare(grid_study(tmp_path, equal_at_16))
    judged = table.verdicts["accuracy"]
    assert judged.winners == ("gpt (dim=16)",)
    assert "at dim 16, gpt (dim=16) is best" in judged.reason
    assert "at dim 32, no winner named: no size was asked for" in judged.reason


def test_sizes_that_were_solved_for_are_compared_whatever_they_came_to(tmp_path):
    apart = {("gpt", 16): 25_200, ("mamba", 16): 57_700}
    (table,) = compare(
        grid_study(tmp_path, apart, match={"kind": "state", "reached": 1, "off": 0, "solved": {}})
    )
    assert table.verdicts["accuracy"].winners == ("gpt",)
    assert "parameters" not in table.settings


@settings(max_examples=30)
@given(st.lists(st.integers(1000, 2000), min_size=2, max_size=4))
def test_a_winner_among_unsolved_sizes_is_within_a_tenth_of_the_others(numbers):
    accuracy = metric("accuracy")
    rows = {}
    for place, number in enumerate(numbers):
        runs = [
            {"seed": s, "status": "completed", "parameters": {"non_embedding": number},
             "validation": {"accuracy": 0.2 * place + s / 1000}}
            for s in (1, 2, 3)
        ]  # fmt: skip
        rows[f"row {place}"] = Row(f"row {place}", "x", "validation", tuple(runs))
    assert bool(judge(rows, accuracy).winners) == (max(numbers) <= 1.1 * min(numbers))


def test_a_column_of_the_test_set_without_its_error_has_no_winner():
    """Macro F1 is one number of the whole test set: no table knows how far another one would move it."""
    runs = [*folds(value=0.5), *folds(arch="mamba", value=0.95)]
    for place, run in enumerate(runs):
        run["test"]["macro_f1"] += 0.001 * run["seed"]
        run["identity"] = str(place)
    (table,) = compare(runs)
    assert table.verdicts["accuracy"].winners == ("mamba",)
    assert table.verdicts["macro_f1"].winners == ()
    assert "the error of the test set is not known" in table.verdicts["macro_f1"].reason
    assert any(
        line == "Macro F1: no winner named: mamba is ahead, but the error of the test set is not known."
        for line in footer(table)
    )


def test_tokenizers_of_folds_and_of_a_pretrained_run_are_told_and_refused_in_a_chosen_column():
    start = "results/runs/finetune/gpt-language-1M-s{}-0123456789ab"
    tuned = folds()
    for place, run in enumerate(tuned):
        run["identity"] = f"tuned {place}"
        run["config"]["init_from"] = start.format(run["seed"])
        run["digests"]["tokenizer"] = "pretrained"
    scratch = folds()
    (table,) = compare([*scratch, *tuned])
    told = table.settings["tokenizer"]
    assert told == "gpt (init_from=gpt-language-1M) from gpt-language-1M, gpt (init_from=none) of each fold"
    assert f"Not the same for all: tokenizer ({told})." in footer(table)
    with pytest.raises(
        ValueError, match=r"tokenizer: of each fold / from gpt-language-1M\).*allow=\[tokenizer\]"
    ):
        together([*scratch, *tuned])
    assert len(together([*scratch, *tuned], ["tokenizer"]).rows) == 2
    assert "tokenizer" not in compare(scratch)[0].settings
    assert len(together(scratch).rows) == 1
