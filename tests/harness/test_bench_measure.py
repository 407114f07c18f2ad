"""How the two processes of a point are started and ended, and what is made of what they leave."""

import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.efficiency import measure
from harness.errors import ConfigError


def test_a_process_that_is_ended_has_kept_what_it_had_found(monkeypatch):
    given = []

    class Killed:
        """A process that is killed in the last kind of work, after a long time to start."""

        returncode = 124

        def __init__(self, command, **_):
            given.append(json.loads(Path(command[-2]).read_text()))
            found = {"status": "ok", "error": None, "ended": {}, "todo": ["decode", "train_step"]}
            Path(command[-1]).write_text(json.dumps({**found, "seconds": {"forward": 1.0}}))

        def wait(self):
            return self.returncode

        terminate = wait

    monkeypatch.setattr(measure.subprocess, "Popen", Killed)
    begin = time.monotonic()
    found = measure.child("times", {"device": "cpu", "threads": 1}, 30.0, None)
    assert found == {
        "status": "ok",
        "error": "not done within 30 s",
        "ended": {"decode": "over-time", "train_step": "over-time"},
        "seconds": {"forward": 1.0},
    }
    # Of the clock that all processes share: what a process takes to start counts.
    assert begin + 30 <= given[0]["deadline"] <= time.monotonic() + 30
    Killed.returncode = 137
    monkeypatch.setattr(measure, "available", lambda: 10**9)
    found = measure.child("times", {"device": "cpu", "threads": 1}, 30.0, None)
    assert (found["ended"]["train_step"], found["free"]) == ("out-of-memory", 10**9)
    assert given[1]["memory"] == pytest.approx(0.95e9)


@pytest.mark.parametrize("seconds", [3.0, 120.0])
def test_a_training_step_that_uses_up_its_time_leaves_time_for_other_work(monkeypatch, seconds):
    clock, asked = SimpleNamespace(now=100.0), []

    def child(what, spec, given, limit):
        asked.append((what, spec["ended"]))
        clock.now += given
        found = {"status": "ok", "error": None, "ended": {}, "environment": {}}
        if what == "memory":  # ended in the training step, when its time was over
            return {**found, "ended": {"train_step": "over-time"}, "error": "not done"}
        assert given >= 0.4 * seconds
        return {**found, "seconds": {"forward": 0.1, "prefill": 0.1, "decode": 0.1}}

    monkeypatch.setattr(measure, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(measure, "child", child)
    found = measure.measured({"ended": {}}, {"seconds": seconds, "memory": None})
    late = {"train_step": "over-time"}
    assert asked == [("memory", {}), ("times", late)]
    assert (found["status"], found["ended"], found["error"]) == ("ok", late, "not done")
    assert set(found["seconds"]) == {"forward", "prefill", "decode"}
    assert clock.now == 100.0 + seconds


def test_times_are_taken_of_what_has_not_ended(monkeypatch):
    def child(what, spec, seconds, limit):
        if what == "memory":
            ended = {"prefill": "out-of-memory"}
            return {
                "status": "ok",
                "error": "prefill: no",
                "ended": ended,
                "environment": {},
                "free": 7,
            }
        asked.append(spec["ended"])
        return {"status": "ok", "error": None, "ended": {}, "seconds": {"forward": 1.0}}

    asked = []
    monkeypatch.setattr(measure, "child", child)
    found = measure.measured({"ended": {}}, {"seconds": 100.0, "memory": None})
    ended = {"prefill": "out-of-memory", "decode": "out-of-memory"}
    assert asked == [ended]
    assert (found["status"], found["ended"], found["error"]) == ("ok", ended, "prefill: no")
    assert found["free"] == 7


@pytest.mark.parametrize(
    ("status", "said", "became", "words"),
    [
        (124, "", "over-time", "not done within 30 s"),
        (137, "", "out-of-memory", "killed"),
        (134, "terminate called after throwing an instance of 'std::bad_alloc'", "out-of-memory", "killed"),
        (139, "warning\nSegmentation fault", "failed", "killed by signal 11: Segmentation fault"),
        (1, "ModuleNotFoundError: No module named 'x'", "failed", "exit status 1: ModuleNotFoundError"),
    ],
)
def test_a_process_that_leaves_no_result_has_ended_somehow(status, said, became, words):
    found = measure.ended(status, said, "30 s")
    assert found["status"] == became
    assert found["error"].startswith(words)


def test_times_follow_memory_unless_nothing_was_done_in_that(monkeypatch):
    asked = []
    memory = {
        "status": "ok",
        "error": None,
        "ended": {},
        "memory": {"train_step": {}},
        "environment": {"kernels": {}},
    }

    def child(what, spec, seconds, limit):
        asked.append(what)
        if what == "memory":
            return {**memory, "status": spec["status"]}
        return {"status": "ok", "seconds": {}, "environment": {"load": 1.0}}

    monkeypatch.setattr(measure, "child", child)
    limits = {"seconds": 100.0, "memory": None}
    done = measure.measured({"status": "ok", "ended": {}}, limits)
    assert done == {**memory, "seconds": {}, "environment": {"kernels": {}, "load": 1.0}}
    assert asked == ["memory", "times"]
    slow = measure.measured({"status": "over-time", "ended": {}}, limits)
    assert slow == {**memory, "status": "over-time"}
    assert asked == ["memory", "times", "memory"]


def test_threads_are_pinned_in_every_library_whatever_the_user_set(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("GOMP_SPINCOUNT", "infinite")
    for what in ("memory", "times", "baseline"):
        found = measure.environment(what, 3)
        assert {found[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} == {"3"}
        assert found["GOMP_SPINCOUNT"].isdigit()


FAULTS = """
import resource, sys, torch
from harness.efficiency import heap
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(int(sys.argv[1]))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.ones(1)
print(*(pages() for _ in range(5)), heap.freed())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of GNU's C library")
@pytest.mark.parametrize(("what", "MiB", "kept"), [("times", 64, True), ("memory", 4, False)])
def test_a_process_that_is_timed_keeps_freed_pages_and_one_whose_memory_counts_none(
    monkeypatch, what, MiB, kept
):
    # What a user may train with.
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000000")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=-1")
    command = [sys.executable, "-c", FAULTS, str(MiB << 18)]
    env = measure.environment(what, 1)
    assert not any(name.startswith("MALLOC_") for name in env)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    counts, said = done.stdout.split(maxsplit=5)[:5], done.stdout.split(maxsplit=5)[5].strip()
    first, *others = map(int, counts)
    assert all((pages < first / 2) == kept for pages in others)
    assert said == ("kept" if kept else "given back")


def test_tunables_that_are_not_about_memory_reach_what_is_measured(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=2000:glibc.malloc.perturb=1")
    for what in ("times", "memory", "baseline"):
        found = measure.environment(what, 1)["GLIBC_TUNABLES"]
        assert found.startswith("glibc.rtld.optional_static_tls=2000")
        assert "perturb" not in found


@pytest.mark.parametrize(
    ("limit", "device", "free", "words"),
    [
        (200 * 10**6, "cpu", 10**10, "memory=200000000: a process holds 300 MB before it has a model"),
        (200 * 10**6, "cuda", 10**10, "memory=200000000: a process holds 300 MB"),
        (None, "cpu", 31 * 10**7, "memory=null: 310 MB are free, and a process holds 300 MB"),
        (None, "cuda", 31 * 10**7, "memory=null: 310 MB are free, and a process holds 300 MB"),
        (None, "cpu", 10**9, None),
        (None, "cuda", 10**9, None),
        (4 * 10**8, "cpu", 31 * 10**7, None),
        (None, "cpu", None, None),
    ],
)
def test_memory_that_no_process_could_do_with_is_refused(monkeypatch, limit, device, free, words):
    told = {"status": "ok", "bytes": 300 * 10**6, "free": free}
    monkeypatch.setattr(measure, "child", lambda what, *rest: told)
    monkeypatch.setattr(measure, "available", lambda: free if device == "cpu" else 0)
    if words is None:
        measure.check_memory(limit, device, 1)
    else:
        with pytest.raises(ConfigError, match=f"^{words}") as error:
            measure.check_memory(limit, device, 1)
        assert "\n" not in str(error.value)


def test_what_a_process_holds_is_asked_without_a_limit(monkeypatch):
    given = []

    class Process:
        returncode = 0

        def __init__(self, command, **_):
            given.append(json.loads(Path(command[-2]).read_text())["memory"])
            Path(command[-1]).write_text('{"status": "ok", "bytes": 5}')

        def wait(self):
            return self.returncode

        terminate = wait

    monkeypatch.setattr(measure.subprocess, "Popen", Process)
    monkeypatch.setattr(measure, "available", lambda: 4)  # less than it holds
    with pytest.raises(ConfigError, match=r"^memory=null: "):
        measure.check_memory(None, "cpu", 1)
    assert given == [None]
