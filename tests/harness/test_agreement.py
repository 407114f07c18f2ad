"""harness.report.agreement: what two sweeps of the same points differ by."""

import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_records import sample_point, write_points

from harness.report import agreement
from harness.report.agreement import Place, differences, medians, of_ratios, of_times

PLACE = Place("setting", "tokens", "train_step", 128)
SECONDS = st.floats(1e-6, 1e3)


def test_the_example_of_its_picture():
    found = differences({PLACE: {"gpt": 10, "mamba": 20}}, {PLACE: {"gpt": 11, "mamba": 21}}, of_ratios)
    assert [(each.who, round(each.share, 3)) for each in found] == [("gpt / mamba", 0.048)]


@given(st.dictionaries(st.sampled_from("abcd"), SECONDS, min_size=2), st.floats(0.1, 10))
def test_ratios_do_not_see_a_faster_machine_and_times_do(seconds, speed):
    faster = {who: value / speed for who, value in seconds.items()}
    ratios = differences({PLACE: seconds}, {PLACE: faster}, of_ratios)
    assert len(ratios) == math.comb(len(seconds), 2)
    assert all(each.share == pytest.approx(0, abs=1e-9) for each in ratios)
    times = differences({PLACE: seconds}, {PLACE: faster}, of_times)
    assert all(each.share == pytest.approx(max(speed, 1 / speed) - 1, abs=1e-9) for each in times)


@given(*[st.fixed_dictionaries({"a": SECONDS, "b": SECONDS})] * 2)
def test_it_does_not_matter_which_sweep_is_first(one, other):
    found = [next(of_ratios(*pair))[1] for pair in ((one, other), (other, one))]
    assert found[0] == pytest.approx(found[1])


def test_only_what_both_timed_is_compared():
    first = {PLACE: {"gpt": 1.0, "bert": 1.0}, Place("setting", "single", "decode", 128): {"gpt": 1.0}}
    assert [each.who for each in differences(first, {PLACE: {"gpt": 2.0}}, of_times)] == ["gpt"]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["agreement", *map(str, arguments)])
    agreement.main()


def test_it_prints_what_differs_most(tmp_path, monkeypatch, capsys):
    for name in ("one", "other"):
        write_points(tmp_path / name, archs=("gpt", "mamba"))
    found = medians(tmp_path / "one")
    assert {place.work for place in found} == {"train_step", "forward", "prefill", "decode"}
    run(monkeypatch, tmp_path / "one", tmp_path / "other")
    printed = capsys.readouterr().out
    assert "gpt / mamba at" in printed
    assert "tokens: train_step" in printed
    assert "100%" in printed


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_what_is_compared_is_what_a_report_shows(tmp_path, capsys, names):
    """Of two points at one place the newest, whatever its file is called; none of which the speed drifted."""
    (tmp_path / "bench").mkdir()
    for name, second, seconds in (("a", 1, 1.0), ("b", 2, 3.0)):
        point = sample_point("gpt", 128, seconds={"forward": seconds})
        point |= {"measured": f"2026-01-05T10:00:0{second}"}
        (tmp_path / "bench" / f"{names['ab'.index(name)]}.json").write_text(json.dumps(point))
    unsteady = sample_point("mamba", 128, seconds={"forward": 9.0}, drift=-0.2)
    (tmp_path / "bench" / "m.json").write_text(json.dumps(unsteady))
    taken = sample_point("bert", 128, seconds={"forward": 5.0}, copied=True)  # stands there in another mode
    (tmp_path / "bench" / "t.json").write_text(json.dumps(taken))
    ((place, times),) = medians(tmp_path).items()
    assert (place.work, times) == ("forward", {"gpt": 3.0})
    assert "1 unsteady point left out, of 2" in capsys.readouterr().err


def test_a_folder_without_points_is_one_line(tmp_path, monkeypatch, capsys):
    write_points(tmp_path / "one", archs=("gpt",))
    (tmp_path / "empty").mkdir()
    for other, said in (("empty", "no run records"), ("one", "nothing in common")):
        with pytest.raises(SystemExit):
            run(monkeypatch, tmp_path / "one", tmp_path / other)
        assert said in capsys.readouterr().err
