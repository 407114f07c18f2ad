"""The compiled kernels and the machine they run on: threads, processes, caches, memory."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from scans import inputs, with_gradients

from archs.kernels import scan_numba, selective_scan
from archs.kernels.compiled import BLOCK, SMALL, compiled, spread


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


LARGE = (4, 256, 130, 8)  # enough inner steps for the pool to be used


def test_any_number_of_threads_gives_the_same_bits(two_threads):
    many = with_gradients("numba", inputs(*LARGE))
    torch.set_num_threads(1)
    one = with_gradients("numba", inputs(*LARGE))
    assert all(torch.equal(a, b) for a, b in zip(many, one, strict=True))


def test_threads_may_scan_at_once(two_threads):
    expected = with_gradients("numba", inputs(*LARGE))
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: with_gradients("numba", inputs(*LARGE)), range(8)))
    assert all(torch.equal(a, b) for run in runs for a, b in zip(run, expected, strict=True))


def test_a_forked_process_scans_too(two_threads):
    """The pool's threads do not survive a fork: the child must start its own."""
    args = [t.detach() for t in inputs(*LARGE)]
    expected = selective_scan(*args, backend="numba")[0].numpy()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            found = selective_scan(*args, backend="numba")[0].numpy()
            code = 0 if (found == expected).all() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("slices", [1, 2, 9])
@pytest.mark.parametrize("steps", [1, SMALL, 2 * SMALL])
def test_work_is_spread_over_as_many_threads_as_torch_has(two_threads, threads, slices, steps):
    torch.set_num_threads(threads)
    ran = []

    def kernel(scratch, first, last):
        assert scratch.shape == (3, BLOCK)
        ran.append((first, last, threading.get_ident()))

    spread(kernel, slices, steps, 3)
    assert len(ran) == min(threads, slices, max(1, steps // SMALL))
    assert sorted(i for first, last, _ in ran for i in range(first, last)) == list(range(slices))
    if threads == 1:
        assert ran[0][2] == threading.get_ident()


def test_other_threads_run_while_a_kernel_does():
    """The output is seen half written, which nobody could see who waits for the interpreter's lock."""
    x, delta, A, B, C, D, h0 = (t.detach() for t in inputs(1, 30_000, 64, 16))
    inside = False
    for _ in range(20):  # the watcher may be given no processor for the while that a kernel takes
        y, h = torch.full_like(x, 7.0), torch.empty_like(h0)
        arguments = (
            x,
            delta,
            A,
            B,
            C,
            D,
            h0,
            y,
            h,
            torch.empty(1, 0, 16, BLOCK),
            torch.empty(2 * 16 + 3, BLOCK),
        )
        thread = threading.Thread(target=scan_numba._forward, args=(*(t.numpy() for t in arguments), 0, 1))
        begun, ended = y.numpy()[0, 0], y.numpy()[0, -1]
        thread.start()
        while thread.is_alive() and not inside:
            last = bool(np.any(ended != 7.0))  # read before the first: both as they were at one moment
            inside = bool(np.any(begun != 7.0)) and not last and bool(np.all(ended == 7.0))
        thread.join()
        if inside:
            return
    pytest.fail("the lock is held for as long as a kernel runs")


def test_compiles_where_nothing_can_be_cached():
    scope = {}
    exec("def double(x):\n    return 2 * x", scope)  # a function without a file: numba finds no place for it
    assert compiled(scope["double"])(21) == 42


COMPILE = """
import torch
from archs.kernels import causal_convolution
from archs.kernels.convolution_numba import _forward

causal_convolution(torch.ones(1, 5, 3), torch.ones(3, 2), torch.ones(3), backend="numba")
print(sum(_forward.stats.cache_misses.values()), sum(_forward.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_compiles_once_per_machine(tmp_path):
    """A second process loads from the disk what the first compiled."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    found = [
        subprocess.run(
            [sys.executable, "-c", COMPILE], capture_output=True, text=True, check=True, env=environment
        ).stdout.split()
        for _ in range(2)
    ]
    assert found == [["1", "0"], ["0", "1"]]


MEMORY = """
import json, tempfile, torch
from torch.profiler import ProfilerActivity, profile
from archs.kernels import selective_scan

def resident():  # the peak; getrusage's would begin at that of the parent process
    return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])

def scan(T, E=256, N=16):
    args = [torch.ones(1, T, E), torch.full((1, T, E), 0.1), -torch.ones(E, N), torch.ones(1, T, N),
            torch.ones(1, T, N), torch.ones(E), torch.ones(1, E, N)]
    args = [t.requires_grad_() for t in args]
    y, h = selective_scan(*args, backend="numba")
    dy = torch.ones_like(y)
    gradients = torch.autograd.grad(y, args, dy)
    return sum(t.nbytes for t in (*args, y, h, dy, *gradients))

def measured(T):
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        needed = scan(T)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        record.export_chrome_trace(file.name)
        events = json.load(open(file.name))["traceEvents"]
    return needed, max(event["args"]["Total Allocated"] for event in events if event["name"] == "[memory]")

measured(64)
before = resident()
needed, allocated = measured(16384)
print(needed, allocated, resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak from /proc")
def test_memory_is_little_more_than_inputs_outputs_and_gradients_and_all_of_it_tensors():
    """Peaks of forward and backward in a fresh process: torch's allocator's, and the system's."""
    process = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    needed, allocated, resident = map(int, process.stdout.split())
    assert allocated < 1.3 * needed
    assert abs(resident - allocated) < 0.03 * allocated
