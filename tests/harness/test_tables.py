"""The same cells in every form; numbers in the CSV are the records' own."""

import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sample_records import write_run, write_study, write_sweep

from harness.report import quantities, render, tables
from harness.report.across import across
from harness.report.collect import collect
from harness.report.frame import frame, lines, to_csv
from harness.report.grouping import compare
from harness.report.remarks import cost_footer, reading


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    write_study(root, seeds=(1, 2, 3), curves=False)
    write_run(root, "gpt", 4, status="diverged", error="loss is not finite", curves=False)
    found = collect(root)
    return found.records, compare(found.records)


def shown(table, width):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(table)
    return console.file.getvalue()


def test_the_terminal_table_fits_eighty_columns(study):
    for comparison in study[1]:
        text = shown(render.terminal(tables.quality(comparison), comparison.title, 80), 80)
        assert max(map(len, text.splitlines())) <= 80
        for name in ("bert", "gpt", "mamba", "t5", *comparison.baselines):
            assert name in text
        assert "…" not in text
        took = shown(render.terminal(tables.cost(comparison), "cost", 80), 80)
        assert "non-embedding" in took
        assert "1.00M" in took


def test_what_a_narrow_terminal_has_no_room_for_is_named(tmp_path):
    for dim in range(8, 17):
        write_run(tmp_path, "gpt", curves=False, config__arch__dim=dim)
    (comparison,) = compare(collect(tmp_path).records)
    grid = tables.cost(comparison)
    text = shown(render.terminal(grid, "cost", 80), 80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    assert all(column.heading in words or column.title in words for column in grid.columns)


def test_an_optional_column_is_left_out_in_words(tmp_path):
    for seed in (1, 2, 3):
        for arch in ("bert", "gpt", "t5"):
            write_run(tmp_path, arch, seed, test=True, clusters=20, curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    grid = tables.quality(comparison)
    narrow = " ".join(shown(render.terminal(grid, "language", 80), 80).split())
    assert "not shown in 80 columns" in narrow
    assert "in the files: " in narrow
    assert "continuation: test set, 95% interval" in narrow
    assert "not shown" not in shown(render.terminal(grid, "language", 200), 200)


def test_markdown_has_one_line_per_row_and_equal_cells(study):
    for comparison in study[1]:
        lines = render.markdown(tables.quality(comparison)).splitlines()
        assert len(lines) == 2 + len(comparison.rows) + len(comparison.baselines)
        assert len({line.count("|") for line in lines}) == 1
    text = render.markdown(tables.quality(study[1][0]))
    assert "3 of 4, 1 diverged" in text
    assert "(left only)" in text
    assert "*unigram*" in text


def test_markdown_escapes_what_would_break_it(tmp_path):
    write_run(tmp_path, "a|b<script>\nc", curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    lines = render.markdown(tables.quality(comparison)).splitlines()
    assert lines[2].startswith("| a\\|b&lt;script> c")


def test_rich_markup_in_a_name_is_text(tmp_path):
    write_run(tmp_path, "x[red]y", curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    assert "x[red]y" in shown(render.terminal(tables.quality(comparison), comparison.title, 120), 120)


def test_the_frame_holds_every_run_unrounded(study):
    records, comparisons = study
    table = frame(comparisons)
    runs = table[table.kind == "run"]
    assert sorted(runs.identity) == sorted(record["identity"] for record in records)
    by_identity = runs.set_index("identity")
    for record in records:
        for metric, value in record["validation"].items():
            if isinstance(value, float):
                assert by_identity.loc[record["identity"], metric] == value
    assert set(table.kind) == {"run", "mean", "baseline"}


def test_the_frame_holds_means_and_intervals(study):
    table = frame(study[1])
    language = table[table.task == "language"]
    runs = language[(language.kind == "run") & (language.row == "t5")].continuation_bpb
    (mean,) = language[(language.kind == "mean") & (language.row == "t5")].itertuples()
    half = 4.302652729911275 * runs.std(ddof=1) / 3**0.5  # the 0.975 quantile of t with 2 degrees of freedom
    assert mean.continuation_bpb == pytest.approx(runs.mean())
    assert (mean.continuation_bpb_low, mean.continuation_bpb_high) == pytest.approx(
        (runs.mean() - half, runs.mean() + half)
    )
    assert (mean.n, mean.started) == (3, 3)
    recall = table[(table.task == "mqar") & (table.kind == "mean")].set_index("row")
    assert dict(recall.solved) == {"bert": 3, "gpt": 3, "mamba": 0, "t5": 0}


def test_the_csv_reads_back_as_the_frame(study):
    again = pd.read_csv(io.StringIO(to_csv(lines(study[1]))))
    pd.testing.assert_frame_equal(again, frame(study[1]), check_dtype=False, rtol=0, atol=0)


def test_the_test_sets_error_stands_apart_from_the_seeds(tmp_path):
    for seed in (1, 2, 3):
        write_run(tmp_path, "gpt", seed, test=True, clusters=40, curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    grid = tables.quality(comparison)
    (row,) = grid.rows
    place = [column.title for column in grid.columns].index("continuation: test set")
    low, high = comparison.rows[0].test_interval("continuation_bpb")
    assert row[place].text == f"{low:.3f} to {high:.3f}"
    assert row[place].text not in row[place - 1].interval
    assert any("other test sets like this one" in line for line in reading([comparison]))
    (line,) = (line for line in lines([comparison]) if line["kind"] == "mean")
    assert (line["continuation_bpb_test_low"], line["continuation_bpb_test_high"]) == (low, high)


def test_times_of_runs_that_shared_the_machine_are_marked(tmp_path):
    write_run(tmp_path, "gpt", shared=True, waiting_share=0.031, curves=False)
    write_run(tmp_path, "mamba", shared=False, waiting_share=0.001, curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    grid = tables.cost(comparison)
    marked = [[cell.note for cell in row] for row in grid.rows]
    timings = {"training", "speed", "waiting for data"}
    assert {column.title for column, note in zip(grid.columns, marked[0], strict=True) if note} == timings
    assert not any(marked[1])
    text = " ".join(cost_footer(comparison))
    assert "other runs used the machine" in text
    assert "Up to 3.1% of the training time went by waiting for data" in text
    assert "could be the reason" in text  # of those who shared the machine, it is not known


def test_what_was_matched_is_told(tmp_path):
    match = {"kind": "state", "reached": 36_864, "off": -0.01, "solved": {"inner": 96}}
    write_run(tmp_path, "mamba", match=match, curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    assert cost_footer(comparison) == ["Matched on state: mamba 36.0 KiB (1.0% off, inner=96)."]


def test_trials_are_counted_and_the_choice_marked(tmp_path):
    write_study(tmp_path, archs=("gpt", "mamba"), tasks=("mqar",), curves=False)
    write_sweep(tmp_path)
    found = collect(tmp_path)
    (sweep,) = found.sweeps
    assert all(run["seed"] != 100 for run in found.records), "trials are no results"
    (comparison,) = compare(found.records)
    cost = tables.cost(comparison, sweep)
    assert [row[-1].text for row in cost.rows] == ["3", "3"]
    grid = tables.trials(sweep)
    gpt, mamba = grid.rows
    titles = [column.title for column in grid.columns]
    assert [titles[i] for i, cell in enumerate(gpt) if cell.best] == ["lr 0.003"]
    assert [titles[i] for i, cell in enumerate(mamba) if cell.best] == ["lr 0.01"]
    assert gpt[-1].text == "1 diverged"
    assert "edge" in mamba[-1].text


def test_tasks_side_by_side(tmp_path):
    write_study(tmp_path, seeds=(1, 2, 3), tasks=("language", "mqar"), curves=False)
    comparisons = compare(collect(tmp_path).records)
    side = across(comparisons)
    assert [column.title for column in side.grid.columns] == ["architecture", "language", "mqar"]
    assert "they need 4 tasks" in side.ranks, "and it says so"
    tasks = ("mqar", "sort", "copy", "parity", "induction")
    write_study(tmp_path / "suite", seeds=(1, 2, 3), tasks=tasks, curves=False)
    side = across(compare(collect(tmp_path / "suite").records))
    titles = [column.title for column in side.grid.columns]
    assert titles[-2:] == ["score", "mean rank"]
    for row in side.grid.rows:
        label, *cells = row[0].text, *row[1 : 1 + len(tasks)]
        score = row[titles.index("score")].value
        runs = [run for run in collect(tmp_path / "suite").records if run["arch"] == label]
        assert score == pytest.approx(sum(run["validation"]["accuracy"] for run in runs) / len(runs))
        assert all(cell.value is not None for cell in cells)


def test_baselines_alone_are_no_tasks_to_compare(tmp_path):
    write_run(tmp_path, "gpt", curves=False)
    assert across(compare(collect(tmp_path).records)) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00k"), (32_600, "32.6k"), (1_003_520, "1.00M"), (123_456_789, "123M")],
)
def test_counts(number, text):
    assert quantities.count(number) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 B"), (1536, "1.50 KiB"), (412_000_000, "393 MiB")])
def test_sizes(number, text):
    assert quantities.size(number) == text


@given(st.floats(1, 1e14))
def test_counts_are_short_and_within_half_a_percent(number):
    text = quantities.count(number)
    assert len(text) <= 5
    scale = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1)
    if number >= 1000:
        assert float(text.rstrip("kMGT")) * scale == pytest.approx(number, rel=0.006)


def test_active_parameters_are_shown_where_some_are_idle(study, tmp_path):
    titles = [(column.title, column.unit) for column in tables.cost(study[1][0]).columns]
    assert ("parameters", "active") not in titles
    experts = {"total": 1_262_144, "non_embedding": 1_003_520, "active": 500_000}
    write_run(tmp_path, "mixtral", parameters=experts, curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    table = tables.cost(comparison)
    place = [column.unit for column in table.columns].index("active")
    assert table.rows[0][place].text == "500k"
