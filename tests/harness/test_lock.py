import json
import os
import subprocess
import sys
import threading

import pytest

from harness.lock import NAME, holder, run_lock

HOLD = """
import sys
from harness.lock import run_lock
with run_lock(sys.argv[1]) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


def another_process(folder):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "True\n"
    return child


def test_one_holds_and_all_others_wait_or_go(tmp_path):
    run = tmp_path / "study" / "run"
    with run_lock(run) as held:
        assert held
        assert holder(run)["pid"] == os.getpid()
        with run_lock(run, wait=0.05) as second:
            assert not second
        assert holder(run) is not None  # who did not get it does not release it
    assert holder(run) is None
    with pytest.raises(RuntimeError, match="work"), run_lock(run):
        raise RuntimeError("work")
    assert holder(run) is None


def test_a_living_process_keeps_its_lock_and_a_killed_one_loses_it(tmp_path):
    child = another_process(tmp_path)
    try:
        with run_lock(tmp_path) as held:
            assert not held
        child.kill()
        # Not waited for yet, so it is still in the process table: dead all the same.
        with run_lock(tmp_path, wait=10) as held:
            assert held
    finally:
        child.kill()
        child.communicate()


def test_waiting_ends_when_the_lock_is_released(tmp_path):
    child = another_process(tmp_path)
    threading.Timer(0.2, child.communicate).start()  # closes its input, so that it leaves
    with run_lock(tmp_path, wait=30) as held:
        assert held


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({}, False),
        ({"boot": "another boot"}, True),
        ({"start": "0"}, True),
        ({"pid": 2**22 + 1}, True),
        ({"host": "another host", "pid": 2**22 + 1}, False),
        ({"pid": None}, True),
    ],
)
def test_when_a_lock_is_stale(tmp_path, changes, stale):
    with run_lock(tmp_path):
        owner = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps(owner | changes))
    with run_lock(tmp_path) as held:
        assert held is stale


def test_of_many_that_find_a_stale_lock_one_gets_it(tmp_path):
    (tmp_path / NAME).write_text("torn")
    script = (
        "import sys, time; from harness.lock import run_lock\n"
        "with run_lock(sys.argv[1]) as held:\n    print(int(held), flush=True); sys.stdin.read()"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = [child.stdout.readline().strip() for child in children]
    for child in children:
        child.communicate()
    assert sorted(answers) == ["0", "0", "0", "1"]
