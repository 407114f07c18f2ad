"""archs-compare as it is typed: two runs at a time in children of their own, stopped, and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from study_tools import RECALL, TINY, swept

from harness.searchpath import child_environment

pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
pytestmark = pytest.mark.slow

LONG = 300  # seconds after which a command counts as hanging
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def finished(words):
    """The command when it has ended; a TimeoutExpired where it never does."""
    return subprocess.run(words, env=child_environment(), capture_output=True, text=True, timeout=LONG)


@pytest.fixture
def command(tmp_path):
    """command(node, *typed): the words that run a study of one's own below tmp_path."""

    def words(node, *typed):
        folder = tmp_path / "conf" / "study"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mine.yaml").write_text(yaml.safe_dump(node, sort_keys=False))
        places = [f"results_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache", "trainer=cpu", "study=mine"]
        command = [sys.executable, "-m", "harness.commands", "compare", "--config-dir", f"{tmp_path}/conf"]
        return [*command, *places, *typed]

    return words


def test_two_at_a_time_stopped_by_ctrl_c_and_continued(command, tmp_path):
    words = command(swept(shared=TINY | {"budget.steps": 200}, test=True), *JOBLIB)
    first = subprocess.Popen(
        words, env=child_environment(), stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while first.poll() is None and not list(tmp_path.glob("runs/mine/sweep/*/run.json")):
            time.sleep(0.2)
        os.killpg(first.pid, signal.SIGINT)
        assert first.wait(LONG) == 130
    finally:
        first.kill()
    begun = [json.loads(path.read_text()) for path in tmp_path.glob("runs/mine/sweep/*/run.json")]
    assert {record["status"] for record in begun} <= {"interrupted", "running", "completed"}

    done = finished(words)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in tmp_path.glob("runs/mine/**/run.json")]
    assert [record["status"] for record in records] == ["completed"] * 3
    assert {record["environment"]["threads"] for record in records} == {
        max(1, len(os.sched_getaffinity(0)) // 2)
    }
    assert any(record["shared"] for record in records)
    assert len(list(tmp_path.glob("runs/mine/*/test.json"))) == 1
    assert (tmp_path / "runs" / "mine" / "report.html").exists()
    assert "3/3 gpt · recall" in done.stderr
    assert "completed: " not in done.stderr  # what children print stays with them


def test_seconds_are_not_spent_beside_other_runs(command, tmp_path):
    clocked = swept(shared=TINY | {"budget": "seconds", "budget.steps": None})
    del clocked["shared"]["budget.steps"]
    done = finished(command(clocked, *JOBLIB, "--dry-run"))
    assert done.returncode == 2
    assert "leave hydra/launcher out" in done.stderr
    assert "\n" not in done.stderr.strip()


def test_the_flag_says_what_would_be_done(command, tmp_path):
    tasks = {"recall": {"overrides": RECALL, "lr": 1e-3}}
    node = swept(tasks=tasks)
    del node["sweep"]
    done = finished(command(node, "--dry-run"))
    assert done.returncode == 0, done.stderr
    assert "nothing was started" in done.stderr
    assert not (tmp_path / "runs").exists()
