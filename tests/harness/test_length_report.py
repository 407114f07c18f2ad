"""What a report makes of a length sweep: tables, pictures, lines of CSV, and what it leaves alone."""

import csv
import io
import json
import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sample_records import LAWS, SETTING, sample_point, write_points

from harness import report
from harness.report import length_axes, plots, render
from harness.report.collect import collect
from harness.report.lengths import lengths, point_lines
from harness.report.points import NoPoint, read_point

LONG = tuple(2**k for k in range(7, 17))


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    write_points(root, lengths=LONG)
    (part,) = lengths(collect(root).points)
    return part


@pytest.fixture(scope="module")
def drawn(part):
    return {plot.name: plot for plot in plots.length_plots(part, ())}


def texts(svg):
    return [text for node in ElementTree.fromstring(svg).iter() if (text := (node.text or "").strip())]


def grid_of(part, name):
    (table,) = (table for table in part.tables if table.name == f"lengths-{name}")
    return table


def rows_of(table):
    heads = [column.title for column in table.grid.columns]
    return [dict(zip(heads, row, strict=True)) for row in table.grid.rows]


def test_every_table_and_picture_is_there_once(part, drawn):
    assert [table.name.removeprefix("lengths-") for table in part.tables] == [
        *("train", "read", "decode", "peak", "exponents"),
        *(f"crossings-{of}" for of in ("train", "memory", "prefill", "read-memory", "decode", "state")),
    ]
    assert list(drawn) == [f"bench-{of}" for of in ("time", "memory", "state", "prefill", "decode")]


def test_speed_and_memory_by_length(part):
    rows = {row["architecture"].text: row for row in rows_of(grid_of(part, "train"))}
    assert list(rows) == ["bert", "gpt", "mamba", "t5 (source)", "t5 (target)"]
    c0, c1, c2 = LAWS["gpt"]
    for length in LONG:
        cell = rows["gpt"][f"{length:,}"]
        assert cell.value == pytest.approx(length / (c0 + c1 * length + c2 * length**2), rel=0.06)
        assert "iB" in cell.interval
    assert rows["bert"]["65,536"].text == "out of memory"
    assert any("bert at 65,536: out of memory: 4.1 GiB" in line for line in grid_of(part, "train").lines)
    decoded = {row["architecture"].text: row for row in rows_of(grid_of(part, "decode"))}
    assert "bert" not in decoded
    assert decoded["mamba"]["65,536"].value == pytest.approx(1 / 1.1e-3)
    assert decoded["mamba"]["65,536"].interval == "36.0 KiB"


def test_exponents_are_those_of_the_laws(part):
    found = {
        (row["architecture"].text, row["cost of one sequence"].text): row
        for row in rows_of(grid_of(part, "exponents"))
    }
    assert found["mamba", "training time"]["exponent"].value == pytest.approx(1, abs=0.05)
    assert found["mamba", "training memory"]["exponent"].value == pytest.approx(1, abs=0.02)
    assert found["mamba", "cache or state"]["exponent"].value == pytest.approx(0, abs=0.01)
    assert found["gpt", "cache or state"]["exponent"].value == pytest.approx(1, abs=0.01)
    assert 1.7 < found["gpt", "training time"]["exponent"].value < 2
    assert 1.4 < found["t5 (source)", "training memory"]["exponent"].value < 2
    assert found["bert", "training time"]["fitted over"].text.endswith(
        "32,768"
    )  # its last length with a result


def test_curves_cross_where_the_laws_do(part):
    rows = {row["costs less than"].text: row for row in rows_of(grid_of(part, "crossings-train"))}
    cell = rows["mamba"]["gpt"]
    constant, linear, square = (a - b for a, b in zip(LAWS["gpt"], LAWS["mamba"], strict=True))
    expected = (-linear + math.sqrt(linear**2 - 4 * square * constant)) / (2 * square)
    assert cell.text.startswith("from ")
    assert cell.value == pytest.approx(expected, rel=0.08)
    assert rows["gpt"]["mamba"].text == cell.text.replace("from", "until")
    assert rows["gpt"]["gpt"].text == ""
    assert rows_of(grid_of(part, "crossings-state"))[1]["gpt"].text == "always"


def test_a_work_that_ended_alone_is_marked_where_it_is_missing(tmp_path):
    """A point whose decoding was too slow and whose reading was not: a gap without a word says nothing."""
    write_points(tmp_path, archs=("gpt", "mamba"))
    path = tmp_path / "bench" / "gpt-single-8192.json"
    point = json.loads(path.read_text())
    del point["seconds"]["decode"]
    path.write_text(json.dumps(point | {"ended": {"decode": "over-time"}, "error": "120 s"}))
    (part,) = lengths(collect(tmp_path).points)
    decoded = {row["architecture"].text: row for row in rows_of(grid_of(part, "decode"))}
    assert decoded["gpt"]["8,192"].text == "over time"
    assert "gpt at 8,192: over time: 120 s." in grid_of(part, "decode").lines
    assert not any("over time" in line for line in grid_of(part, "read").lines)
    (plot,) = (plot for plot in plots.length_plots(part, ()) if plot.name == "bench-decode")
    assert "gpt at 8,192: over time" in plot.caption


def test_pictures_show_laws_crossings_and_what_has_no_result(drawn):
    for plot in drawn.values():
        assert "var(--ink" in plot.svg
        assert "DejaVu" not in plot.svg
        assert "sequence length (tokens)" in texts(plot.svg)
        assert {"128", "1k", "64k"} <= set(texts(plot.svg))
    time = texts(drawn["bench-time"].svg)
    assert any(text.startswith(("mamba  T⁰·⁹", "mamba  T¹·⁰")) for text in time)
    assert any(text.startswith("t5 (source)  T¹·") for text in time)
    assert "out of memory" in time
    assert "bert at 65,536: out of memory" in drawn["bench-time"].caption
    assert "gpt and mamba at 5," in drawn["bench-time"].caption
    assert "out of memory" not in texts(drawn["bench-decode"].svg)


def test_different_settings_share_no_picture(tmp_path):
    write_points(tmp_path / "a", setting="size 1M, cpu")
    write_points(tmp_path / "b", setting="size 10M, cpu")
    parts = lengths(collect(tmp_path).points)
    assert [part.setting.words for part in parts] == ["size 1M, cpu", "size 10M, cpu"]
    names = [plot.name for part in parts for plot in plots.length_plots(part, ())]
    assert len(names) == len(set(names))
    assert {name.split("-")[1] for name in names} == {"1", "2"}
    tables = [table.name for part in parts for table in part.tables]
    assert len(tables) == len(set(tables))


@pytest.mark.parametrize("mode", ["tokens", "single"])
def test_one_mode_alone_can_be_reported(tmp_path, mode):
    write_points(tmp_path, modes=(mode,))
    (part,) = lengths(collect(tmp_path).points)
    names = {table.name.removeprefix("lengths-") for table in part.tables}
    assert ("train" in names) == (mode == "tokens")
    assert ("decode" in names) == (mode == "single")  # the sample's batches decode nothing
    assert any("One sequence alone was not measured" in line for line in part.remarks) == (mode == "tokens")
    assert "read" in names
    assert plots.length_plots(part, ())


def test_few_lengths_have_no_exponents_and_still_cross(tmp_path):
    write_points(tmp_path, lengths=(128, 2048, 8192))
    (part,) = lengths(collect(tmp_path).points)
    assert "lengths-exponents" not in [table.name for table in part.tables]
    rows = {row["costs less than"].text: row for row in rows_of(grid_of(part, "crossings-train"))}
    assert rows["mamba"]["gpt"].text.startswith("from ")
    assert all("T" not in "".join(texts(plot.svg)[-4:]) for plot in plots.length_plots(part, ()))


def test_curves_with_one_length_in_common_are_not_compared(tmp_path):
    write_points(tmp_path, archs=("gpt",), lengths=(128, 512, 2048))
    write_points(tmp_path, archs=("mamba",), lengths=(2048, 4096, 8192))
    (part,) = lengths(collect(tmp_path).points)
    assert not [table.name for table in part.tables if "crossings" in table.name]
    write_points(tmp_path, archs=("bert",), lengths=(128, 512, 2048))
    (part,) = lengths(collect(tmp_path).points)
    row = next(r for r in rows_of(grid_of(part, "crossings-train")) if r["costs less than"].text == "gpt")
    assert row["mamba"].text == "-"
    assert row["bert"].text not in ("-", "")


def test_nothing_but_failures_is_no_picture(tmp_path):
    write_points(tmp_path, archs=("gpt",), status="failed", error="boom")
    for path in (tmp_path / "bench").glob("*.json"):
        assert read_point(json.loads(path.read_text())).status == "failed"
    (part,) = lengths(collect(tmp_path).points)
    assert plots.length_plots(part, ()) == []
    report.build(tmp_path)


def test_tables_fit_eighty_columns(part):
    for table in part.tables:
        console = Console(file=io.StringIO(), width=80, no_color=True)
        console.print(render.terminal(table.grid, table.title, 80))
        assert max(map(len, console.file.getvalue().splitlines())) <= 80


def test_csv_has_a_line_per_point_exponent_and_crossing(tmp_path):
    write_points(tmp_path, lengths=LONG)
    report.build(tmp_path, formats=["csv"])
    lines = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    kinds = {
        kind: [line for line in lines if line["kind"] == kind] for kind in ("point", "exponent", "crossing")
    }
    assert len(kinds["point"]) == 5 * 2 * len(LONG)
    (one,) = (
        line
        for line in kinds["point"]
        if (line["row"], line["length"], line["mode"]) == ("gpt", "512", "tokens")
    )
    assert float(one["train_step_tokens_per_second"]) == pytest.approx(
        512 * int(one["batch"]) / float(one["train_step_seconds"])
    )
    assert {line["row"] for line in kinds["exponent"]} >= {"gpt", "t5 (source)"}
    assert any(line["row"] == "gpt and mamba" and line["less"] == "mamba" for line in kinds["crossing"])
    assert len(point_lines(lengths(collect(tmp_path).points))) == len(lines)


def test_tables_of_pairs_are_left_to_the_files(tmp_path, capsys):
    write_points(tmp_path, archs=("gpt", "mamba"))
    report.build(tmp_path, formats=["terminal", "markdown"])
    out, told = capsys.readouterr().out, "where curves cross"
    assert told in (tmp_path / "report.md").read_text()
    assert told not in out
    assert "From which length on one costs less than another, the files tell." in out


# ------------------------------------------------------------------------------ points that are none


def test_older_and_damaged_points_are_dropped_with_a_line_each(tmp_path, capsys):
    write_points(tmp_path, archs=("gpt",))
    old = {"arch": "gpt", "length": 256, "batch": 16, "setting": "size 1M", "status": "ok"}
    for name, content in {"old": json.dumps(old), "torn": '{"arch":', "list": "[]"}.items():
        (tmp_path / "bench" / f"{name}.json").write_text(content)
    assert len(collect(tmp_path).points) == 8
    report.build(tmp_path, formats=["terminal"])
    out = capsys.readouterr().out
    assert out.count("left alone:") == 3
    assert "left alone: bench/old.json: a point without family, mode" in out


SPOILT = st.sampled_from(
    [None, "", "x", -1, 0, math.nan, math.inf, True, [], {}, {"a": None}, [1], {"x": "y"}]
)


@given(st.sampled_from(sorted(sample_point("t5", 512, side="source"))), SPOILT, st.booleans())
def test_whatever_a_point_holds_it_is_read_or_refused_in_one_line(key, value, gone):
    point = sample_point("t5", 512, side="source")
    if gone:
        del point[key]
    else:
        point[key] = value
    try:
        found = read_point(point)
    except NoPoint as refused:
        problem = str(refused)
    else:
        problem = ""
        parts = lengths([found, read_point(sample_point("gpt", 512))])
        assert len(parts) == (1 if found.setting == SETTING else 2)
        assert parts[-1].tables
    assert "\n" not in problem


@given(st.floats(1e-9, 1e9), st.floats(1.01, 1e9), st.booleans(), st.integers(4, 8))
def test_an_axis_has_a_few_ticks_inside(low, wide, binary, most):
    found = length_axes.ticks(low, low * wide, binary=binary, most=most)
    assert len(found) <= most
    assert found == sorted(set(found))
    assert all(low <= tick <= low * wide for tick in found)
    assert len(found) >= 1 or wide < 1.3
