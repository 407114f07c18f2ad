"""Points during which the machine was faster or slower than for the rest: repeated, else marked."""

import json

import pytest
from bench_tools import bench, finished

from harness.efficiency.table import remarks

assert bench  # a fixture
EVERY = [("Attention", 16), ("S6", 16), ("Attention", 32), ("S6", 32)]


def test_a_point_during_which_the_machine_drifted_is_measured_again(bench):
    peaks = iter([1e11, 1e11, 0.8e11, 1e11, 1.02e11])  # the last is a repetition
    bench.answer = lambda spec: finished(next(peaks))
    results = bench()
    assert bench.measured == [*EVERY, ("Attention", 32)]
    assert [r["attempts"] for r in results] == [1, 1, 2, 1]
    assert [r["drift"] for r in results] == [0.0, 0.0, pytest.approx(0.02), 0.0]
    bench()
    assert len(bench.measured) == 5


def test_a_point_that_keeps_drifting_is_kept_and_marked(bench):
    bench.answer = lambda spec: finished(0.5e11 if bench.measured[-1] == ("S6", 32) else 1e11)
    results = bench()
    assert bench.measured == [*EVERY, ("S6", 32), ("S6", 32)]
    assert (results[3]["drift"], results[3]["attempts"], results[3]["status"]) == (-0.5, 3, "ok")
    bench()
    assert len(bench.measured) == 6
    assert any("faster or slower" in line for line in remarks(results))


def test_a_repetition_that_fails_does_not_cost_the_result(bench):
    answers = iter([finished(), finished(), finished(0.5e11), finished(), *2 * [{"status": "over-time"}]])
    bench.answer = lambda spec: next(answers)
    results = bench()
    assert [r["status"] for r in results] == ["ok"] * 4
    assert results[2]["attempts"] == 3


def test_of_repetitions_the_one_nearest_to_the_sweeps_speed_is_kept(bench):
    peaks = iter([1e11, 1e11, 0.8e11, 1e11, 0.5e11, 0.7e11])
    bench.answer = lambda spec: finished(next(peaks))
    result = bench()[2]
    assert (result["matmul_peak"], result["attempts"]) == (0.8e11, 3)
    assert result["drift"] == pytest.approx(-0.2)


def test_a_repetition_that_has_less_does_not_cost_what_there_was(bench):
    ended = {"status": "ok", "ended": {"forward": "over-time"}}
    both = {"seconds": {"train_step": 0.5, "forward": 0.2}}
    answers = iter([finished(), finished(), finished(0.5e11) | both, *3 * [finished() | ended]])
    bench.answer = lambda spec: next(answers)
    assert bench()[2]["seconds"] == both["seconds"]


def test_what_a_drifted_point_cut_off_is_measured_after_its_repetition(bench):
    def answer(spec):
        if spec["node"]["mixer"]["_target_"].endswith("S6"):
            return {"status": "failed", "error": "why"}  # which is not tried again before the next sweep
        slow = bench.measured[-1] == ("Attention", 32) and bench.measured.count(("Attention", 32)) == 1
        late = {"train_step": "over-time"} if slow else {}
        times = {"forward": 0.1} if late | spec["ended"] else {"forward": 0.1, "train_step": 0.5}
        return finished(0.5e11 if slow else 1e11) | {"seconds": times, "ended": late}

    bench.answer = answer
    results = [r for r in bench("lengths=[16,32,64,128]") if r["arch"] == "gpt"]
    longer = [("Attention", 64), ("Attention", 128)]
    assert bench.measured == [*EVERY[:3], *longer, ("Attention", 32), *longer]
    assert [r["ended"] for r in results] == [{}] * 4
    assert [set(r["seconds"]) for r in results] == [{"forward", "train_step"}] * 4
    assert [r["drift"] for r in results] == [0.0] * 4


def kept(bench):
    """{(architecture, length): drift} of the files."""
    found = [json.loads(path.read_text()) for path in bench.folder.glob("*.json")]
    return {(point["arch"], point["length"]): point["drift"] for point in found}


def test_a_drift_is_from_the_median_of_all_points_in_the_folder(bench):
    bench("archs=[gpt]", "lengths=[16,32,64]")
    bench.answer = lambda spec: finished(0.4e11)
    results = bench("archs=[mamba]", "lengths=[16,32]")
    assert [(r["drift"], r["attempts"]) for r in results] == [(-0.6, 3)] * 2
    assert kept(bench)["gpt", 16] == 0.0
    bench("archs=[mamba]", "lengths=[16,32,64,128,256]")  # that is now how fast the machine mostly is
    marks = {("gpt", length): 1.5 for length in (16, 32, 64)}
    assert kept(bench) == marks | {("mamba", length): 0.0 for length in (16, 32, 64, 128, 256)}


def test_a_smaller_sweep_keeps_the_marks_of_a_larger(bench):
    bench.answer = lambda spec: finished(0.5e11 if spec["length"] == 32 else 1e11)
    bench("archs=[gpt]", "lengths=[16,32,64]")
    [unsteady] = bench("archs=[gpt]", "lengths=[32]")
    assert unsteady["drift"] == -0.5
    for path in bench.folder.glob("gpt-64*.json"):
        path.unlink()
    assert bench("archs=[gpt]", "lengths=[32]") == [unsteady]  # of two there is no median


@pytest.mark.parametrize(
    "other", [{"processor": "another"}, {"device": "another"}, {"torch": "9.9"}, {"threads": 99}, None]
)
def test_points_of_another_machine_are_no_measure_for_a_drift(bench, other):
    def answer(spec):
        found = finished(1e11 if spec["length"] < 100 else 0.4e11)
        found["environment"] |= (other or {}) if spec["length"] < 100 else {}
        return found

    bench.answer = answer
    bench("archs=[gpt]", "lengths=[16,32,64]")
    assert all(drift == 0 for drift in kept(bench).values())
    results = bench("archs=[gpt]", "lengths=[128,256,512]", *([] if other else ["precision=bf16-true"]))
    assert [r["drift"] for r in results] == [0.0] * 3


def test_what_cannot_be_read_in_the_folder_is_no_measure_for_a_drift(bench):
    bench.folder.mkdir()
    (bench.folder / "a.json").write_text("{")
    (bench.folder / "b.json").write_text(json.dumps({"status": "ok", "matmul_peak": 1.0}))
    assert [r["drift"] for r in bench()] == [0.0] * 4
    assert (bench.folder / "a.json").read_text() == "{"
