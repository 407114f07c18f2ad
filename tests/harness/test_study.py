"""Studies: which runs they are made of, and what becomes of children that do not end well."""

import json
import signal

import pytest

from harness.study import complete, expand
from harness.supervise import settle, supervise

STUDY = {
    "name": "s",
    "archs": ["gpt", "mamba"],
    "seeds": [1, 2],
    "shared": {"size": "200k"},
    "tasks": {
        "language": {"overrides": {"task": "language"}, "lr": {"gpt": 1e-3, "mamba": [1e-3, 3e-3]}},
        "recall": {"overrides": {"task": "mqar"}, "lr": {"gpt": 1e-3, "mamba": 1e-3}},
    },
}


def test_a_study_is_every_architecture_on_every_task_seed_by_seed():
    jobs = list(expand(STUDY))
    assert len(jobs) == 2 * (3 + 2)
    assert ["seed=1" in job.overrides for job in jobs] == [True] * 5 + [False] * 5
    assert sum("arch=mamba" in job.overrides for job in jobs) == 6


def test_what_the_user_typed_comes_last_and_so_wins():
    jobs = list(expand(STUDY, ["size=1M"]))
    assert all(job.overrides[-1] == "size=1M" for job in jobs)


def test_an_architecture_without_a_rate_is_named():
    with pytest.raises(ValueError, match="bert"):
        list(expand(STUDY | {"archs": ["bert"]}))


def test_what_a_study_may_leave_out_is_nothing():
    bare = {**STUDY, "title": "S", "tasks": {"recall": {"lr": 1e-3}}}
    del bare["shared"]
    study = complete(bare)
    assert (study["bench"], study["test"], study["shared"]) == (None, False, {})
    assert len(list(expand(study))) == 4
    assert complete({**bare, "bench": {"lengths": [64]}})["bench"] == {"lengths": [64]}


def test_what_a_study_needs_is_named_where_it_is_left_out():
    with pytest.raises(ValueError, match=r"lacks study.title, study.seeds, study.tasks.recall.lr \("):
        complete({**STUDY, "seeds": None, "tasks": {"recall": {"overrides": {"task": "mqar"}}}})


def written(folder, **changes):
    folder.mkdir(exist_ok=True)
    known = {"version": 1, "identity": "i", "name": "n", "study": "s", "config": {}, "seed": 1}
    record = known | {"status": "running", "attempts": 1, "error": None} | changes
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def status(folder):
    return json.loads((folder / "run.json").read_text())


def test_a_killed_child_is_interrupted_once_and_failed_twice(tmp_path):
    run = written(tmp_path / "run")
    assert settle(run, -signal.SIGKILL, stuck=False, hang_after=60) == "interrupted"
    assert "SIGKILL" in status(run)["error"]
    run = written(tmp_path / "run", attempts=2)
    assert settle(run, -signal.SIGKILL, stuck=False, hang_after=60) == "failed"


def test_a_child_that_said_how_it_ended_is_believed(tmp_path):
    run = written(tmp_path / "run", status="diverged")
    assert settle(run, 3, stuck=False, hang_after=60) == "diverged"


def test_a_stuck_child_is_said_to_be_stuck(tmp_path):
    run = written(tmp_path / "run")
    settle(run, -signal.SIGKILL, stuck=True, hang_after=60)
    assert "no progress for 60 s" in status(run)["error"]


def test_a_run_in_a_child_process_completes_and_one_that_makes_no_progress_is_killed(tiny):
    assert supervise(tiny(), "one", hang_after=120) == "completed"
    assert supervise(tiny("seed=2"), "two", hang_after=0.01) in ("failed", "interrupted")
