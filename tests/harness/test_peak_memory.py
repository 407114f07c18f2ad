"""Peak memory: exact where the allocator tells, the system's own beside it, and never a parent's."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from harness.efficiency import launcher, memory
from harness.efficiency.memory import PeakMemory, available, field, watched

MB = 2**20
PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
START = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid())]


def test_the_allocators_count_is_exact():
    kept = torch.ones(MB)  # before the block: not counted
    with watched() as found:
        a = torch.empty(4 * MB)
        del a
        b = torch.empty(2 * MB)
        (b.view(2, MB) + kept).sum()  # as much again for its operand: as large as the first was
    assert 16 * MB <= found.peak < 16 * MB + 4096
    assert "aten::add" in found.operators
    with watched() as nothing:
        pass
    assert nothing.peak == 0


def test_without_a_profiler_there_is_no_count(monkeypatch):
    monkeypatch.setattr(torch.profiler, "kineto_available", lambda: False)
    with watched() as found:
        torch.empty(MB)
    assert (found.peak, found.operators) == (None, frozenset())


def test_the_systems_count_is_of_what_was_touched_since():
    big = torch.ones(64 * MB)
    del big  # a higher peak before
    peak = PeakMemory("cpu")
    assert peak.method == "VmHWM"
    touched = torch.ones(16 * MB)
    assert 0.9 * touched.nbytes < peak.bytes() < 1.5 * touched.nbytes


def test_without_proc_the_peak_is_of_the_processs_life(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "PROC", tmp_path / "none")
    peak = PeakMemory("cpu")
    assert peak.method == "ru_maxrss"
    assert peak.baseline > 0
    assert peak.bytes() == 0
    assert field("VmRSS") is None
    monkeypatch.setattr(memory, "CONTROL_ROOT", tmp_path / "none")
    assert available() is None


def test_what_is_available_is_the_least_that_the_system_or_a_control_group_leaves(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("100\n")
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CONTROL_ROOT", tmp_path)
    assert available() == 5000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    assert available() == 999_900


@pytest.mark.parametrize(
    ("limit", "used", "cached"),
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ],
)
def test_files_that_were_read_are_no_use_of_a_control_groups_memory(
    monkeypatch, tmp_path, limit, used, cached
):
    (tmp_path / "memory").mkdir()
    (tmp_path / limit).write_text("1000000\n")
    (tmp_path / used).write_text("900000\n")
    stat = (tmp_path / used).with_name("memory.stat")
    stat.write_text(f"anon 100000\nx{cached} 7\n{cached}_x 7\n{cached} 600000\nactive_file 9\n")
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CONTROL_ROOT", tmp_path)
    assert available() == 700_000


@pytest.mark.parametrize("tightest", range(3))
@pytest.mark.parametrize(("hierarchy", "own"), [("", "system.slice/job.scope"), ("memory", "slurm/job_2")])
def test_a_control_group_is_limited_by_all_that_it_lies_in(monkeypatch, tmp_path, hierarchy, own, tightest):
    (tmp_path / "self").mkdir()
    lines = ["9:cpu,cpuacct:/other", "4:memory:/slurm/job_2", "0::/system.slice/job.scope"]
    (tmp_path / "self/cgroup").write_text("\n".join(lines) + "\n")
    top = tmp_path / "groups" / hierarchy
    group, limit, used = top / own, *memory.CONTROL[hierarchy][:2]
    rooms = {group: 5_000, group.parent: 6_000, top: 7_000}
    rooms[[*rooms][tightest]] = 900
    for folder, room in {**rooms, top / "other": 1, group / "inner": 1}.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / limit).write_text(f"{room + 100}\n")
        (folder / used).write_text("100\n")
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CONTROL_ROOT", tmp_path / "groups")
    assert available() == 900
    (group / limit).write_text("max\n")
    assert available() == (6_000 if tightest == 0 else 900)


def test_a_child_of_the_launcher_does_not_inherit_this_processs_peak():
    ballast = torch.ones(64 * MB)  # 256 MB, so that this process is a fat parent
    assert ballast.nbytes > 200 * MB
    told = subprocess.run([*START, "60", sys.executable, "-c", PEAK], capture_output=True, check=True)
    assert int(told.stdout) * memory.UNIT < 100 * MB


@pytest.mark.parametrize(
    ("code", "status"), [("", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + 9)]
)
def test_the_launcher_ends_as_its_command_does(code, status):
    assert subprocess.run([*START, "60", sys.executable, "-c", code], check=False).returncode == status


def test_the_launcher_ends_a_command_with_its_time_or_its_starter():
    forever = [sys.executable, "-c", "import os; print(os.getpid(), flush=True); input()"]
    assert subprocess.run([*START, "0", *forever], stdin=subprocess.PIPE).returncode == launcher.OVER
    with subprocess.Popen(
        [*START, "600", *forever], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        command = int(started.stdout.readline())
        started.send_signal(signal.SIGTERM)
        assert started.wait() == 128 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            os.kill(command, 0)


def test_a_command_whose_starter_is_gone_ends():
    """A starter that is killed leaves nothing behind: its pipe closes when the last of them has ended."""
    forever = "import time\nwhile True: time.sleep(0.01)"
    starter = (
        "import os, subprocess, sys; subprocess.Popen([*sys.argv[1:5], str(os.getpid()), *sys.argv[5:]])"
    )
    command = [sys.executable, "-c", starter, *START[:-1], "600", sys.executable, "-c", forever]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0
