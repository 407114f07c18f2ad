"""One point: what its two processes find, how it ends, and how a device is used."""

import math
import time

import pytest
import torch
from bench_tools import specs
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves

from archs import LayerNorm
from harness.compose import compose
from harness.efficiency import child, device, measure, timing
from harness.efficiency.points import points
from harness.efficiency.subject import DECODED, Subject, works
from harness.efficiency.timing import OverTime, Stopwatch, quartiles, repeats, seconds_of

FAMILIES = {
    "bert": set(),
    "gpt": {"prefill", "decode"},
    "t5": {"prefill", "decode"},
    "mamba": {"prefill", "decode"},
}


@pytest.mark.parametrize("arch", FAMILIES)
def test_a_family_is_measured_at_what_it_can_do(tmp_path, arch):
    for spec in specs(tmp_path, arch, "modes=[tokens,single]"):
        single = spec["mode"] == "single"
        kinds = {"forward", "train_step"} | FAMILIES[arch]
        if single:
            kinds = FAMILIES[arch] or {"forward"}
        times, memory = child.outcome("times", spec), child.outcome("memory", spec)
        assert times["status"] == memory["status"] == "ok"
        assert spec["batch"] == (1 if single else 2)
        assert set(times["seconds"]) == set(times["flops"]) == set(times["repeats"]) == kinds
        assert set(memory["memory"]) == kinds - {"decode"}
        for name, value in times["seconds"].items():
            low, high = times["quartiles"][name]
            assert 0 < low <= value <= high
            tokens = 1 if name == "decode" else 48 * spec["batch"]
            assert times["tokens_per_second"][name] == pytest.approx(tokens / value)
            share = times["flops"][name] / value / times["matmul_peak"]
            assert times["peak_share"][name] == pytest.approx(share)
        assert all(kind["allocator"] > 0 for kind in memory["memory"].values())
        assert (memory["state_bytes"] is None) == (arch == "bert")


def test_the_length_of_an_encoder_decoder_is_on_one_side(tmp_path):
    shapes = []
    for spec in specs(tmp_path, "t5"):
        subject = Subject(spec)
        subject.resize(spec["batch"], spec["length"], spec["side"])
        shapes.append((spec["side"], subject.tokens.shape[1], subject.source.shape[1]))
        assert subject.flops()["decode"] < subject.flops()["prefill"] / 10
    assert shapes == [("source", 64, 48), ("target", 48, 64)]


def test_a_table_that_is_computed_once_and_kept_is_trained_with_after_all_other_work(tmp_path):
    subject = Subject(specs(tmp_path, "gpt")[0])
    norm = next(part for part in subject.module.modules() if isinstance(part, LayerNorm))
    plain, kept = norm.forward, []

    def forward(hidden):
        if not kept:
            kept.append(torch.ones(hidden.shape[-1]) / 2)
        return plain(hidden * kept[0])

    norm.forward = forward
    subject.resize(2, 48)
    for name in works("decoder", "tokens"):
        subject.warm(name)
        subject.work(name)()
    assert len(kept) == 1


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_is_measured_in_half_precision(tmp_path, monkeypatch, arch, precision):
    monkeypatch.setattr(Stopwatch, "look", lambda watch: watch.rates.append(1e11))
    spec = specs(tmp_path, arch, f"precision={precision}")[0]
    kinds = {"forward", "train_step"} | FAMILIES[arch]
    memory, times = child.outcome("memory", spec), child.outcome("times", spec)
    assert memory["ended"] == times["ended"] == {}, memory["error"] or times["error"]
    assert (set(memory["memory"]), set(times["seconds"])) == (kinds - {"decode"}, kinds)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_baseline_counts_what_a_look_at_the_machines_speed_takes(monkeypatch, kind):
    looks = []
    monkeypatch.setattr(Stopwatch, "look", lambda watch: looks.append(watch.device.type))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (8, 9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 5)
    monkeypatch.setattr(child, "field", lambda name: 5)
    found = child.outcome("baseline", {"device": kind, "threads": 1, "memory": None})
    assert found == {"status": "ok", "bytes": 5} | ({"free": 8} if kind == "cuda" else {})
    assert looks == [kind]


def test_the_kernels_that_ran_are_named(tmp_path):
    assert child.outcome("memory", specs(tmp_path, "gpt")[0])["environment"]["kernels"] == {
        "attention": ["flash_attention_for_cpu"]
    }
    spec = specs(tmp_path, "mamba")[0]
    assert child.outcome("memory", spec)["environment"]["kernels"] == {"S6": "numba"}


def test_on_a_gpu_the_kernels_of_mamba_ssm_are_taken_where_they_are(tmp_path, monkeypatch):
    module = Subject(specs(tmp_path, "mamba")[0]).module
    ran = [
        "aten::mm",
        "aten::_scaled_dot_product_flash_attention",
        "aten::_scaled_dot_product_flash_attention_backward",
    ]
    for installed, kernel in ((True, "mamba_ssm"), (False, "torch")):
        monkeypatch.setattr("archs.kernels.scan._installed", lambda package, there=installed: there)
        assert device.kernels(module, "cuda", ran) == {"attention": ["flash_attention"], "S6": kernel}


def test_a_gpu_is_timed_by_its_own_events(monkeypatch):
    class Event:
        clock = 0.0

        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at, Event.clock = Event.clock, Event.clock + 250.0

        def synchronize(self):
            Event.waited = True

        def elapsed_time(self, end):
            return end.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    calls = []
    assert seconds_of(lambda: calls.append(1), torch.device("cuda")) == 0.25
    assert calls == [1]
    assert Event.waited


@given(st.floats(1e-6, 1e4), st.floats(1e-6, 1e4))
def test_repetitions_fall_from_20_to_3_as_work_grows(one, other):
    few, many = sorted((repeats(one), repeats(other)))
    assert 3 <= few <= many <= 20
    assert repeats(min(one, other)) == many


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=20))
def test_quartiles_lie_among_the_values(values):
    low, high = quartiles(values)
    assert min(values) <= low <= high <= max(values)


def test_work_that_cannot_end_in_time_says_so_after_its_first_call():
    watch, calls = Stopwatch(torch.device("cpu"), deadline=-math.inf), []
    with pytest.raises(OverTime, match=r"^train_step takes .* is more than is left"):
        watch.time(lambda: calls.append(1), "train_step")
    assert calls == [1]
    assert len(Stopwatch(torch.device("cpu")).time(lambda: calls.append(1), "forward")) == 20


def test_a_first_call_warms_up_the_others_and_counts_where_time_is_short(monkeypatch):
    calls = []

    def taken(work, device):
        work()
        return 5.0 + len(calls)

    def seconds(steps):
        calls.clear()
        deadline = time.monotonic() + 6.0 * steps
        return Stopwatch(torch.device("cpu"), deadline=deadline).time(lambda: calls.append(1), "forward")

    monkeypatch.setattr(timing, "seconds_of", taken)
    assert seconds(100) == [7.0, 8.0, 9.0]
    assert seconds(3.5) == seconds(2.5) == [6.0, 7.0, 8.0]
    with pytest.raises(OverTime):
        seconds(1.5)


def test_an_error_is_an_outcome(tmp_path):
    [spec] = specs(tmp_path, "gpt")
    broken = child.outcome("memory", {**spec, "length": 10**6})  # beyond its table of positions
    assert broken["status"] == "failed"
    assert "learned positions" in broken["error"]
    late = child.outcome("times", {**spec, "deadline": -math.inf})
    assert late["status"] == "over-time"
    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")):
        assert device.ran_out(error)
    assert device.ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert not device.ran_out(ValueError("out of memory"))


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (OverTime("train_step takes 99 s"), "over-time"),
        (MemoryError("no more"), "out-of-memory"),
        (ValueError("wrong"), "failed"),
    ],
)
@pytest.mark.parametrize("what", ["memory", "times"])
def test_a_training_step_that_ends_leaves_reading_and_decoding_measured(
    tmp_path, monkeypatch, what, error, ended
):
    [spec] = specs(tmp_path, "gpt")
    step = Subject.train_step

    def train_step(subject):
        if subject.tokens.shape == (2, 48):
            raise error
        step(subject)

    monkeypatch.setattr(Subject, "train_step", train_step)
    told = []
    found = child.outcome(what, spec, told.append)
    assert (found["status"], found["ended"]) == ("ok", {"train_step": ended})
    assert str(error) in found["error"]
    assert "free" not in found  # which would hide what the starter saw
    done = {"forward", "prefill"} | ({"decode"} if what == "times" else set())
    assert set(found["seconds" if what == "times" else "memory"]) == done
    assert told[-1] == found
    assert [len(each["todo"]) for each in told] == [*range(len(done), -1, -1)]


def test_work_that_fails_in_the_warm_up_costs_the_others_nothing(tmp_path, monkeypatch):
    def moments(optimizer):
        raise MemoryError("no room for moments")

    def prefill(subject):
        raise ValueError("wrong")

    [spec] = specs(tmp_path, "gpt")
    for what in ("memory", "times"):
        with monkeypatch.context() as patched:
            patched.setattr(torch.optim.AdamW, "step", moments)
            found = child.outcome(what, spec)
            assert (found["status"], found["ended"]) == ("ok", {"train_step": "out-of-memory"})
            assert found["error"] == "train_step: no room for moments"
            assert child.outcome(what, {**spec, "ended": {"train_step": "skipped"}})["ended"] == {}
        with monkeypatch.context() as patched:
            patched.setattr(Subject, "prefill", prefill)
            ended = child.outcome(what, spec)["ended"]
            assert ended == dict.fromkeys(["prefill", "decode"] if what == "times" else ["prefill"], "failed")


@pytest.mark.parametrize("arch", ["gpt", "t5", "mamba", "mamba2"])
def test_a_state_is_of_what_is_computed_in_and_as_large_as_is_said(tmp_path, arch):
    held = {}
    for precision in ("32-true", "bf16-mixed", "bf16-true"):
        spec = specs(tmp_path, arch, f"precision={precision}")[-1]
        subject = Subject(spec)
        subject.resize(2, 48, spec["side"])
        held[precision] = sum(leaf.nbytes for leaf in tree_leaves(subject.prefill()))
        subject.resize(1, 48 + DECODED, spec["side"])  # what there was room for
        assert held[precision] == 2 * subject.state_bytes()
    assert held["bf16-mixed"] == held["bf16-true"] < held["32-true"]


def test_work_that_is_too_long_ends_the_heavier_and_what_ended_before_is_not_tried(tmp_path, monkeypatch):
    def prefill(subject):
        if subject.tokens.shape[1] == 48 and len(subject.tokens) == 2:
            raise OverTime("prefill takes 99 s")

    [spec] = specs(tmp_path, "gpt")
    shorter = child.outcome("times", {**spec, "ended": {"train_step": "skipped"}})
    assert (set(shorter["seconds"]), shorter["ended"]) == ({"forward", "prefill", "decode"}, {})
    monkeypatch.setattr(Subject, "prefill", prefill)
    monkeypatch.setattr(Subject, "decoder", lambda subject: lambda: None)
    found = child.outcome("times", spec)
    assert set(found["seconds"]) == {"forward"}
    assert found["ended"] == dict.fromkeys(("prefill", "decode", "train_step"), "over-time")


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["bert", "gpt", "t5", "mamba"])
def test_both_counts_of_a_training_steps_memory_agree(tmp_path, arch):
    """At 4,096 tokens and 1M parameters: the allocator's and the operating system's, within a tenth."""
    lines = [f"archs=[{arch}]", "lengths=[4096]", "modes=[tokens]", "threads=1", "device=cpu"]
    for point in points(compose("bench", lines), tmp_path, print):
        found = measure.child("memory", {**point.spec, "ended": {}}, 600.0, None)
        assert found["status"] == "ok", found["error"]
        for kind, taken in found["memory"].items():
            if taken["allocator"] > 50e6:
                assert taken["system"] == pytest.approx(taken["allocator"], rel=0.1), (point.title, kind)
        assert found["memory"]["train_step"]["allocator"] > 50e6


@pytest.mark.slow
def test_a_process_that_needs_more_than_its_limit_runs_out_of_memory(tmp_path):
    lines = ["archs=[gpt]", "lengths=[16384]", "tokens_per_batch=131072", "modes=[tokens]", "threads=1"]
    lines += ["device=cpu"]
    [point] = points(compose("bench", lines), tmp_path, print)
    assert measure.child("memory", {**point.spec, "ended": {}}, 600.0, 5 * 10**8)["status"] == "out-of-memory"
