"""Quality by length stands in tables and pictures, with what a row cannot do and where training ended."""

import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from rich.console import Console
from sample_records import write_run

from harness import report
from harness.report import plots, tables
from harness.report.collect import collect
from harness.report.content import gather
from harness.report.grouping import compare
from harness.report.part_tables import part_tables
from harness.report.pivot import pivot
from harness.report.selection import Selection

LENGTHS = (64, 128, 256)
TASK = {"_target_": "tasks.Copy", "length": 64}


def study(root, beyond=("gpt", "bert"), task=TASK, **changes):
    """Copying at three lengths; those in `beyond` have no positions for the last, and t5 was not asked it."""
    for arch in ("gpt", "bert", "mamba", "t5"):
        for seed in (1, 2, 3):
            values = {f"validation__accuracy_length_{n}": 0.9 - n / 512 + seed / 100 for n in LENGTHS}
            if arch == "t5":
                del values["validation__accuracy_length_256"]
            values |= {"validation__accuracy_length_256": None} if arch in beyond else {}
            write_run(root, arch, seed, "copy", curves=False, config__task=task, **values, **changes)
    (comparison,) = compare(collect(root).records)
    return comparison


def language(root, window=128):
    for arch in ("gpt", "bert"):
        bits = {f"validation__continuation_bpb_context_bytes_{n}": 2 + n / 4096 for n in (208, 416, 832)}
        baselines = {"unigram": {f"continuation_bpb_context_bytes_{n}": 3.0 for n in (208, 416, 832)}}
        position = {"validation__by_position": {str(2**i): 2.0 for i in range(9)}} if arch == "gpt" else {}
        task = {"_target_": "tasks.LanguageTask", "window": window, "segments": 1}
        write_run(
            root, arch, curves=False, config__task=task, tokens=1_000_000, bytes=3_000_000,
            baselines=baselines, **bits, **position,
        )  # fmt: skip
    (comparison,) = compare(collect(root).records)
    return comparison


def texts(svg):
    return [text for node in ElementTree.fromstring(svg).iter() if (text := (node.text or "").strip())]


def test_a_table_per_metric_and_axis_with_a_column_per_length(tmp_path):
    (table,) = part_tables(study(tmp_path), "copy")
    assert table.heading == "Accuracy by length, % ↑"
    assert [column.title for column in table.grid.columns] == ["architecture", "64", "128", "256"]
    by_row = {row[0].text: [str(cell) for cell in row[1:]] for row in table.grid.rows}
    assert by_row["mamba"] == ["79.5 ± 2.5", "67.0 ± 2.5", "42.0 ± 2.5"]
    assert by_row["gpt"] == ["79.5 ± 2.5", "67.0 ± 2.5", "beyond"]
    assert by_row["t5"][-1] == "-"  # not asked, rather than out of reach
    assert table.lines == ["Trained on length 64.", tables.LIMITS]


def test_the_legend_stands_only_where_a_cell_is_marked(tmp_path):
    (table,) = part_tables(study(tmp_path, beyond=()), "copy")
    assert tables.LIMITS not in table.lines


def test_contexts_of_text_stand_beside_baselines_and_say_what_they_are_of(tmp_path):
    (table,) = part_tables(language(tmp_path), "language")
    assert table.heading == "Continuation by context bytes, bits/byte ↓"
    assert [str(cell) for cell in table.grid.baselines[0]] == ["unigram", "3.000", "3.000", "3.000"]
    assert table.lines == [
        "The same scored bytes behind each context; other windows than the table's.",
        "Trained on windows of 128 tokens, about 384 bytes.",
    ]


def test_points_of_several_numbers_are_columns_in_their_order(tmp_path):
    points = {f"validation__accuracy_length_{n}_pairs_{k}": 0.5 for n, k in ((8, 2), (16, 4), (16, 2))}
    write_run(tmp_path, "gpt", task="mqar", curves=False, **points)
    (comparison,) = compare(collect(tmp_path).records)
    (table,) = part_tables(comparison, "mqar")
    assert [column.title for column in table.grid.columns[1:]] == ["8/2", "16/2", "16/4"]


def test_every_form_of_the_report_has_the_table_and_its_marks(tmp_path, monkeypatch):
    root = tmp_path / "long"
    study(root)
    report.build(root, formats=("markdown", "latex", "html"))
    for name in ("report.md", "report.tex", "report.html"):
        text = (root / name).read_text()
        assert "ccuracy by length" in text
        assert re.search(r"\bbeyond\b", text)
        assert "whose table ends before or was not trained so far." in text
    console = Console(file=io.StringIO(), width=80)
    monkeypatch.setattr(report, "Console", lambda: console)
    report.terminal(gather("long", collect(root), Selection(), drawn=False), [])
    shown = console.file.getvalue()
    assert "67.0 ± 2.5" in shown
    assert "beyond" in shown


def test_a_chosen_table_marks_what_rows_cannot_do(tmp_path):
    study(tmp_path)
    chosen = pivot(collect(tmp_path).records, Selection(columns=("length",), metric="accuracy"))
    last = {row[0].text: str(row[3]) for row in chosen.grid.rows}
    assert last == {"bert": "beyond", "gpt": "beyond", "mamba": "42.0 ± 2.5", "t5": "-"}
    assert tables.LIMITS in chosen.footer
    task = pivot(collect(tmp_path).records, Selection(columns=("task",)))
    assert tables.LIMITS not in task.footer


# -------------------------------------------------------------------------------------------- pictures


def crosses(svg):
    """Where the crosses of a picture stand."""
    name = "{http://www.w3.org/1999/xlink}href"
    root = ElementTree.fromstring(svg)
    paths = {node.get("id"): " ".join(node.get("d", "").split()) for node in root.iter() if node.get("d")}
    uses = [node for node in root.iter() if node.tag.endswith("use")]
    marked = [node for node in uses if paths.get(node.get(name, "")[1:]) == "M -3 3 L 3 -3 M -3 -3 L 3 3"]
    return [(node.get("x"), node.get("y")) for node in marked]


def test_crosses_of_two_rows_at_one_length_do_not_hide_each_other(tmp_path):
    (plot,) = (plot for plot in plots.plots(study(tmp_path), "copy") if plot.name == "copy-length")
    at = crosses(plot.svg)
    assert len(at) == 2
    assert len({x for x, _ in at}) == 1
    assert len({y for _, y in at}) == 2
    assert "bert cannot do 256; gpt cannot do 256" in plot.caption


def test_pictures_show_where_training_ended(tmp_path):
    drawn = {plot.name: plot for plot in plots.plots(language(tmp_path), "language")}
    contexts, positions = drawn["language-context-bytes"], drawn["language-positions"]
    assert "trained" in texts(contexts.svg)
    assert "trained on windows of 128 tokens, about 384 bytes" in contexts.caption
    assert "the same scored bytes behind each context; other windows than the table's" in contexts.caption
    assert "trained" in texts(positions.svg)
    assert positions.caption.endswith("trained on windows of 128 tokens")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"length": 64}, "trained on length 64"),
        ({"length": [64, 128]}, "trained on length up to 128"),
        ({"length": [64, 256]}, ""),  # nothing lies beyond
        ({"length": 64, "segments": [[32, 2], [128, 4]]}, ""),
        ({}, ""),
    ],
)
def test_what_was_trained_on_is_marked_where_it_is_known_and_lengths_lie_beyond(tmp_path, task, words):
    comparison = study(tmp_path, task={"_target_": "tasks.Copy", **task})
    (plot,) = (plot for plot in plots.plots(comparison, "copy") if plot.name == "copy-length")
    assert ("trained" in texts(plot.svg)) == bool(words)
    assert words in plot.caption


def test_a_window_that_no_record_knows_is_not_guessed(tmp_path):
    for plot in plots.plots(language(tmp_path, window=None), "language"):
        assert "trained" not in texts(plot.svg)


def depths(root, **changes):
    for arch in ("gpt", "bert", "t5"):
        told = {part: {"0": 0.9, "40": 0.5, "80": 0.8} for part in ("trained", "length_128")}
        write_run(root, arch, task="copy", curves=False, validation__by_depth=told, **changes)
    (comparison,) = compare(collect(root).records)
    (plot,) = (plot for plot in plots.plots(comparison, "copy") if plot.name == "copy-depths")
    return plot


def test_tokens_that_were_given_the_right_ones_before_say_so(tmp_path):
    plot = depths(tmp_path, primary="exact_match")
    assert plot.title == "Token accuracy by depth"
    assert {"token accuracy (%),", "given the gold prefix"} <= set(texts(plot.svg))
    assert "token accuracy, given the gold prefix (of bert without it), by how near" in plot.caption


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"primary": "accuracy"}, "accuracy"),  # read in place
        ({"primary": "exact_match", "config__task": {"depths": [0, 40, 80]}}, "exact match"),
    ],
)
def test_answers_that_are_judged_otherwise_have_no_such_mark(tmp_path, changes, counted):
    plot = depths(tmp_path, **changes)
    assert f"{counted} (%)" in texts(plot.svg)
    assert plot.caption.startswith(f"copy: {counted} by how near")
    assert "prefix" not in plot.svg + plot.caption


@pytest.mark.parametrize(
    ("length", "columns"), [(32, ["32", "64", "128", "256"]), (100, ["64", "128", "256"])]
)
def test_a_length_of_training_without_a_part_is_that_of_the_metric_itself(tmp_path, length, columns):
    comparison = study(tmp_path, task={**TASK, "length": length}, validation__accuracy=0.97)
    (table,) = (table for table in part_tables(comparison, "copy") if table.title.startswith("accuracy"))
    assert [column.title for column in table.grid.columns[1:]] == columns
    told = [str(row[1]) for row in table.grid.rows]
    assert all(("97" in cell) == (length == 32) for cell in told)
