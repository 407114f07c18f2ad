"""Length sweeps: points, what is kept, what ends a curve."""

import pytest

from harness import bench
from harness.building import architecture
from harness.compose import compose
from harness.point import measure

SMALL = ["archs=[gpt,mamba]", "size=null", "lengths=[16,32]", "tokens_per_batch=64"]


def points(tmp_path, *overrides):
    return list(bench.points(compose("bench", [*SMALL, *overrides]), tmp_path))


def test_architectures_take_turns_at_each_length(tmp_path):
    found = [(p.arch, p.length, p.spec["batch"]) for p in points(tmp_path)]
    assert found == [("gpt", 16, 4), ("mamba", 16, 4), ("gpt", 32, 2), ("mamba", 32, 2)]


@pytest.mark.parametrize("lengths", ["[]", "[32,16]", "[16,16]"])
def test_a_list_of_lengths_that_does_not_rise_is_refused(tmp_path, lengths):
    with pytest.raises(ValueError, match="lengths"):
        points(tmp_path, f"lengths={lengths}")


@pytest.mark.parametrize("arch", ["gpt", "bert", "t5", "mamba"])
def test_a_point_measures_every_kind_of_work(arch):
    small = ["size=null", "arch.dim=16", "arch.depth=1", "arch.heads=2"]
    node = architecture(compose("train", [f"arch={arch}", *small]), 300).node
    result = measure({"arch": node, "length": 64, "batch": 2, "vocab_size": 300})
    assert result["status"] == "ok"
    assert set(result["seconds"]) == {"train_step", "forward"} | ({"decode"} if arch != "bert" else set())
    assert all(value > 0 for value in result["seconds"].values())
    assert result["matmul_peak"] > 0
    assert result["flops"] > 0


def test_a_finished_point_is_kept_and_a_failed_one_ends_its_curve(tmp_path, monkeypatch):
    measured = []

    def fake(point):
        measured.append((point.arch, point.length))
        return {"status": "over-time"} if point.arch == "gpt" else {"status": "ok"}

    monkeypatch.setattr(bench, "measure", fake)
    config = compose("bench", [*SMALL, "progress=false"])
    results = bench.sweep(config, tmp_path)
    assert measured == [("gpt", 16), ("mamba", 16), ("mamba", 32)]
    assert [r["status"] for r in results] == ["over-time", "ok", "over-time", "ok"]
    bench.sweep(config, tmp_path)
    assert len(measured) == 3


def test_a_table_of_positions_grows_with_the_length_measured(tmp_path):
    point = points(tmp_path, "lengths=[4096]")[0]
    assert point.spec["arch"]["position"]["max_len"] > 4096
