"""What tasks report at two numbers, as recall at [length, pairs], is plotted and can be chosen."""

import pytest
from sample_records import write_run

from harness.metrics import metric
from harness.report import plots
from harness.report.collect import collect
from harness.report.grouping import compare
from harness.report.pivot import pivot
from harness.report.selection import Selection

TASK = {"_target_": "tasks.MQAR", "length": 16, "pairs": 2}


def recall(root, parts, archs=("gpt", "mamba")):
    """{part: accuracy} of mqar as its runs record it."""
    for arch in archs:
        for seed in (1, 2):
            values = {f"validation__accuracy_{part}": value for part, value in parts.items()}
            write_run(root, arch, seed, "mqar", curves=False, config__task=TASK, **values)
    return compare(collect(root).records)


LONGER = {"pairs_2": 0.9, "length_32_pairs_2": 0.7, "length_64_pairs_2": 0.4, "length_128_pairs_2": None}


def test_recall_at_longer_lengths_is_drawn_against_length(tmp_path):
    (table,) = recall(tmp_path, LONGER)
    along = table.parts["accuracy", "length"]
    assert [(number, each.key) for number, each in along.items()] == [
        (16, "accuracy_pairs_2"),
        *((n, f"accuracy_length_{n}_pairs_2") for n in (32, 64, 128)),
    ]
    by_name = {plot.name: plot for plot in plots.plots(table, "mqar")}
    assert "accuracy against length" in by_name["mqar-length"].caption
    assert "gpt cannot do 128" in by_name["mqar-length"].caption


def test_points_of_which_both_numbers_vary_stand_side_by_side(tmp_path):
    points = ((8, 2), (16, 4), (16, 2), (512, 128))
    (table,) = recall(tmp_path, {f"length_{n}_pairs_{k}": 0.5 for n, k in points})
    found = table.points["accuracy", ("length", "pairs")]
    assert list(found) == sorted(points)
    assert found[512, 128].title == "accuracy at length 512 pairs 128"
    (plot,) = (plot for plot in plots.plots(table, "mqar") if plot.name == "mqar-length-pairs")
    assert plot.caption.startswith("mqar: accuracy against length/pairs")
    assert "from left to right 8/2, 16/2, 16/4, 512/128" in plot.caption
    assert all(f">{n}/{k}<" in plot.svg for n, k in points)


@pytest.mark.parametrize("columns", [("length",), ("task.length",)])
def test_lengths_across(tmp_path, columns):
    recall(tmp_path, LONGER)
    chosen = pivot(collect(tmp_path).records, Selection(columns=columns, metric="accuracy"))
    assert [column.title for column in chosen.grid.columns][1:-1] == [
        f"length {n}" for n in (16, 32, 64, 128)
    ]
    assert [cell.value for cell in chosen.grid.rows[0][1:-1]] == pytest.approx([0.9, 0.7, 0.4, None])


def test_a_point_can_be_asked_for_by_name(tmp_path):
    recall(tmp_path, {"length_8_pairs_2": 0.5, "length_16_pairs_2": 0.4, "length_16_pairs_4": 0.25})
    records = collect(tmp_path).records
    name = "accuracy_length_16_pairs_4"
    assert pivot(records, Selection(metric=name)).grid.rows[0][1].value == 0.25
    across = pivot(records, Selection(columns=("length_16_pairs",), metric="accuracy"))
    assert [cell.value for cell in across.grid.rows[0][1:-1]] == [0.4, 0.25]
    assert metric(name).minimum == metric("accuracy").minimum
