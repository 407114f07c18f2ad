"""What is read of the points of a sweep: of which mode, which of two, and what of those that ended early."""

import itertools
import json
import math

import pytest
from sample_records import LAWS, sample_point, write_points

from harness import report
from harness.efficiency import records
from harness.efficiency.table import MARKS
from harness.report import length_tables
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


# ------------------------------------------------------------------------------ points that ended early


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
    assert train.lines == ["gpt at 32,768: over time: train_step takes 60 s."]
    read = next(table for table in part.tables if table.name == "lengths-read")
    assert not read.lines


def test_reading_measured_before_a_training_step_ran_over_time_counts():
    points = [sample_point("bert", length) for length in AT]
    points[-1] |= {"status": "over-time", "seconds": {"forward": 2.5}}
    setting = setting_of(*points)
    assert setting.costs[READ]["bert"].costs[-1] == 2.5
    assert len(setting.costs[TRAIN]["bert"]) == len(AT) - 1


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


def test_the_report_and_the_sweep_mean_the_same_by_unsteady_and_by_a_status():
    assert length_tables.UNSTEADY == records.DRIFT
    assert set(STATUSES) - {"ok"} == set(MARKS)


def test_a_line_names_the_machine_its_kernels_and_how_memory_was_counted():
    about = {"processor": "Example 9000", "torch": "2.9.1", "threads": 2}
    kernels = {"gpt": {"attention": ["flash_attention_for_cpu"]}, "mamba": {"S6": "numba"}}
    points = [
        sample_point(arch, length, environment=about | {"kernels": kernels.get(arch, kernels["gpt"])})
        for arch in LAWS
        for length in AT
    ]
    (part,) = lengths(map(read_point, points))
    told = "On Example 9000; torch 2.9.1; threads: 2; kernels of bert and gpt and t5: attention "
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
