"""Nothing is measured twice, and nothing that positions end before: the rest of a point is."""

import pytest
from bench_tools import bench, finished, planned

from harness.efficiency.subject import works

assert bench  # a fixture
BOTH = ["archs=[gpt]", "modes=[single,tokens]"]  # of 64 tokens


def timed(spec):
    """What two processes find of a point where all work is timed that did not end before."""
    names = [work for work in works(spec["family"], spec["mode"]) if work not in spec["ended"]]
    taken = {work: {"allocator": 4_000_000} for work in names if work != "decode"}
    return {**finished(), "seconds": dict.fromkeys(names, 0.5), "memory": taken, "state_bytes": 99}


@pytest.mark.parametrize("late", [(), ("decode",)])
def test_one_sequence_is_measured_once_where_a_batch_is_one_row(bench, late):
    """Unless its work ended there, among more than it would be alone with."""
    asked = []

    def answer(spec):
        asked.append((spec["mode"], spec["length"]))
        over = late if spec["mode"] == "tokens" and "decode" not in spec["ended"] else ()
        found = timed({**spec, "ended": {*spec["ended"], *over}})
        return {**found, "ended": dict.fromkeys(over, "over-time"), "error": "why" if over else None}

    bench.answer = answer
    results = bench(*BOTH, "lengths=[32,64,128]")
    alone = [("tokens", 64), ("tokens", 128)]
    beside = [("tokens", 64), ("single", 64), ("tokens", 128), ("single", 128)]
    assert asked == [("tokens", 32), ("single", 32), *(beside if late else alone)]
    one = [result for result in results if result["mode"] == "single"]
    assert [(r["length"], r["batch"], r["status"]) for r in one] == [(n, 1, "ok") for n in (32, 64, 128)]
    for result in one:
        assert (set(result["seconds"]), set(result["memory"])) == ({"prefill", "decode"}, {"prefill"})
        assert (result["ended"], result["error"], result["state_bytes"]) == ({}, None, 99)
    measured = len(asked)
    assert bench(*BOTH, "lengths=[32,64,128]") == results
    assert len(asked) == measured


def test_one_sequence_is_taken_from_an_earlier_sweep_of_batches(bench, monkeypatch):
    days = iter(["2030-01-01T00:00:00+00:00", *9 * ["2030-01-02T00:00:00+00:00"]])
    monkeypatch.setattr("harness.efficiency.sweep.now", lambda: next(days))
    bench.answer = timed
    bench("archs=[gpt]", "lengths=[64]")
    [single] = bench("archs=[gpt]", "lengths=[64]", "modes=[single]")
    assert len(bench.measured) == 1
    assert single["measured"] == "2030-01-01T00:00:00+00:00"


def test_what_is_taken_from_elsewhere_is_expected_to_take_no_time(tmp_path):
    found = planned(tmp_path, *BOTH, "lengths=[32,64]")
    assert [(p.mode, p.length) for p in found if not p.weight] == [("single", 64)]
    assert all(p.weight for p in planned(tmp_path, *BOTH, "lengths=[32,64]", "modes=[single]"))


def test_work_that_positions_end_before_is_left_out_alone(bench, monkeypatch):
    monkeypatch.setattr("harness.efficiency.points.with_positions", lambda node, needed: node)
    bench.answer = timed
    lengths = "lengths=[512,1024,2048]"
    results = bench(*BOTH, lengths)
    reading = dict.fromkeys(("prefill", "decode"), "beyond-positions")
    everything = reading | dict.fromkeys(("forward", "train_step"), "beyond-positions")
    assert [(r["length"], r["mode"], r["status"], r["ended"]) for r in results[2:]] == [
        (1024, "tokens", "ok", reading),
        (1024, "single", "beyond-positions", reading),
        (2048, "tokens", "beyond-positions", everything),
        (2048, "single", "beyond-positions", reading),
    ]
    assert bench.measured == [("Attention", 512), ("Attention", 1024)]
    assert set(results[2]["seconds"]) == {"forward", "train_step"}
    assert {r["error"] for r in results[2:4]} == {"its positions end at 1,024, and 1,046 are needed"}
    assert bench(*BOTH, lengths) == results
    assert len(bench.measured) == 2


def test_what_was_measured_in_an_unsteady_minute_is_not_taken(bench):
    """It would stay unsteady however often it is taken."""

    def answer(spec):
        slow = (spec["mode"], spec["length"]) == ("tokens", 128)
        return {**timed(spec), "matmul_peak": 0.5e11 if slow else 1e11}

    bench.answer = answer
    assert bench("archs=[gpt]", "lengths=[32,64,128]")[2]["drift"] == -0.5
    results = bench("archs=[gpt]", "lengths=[64,128]", "modes=[single]")
    assert [(r["copied"], r["drift"]) for r in results] == [(True, 0.0), (False, 0.0)]


def test_what_is_taken_is_no_further_measure_of_the_machine(bench):
    bench.answer = timed
    results = bench(*BOTH, "lengths=[64,128]")  # two are too few for a median
    assert [(r["copied"], r["drift"]) for r in results] == [(False, None), (True, None)] * 2
