"""What is read of the points of a sweep: of which mode, which of two, and what of those that ended early."""

import itertools
import json
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import LAWS, sample_point, write_points

from harness import report
from harness.efficiency.table import MARKS
from harness.report import plots
from harness.report.collect import collect
from harness.report.lengths import lengths, point_lines
from harness.report.measures import DECODE, MEMORY, READ, READ_MEMORY, STATE, TRAIN, settings_of
from harness.report.points import STATUSES, read_point

AT = (128, 512, 2048, 8192, 32_768)


def setting_of(*points):
    (setting,) = settings_of(map(read_point, points))
    return setting


def decoding(arch, length, mode, seconds):
    """A point that decodes, whatever its mode."""
    point = sample_point(arch, length, mode)
    point["seconds"] = point["seconds"] | {"prefill": 0.1, "decode": seconds}
    point["quartiles"] = {}
    return point


# ------------------------------------------------------------------------------------------- modes


def test_a_token_is_one_sequences_only_where_a_batch_is_one_row():
    points = [decoding("gpt", length, "tokens", seconds=1e-3) for length in AT]
    assert [point["batch"] for point in points] == [128, 32, 8, 2, 1]
    (curve,) = setting_of(*points).costs[DECODE].values()
    assert list(curve.lengths) == [32_768]


def test_all_curves_are_read_of_one_mode():
    both = [decoding("gpt", length, mode, 1e-3) for length in AT for mode in ("tokens", "single")]
    tokens = [decoding("mamba", length, "tokens", 2e-3) for length in AT]
    setting = setting_of(*both, *tokens)
    for measure in (READ, READ_MEMORY, DECODE, STATE):
        read = {p.mode for c in setting.curves for p in setting.of(c, measure)}
        assert read == {"tokens"}, measure.title
        assert set(setting.costs[measure]) == {"gpt", "mamba"}
    alone = setting_of(*both)
    assert {p.mode for p in alone.of("gpt", DECODE)} == {"single"}
    assert {p.mode for p in alone.of("gpt", TRAIN)} == {"tokens"}


# ------------------------------------------------------------------------------- which of two points

TIMES = (None, "2026-01-05T10:00:00", "2026-01-05T13:30:00+02:00", "2026-01-05T12:00:00+00:00")  # ascending


@pytest.mark.parametrize("pair", itertools.permutations(range(len(TIMES)), 2))
def test_of_two_points_the_newest_counts_whatever_their_files_are_called(pair):
    points = [sample_point("gpt", 512, mode="tokens", drift=place / 100) for place in pair]
    for point, place in zip(points, pair, strict=True):
        point |= {} if TIMES[place] is None else {"measured": TIMES[place]}
    (own,) = setting_of(*points).points.values()
    assert [point.drift for point in own] == [max(pair) / 100]


@pytest.mark.parametrize("words", [None, 3, "", "yesterday", []])
def test_a_time_that_is_none_is_before_all_others(words):
    found = [
        sample_point("gpt", 512, drift=0.5, measured=TIMES[1]),
        sample_point("gpt", 512, drift=0.1, measured=words),
    ]
    for points in (found, found[::-1]):
        (own,) = setting_of(*points).points.values()
        assert own[0].drift == 0.5


def test_of_two_without_a_time_the_one_with_a_result_counts():
    found = [sample_point("gpt", 512), sample_point("gpt", 512, status="failed")]
    for points in (found, found[::-1]):
        (own,) = setting_of(*points).points.values()
        assert own[0].ok


MODELS = st.sampled_from(["one", "other", "third"])


@given(st.lists(st.tuples(MODELS, st.sampled_from(AT)), min_size=1, max_size=12))
def test_a_curve_is_of_the_model_that_was_measured_last(measured):
    points = [
        sample_point("gpt", length, model=model, measured=f"2026-01-{day:02}")
        for day, (model, length) in enumerate(measured, start=1)
    ]
    setting = setting_of(*points[::-1], sample_point("gpt", 128, mode="single", model="one"))
    last = measured[-1][0]
    own = setting.points["gpt", "tokens"]
    assert {point.model for point in own} == {last}
    assert [point.length for point in own] == sorted({length for model, length in measured if model == last})
    others = sum(model != last for model, _ in measured)
    assert setting.left_out == ({"gpt": others} if others else {})
    assert setting.points["gpt", "single"]


def test_what_is_left_out_is_said_once():
    points = [sample_point(arch, length) for arch in ("gpt", "mamba", "bert") for length in AT]
    for arch, many in (("gpt", 3), ("mamba", 5)):
        points += [sample_point(arch, length, model="newer", measured=TIMES[1]) for length in AT[:many]]
    (part,) = lengths(map(read_point, points))
    (line,) = (line for line in part.remarks if "left out" in line)
    assert line.startswith("Points left out: 5 of gpt, 5 of mamba, measured with other code")
    assert list(part.setting.costs[TRAIN]["gpt"].lengths) == list(AT[:3])


# ------------------------------------------------------------------------------ points that ended early


@pytest.mark.parametrize("status", ["out-of-memory", "over-time", "failed", "beyond-positions"])
def test_a_curve_without_any_result_is_shown_as_that(status):
    later = "skipped" if status != "beyond-positions" else status
    lost = [sample_point("mamba", length, status=later) for length in AT]
    lost[0] = sample_point("mamba", AT[0], status=status, error="so it was")
    (part,) = lengths(map(read_point, [*lost, *(sample_point("gpt", length) for length in AT)]))
    train = next(table for table in part.tables if table.name == "lengths-train")
    cells = {row[0].text: [cell.text for cell in row[1:]] for row in train.grid.rows}
    assert cells["mamba"] == [STATUSES[each] for each in (status, *[later] * (len(AT) - 1))]
    assert f"mamba at 128: {STATUSES[status]}: so it was." in train.lines
    drawn = {plot.name: plot for plot in plots.length_plots(part, ())}
    assert f"mamba at 128: {STATUSES[status]}" in drawn["bench-time"].caption
    said = [node.text for node in ElementTree.fromstring(drawn["bench-time"].svg).iter()]
    assert "mamba" in said  # in the legend, since no line has its colour
    assert "lengths-decode" not in [table.name for table in part.tables]  # nobody was asked to


def test_what_a_point_over_time_has_is_kept(tmp_path):
    write_points(tmp_path, archs=("gpt", "mamba"), lengths=AT)
    for path in (tmp_path / "bench").glob("gpt-tokens-32768.json"):
        point = json.loads(path.read_text())
        late = {"status": "over-time", "error": "train_step takes 60 s", "peak_share": {}}
        late |= {key: {} for key in ("seconds", "quartiles", "repeats", "tokens_per_second")}
        path.write_text(json.dumps(point | late))
    (part,) = lengths(collect(tmp_path).points)
    assert list(part.setting.costs[MEMORY]["gpt"].lengths) == list(AT)
    assert list(part.setting.costs[TRAIN]["gpt"].lengths) == list(AT[:-1])
    train = next(table for table in part.tables if table.name == "lengths-train")
    cell = next(row for row in train.grid.rows if row[0].text == "gpt")[-1]
    assert cell.text == "over time"
    assert "iB" in cell.interval
    assert "gpt at 32,768: over time: train_step takes 60 s." in train.lines
    read = next(table for table in part.tables if table.name == "lengths-read")
    assert not read.lines


def test_reading_measured_before_a_training_step_ran_over_time_counts():
    points = [sample_point("bert", length) for length in AT]
    points[-1] |= {"status": "over-time", "seconds": {"forward": 2.5}}
    setting = setting_of(*points)
    assert setting.costs[READ]["bert"].costs[-1] == 2.5
    assert len(setting.costs[TRAIN]["bert"]) == len(AT) - 1


def test_what_is_no_prefill_is_no_reading_of_a_decoder():
    points = [sample_point("gpt", length) for length in AT]
    late = points[-1]
    late |= {"ended": dict.fromkeys(["prefill", "decode", "train_step"], "over-time")}
    for part in ("seconds", "memory"):
        late[part] = {"forward": late[part]["forward"]}
    setting = setting_of(*points)
    for measure in (READ, READ_MEMORY):
        assert list(setting.costs[measure]["gpt"].lengths) == list(AT[:-1])
    (part,) = lengths(map(read_point, points))
    read = next(table for table in part.tables if table.name == "lengths-read")
    assert read.grid.rows[0][-1].text == "over time"


# ------------------------------------------------------------------------------ noise, machine and shares


def test_drift_is_an_error_of_times_and_of_nothing_else():
    setting = setting_of(*(sample_point("gpt", length, drift=-0.12 * (length == 512)) for length in AT))
    errors = setting.costs[TRAIN]["gpt"].errors
    assert errors[1] == pytest.approx(0.12, rel=0.05)
    assert max(errors[[0, 2, 3, 4]]) < 0.03
    assert max(setting.costs[MEMORY]["gpt"].errors) < 0.03


@pytest.mark.parametrize("drift", [None, math.nan, math.inf, "x", True, []])
def test_a_drift_that_is_no_number_spoils_no_fit(drift):
    setting = setting_of(*(sample_point("gpt", length, drift=drift) for length in AT))
    assert setting.exponents[TRAIN]["gpt"].identified


def test_the_report_and_the_sweep_know_the_same_statuses():
    assert set(STATUSES) - {"ok"} == set(MARKS)


def test_a_line_names_the_machine_its_kernels_and_how_memory_was_counted():
    about = {"processor": "Example 9000", "torch": "2.9.1", "threads": 2}
    kernels = {"gpt": {"attention": ["flash_attention_for_cpu"]}, "mamba": {"S6": "numba"}}
    points = [
        sample_point(arch, length, environment=about | {"kernels": kernels.get(arch, kernels["gpt"])})
        for arch in LAWS
        for length in AT
    ]
    points.append(sample_point("gpt", 2 * AT[-1], memory={}, memory_method="none", environment=about))
    (part,) = lengths(map(read_point, points))
    told = "On Example 9000; torch 2.9.1; threads: 2; kernels of bert, gpt, t5: attention "
    told += "flash_attention_for_cpu; kernels of mamba: S6 numba; memory, allocator, beside the operating "
    assert told + "system's." in part.remarks
    assert any("every position, of an encoder too" in line for line in part.remarks)
    assert any(line["kind"] == "point" for line in point_lines([part]))


def test_shares_of_the_matmul_rate_have_a_table(tmp_path, capsys):
    write_points(tmp_path, archs=("gpt",), lengths=AT, peak_share={"train_step": 0.456})
    (part,) = lengths(collect(tmp_path).points)
    (table,) = (table for table in part.tables if table.name == "lengths-peak")
    assert [str(cell) for cell in table.grid.rows[0]] == ["gpt", *["45.6"] * len(AT)]
    report.build(tmp_path, formats=["terminal"])
    assert "matmul rate" in capsys.readouterr().out
