"""The same cells in every form; numbers in the CSV are the records' own."""

import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sample_records import write_run, write_study

from harness import tables
from harness.collect import collect
from harness.frame import frame
from harness.grouping import compare


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
        text = shown(tables.terminal(tables.quality(comparison), comparison.title), 80)
        assert max(map(len, text.splitlines())) <= 80
        for name in ("bert", "gpt", "mamba", "t5", *comparison.baselines):
            assert name in text
        assert "…" not in text
        took = shown(tables.sideways(tables.cost(comparison), "cost"), 80)
        assert "non-embedding" in took
        assert "1.00M" in took


def test_markdown_has_one_line_per_row_and_equal_cells(study):
    for comparison in study[1]:
        lines = tables.markdown(tables.quality(comparison)).splitlines()
        assert len(lines) == 2 + len(comparison.rows) + len(comparison.baselines)
        assert len({line.count("|") for line in lines}) == 1
    text = tables.markdown(tables.quality(study[1][0]))
    assert "3 of 4, 1 diverged" in text
    assert "(left only)" in text
    assert "*unigram*" in text


def test_markdown_escapes_what_would_break_it(tmp_path):
    write_run(tmp_path, "a|b<script>\nc", curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    lines = tables.markdown(tables.quality(comparison)).splitlines()
    assert lines[2].startswith("| a\\|b&lt;script> c")


def test_rich_markup_in_a_name_is_text(tmp_path):
    write_run(tmp_path, "x[red]y", curves=False)
    (comparison,) = compare(collect(tmp_path).records)
    assert "x[red]y" in shown(tables.terminal(tables.quality(comparison), comparison.title), 120)


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


def test_the_csv_reads_back(study):
    table = frame(study[1])
    again = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert list(again.columns) == list(table.columns)
    assert len(again) == len(table)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00k"), (32_600, "32.6k"), (1_003_520, "1.00M"), (123_456_789, "123M")],
)
def test_counts(number, text):
    assert tables.count(number) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 B"), (1536, "1.50 KiB"), (412_000_000, "393 MiB")])
def test_sizes(number, text):
    assert tables.size(number) == text


@given(st.floats(1, 1e14))
def test_counts_are_short_and_within_half_a_percent(number):
    text = tables.count(number)
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
