"""What a study is made of: choosing rates, children, and who shares the machine."""

import json
import signal
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_tools import RECALL, written

from harness import neighbours, train
from harness.lock import run_lock
from harness.neighbours import present
from harness.plan import plan
from harness.record import read_record, update_record
from harness.study.selection import Trial, choose, said
from harness.supervise import settle, supervise

KEY = ("gpt", "recall", ())
GRID = [1e-3, 3e-3, 1e-2]
MQAR = [f"{key}={value}" for key, value in RECALL.items()]


def trial(lr, value, seed=100, status="completed", native_loss=None):
    return Trial("gpt", "recall", {}, lr, seed, status, "accuracy", value, f"{lr}-{seed}", native_loss)


def test_the_best_mean_over_tuning_seeds_is_chosen_in_either_direction():
    values = {1e-3: [0.2, 0.6], 3e-3: [0.5, 0.5], 1e-2: [0.9, 0.0]}
    trials = [trial(lr, v, seed) for lr, of in values.items() for seed, v in enumerate(of)]
    best, least = (choose(trials, KEY, GRID, up) for up in (True, False))
    assert (best.lr, best.edge, best.trials) == (3e-3, False, 6)
    assert least.lr == 1e-3
    assert said(best, GRID) == ""
    assert "smallest of the grid" in said(least, GRID)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(0, 2))
def test_a_rate_with_a_seed_that_did_not_end_well_is_never_chosen(values, bad):
    trials = [trial(lr, value) for lr, value in zip(GRID, values, strict=True)]
    trials.append(trial(GRID[bad], None, seed=101, status="diverged"))
    choice = choose(trials, KEY, GRID, True)
    assert choice.lr in set(GRID) - {GRID[bad]}
    assert choice.trials == 4


def test_rates_that_are_equally_good_are_parted_by_the_loss_and_then_by_size():
    assert choose([trial(lr, 1.0) for lr in GRID], KEY, GRID, True).lr == 1e-3
    losses = [0.3, 0.1, 0.2]
    trials = [trial(lr, 1.0, native_loss=loss) for lr, loss in zip(GRID, losses, strict=True)]
    assert choose(trials, KEY, GRID, True).lr == 3e-3


def test_a_killed_child_is_interrupted_once_and_failed_twice(tmp_path):
    run = written(tmp_path / "run")
    assert settle(run, -signal.SIGKILL, stuck=False, hang_after=60) == "interrupted"
    assert "SIGKILL" in read_record(run)["error"]
    written(run, attempts=2, failures=read_record(run)["failures"])
    assert settle(run, -signal.SIGKILL, stuck=False, hang_after=60) == "failed"


def test_being_stopped_by_the_user_is_no_failure(tmp_path):
    run = written(tmp_path / "run", attempts=5)
    assert settle(run, -signal.SIGKILL, stuck=False, hang_after=60) == "interrupted"


def test_a_child_that_said_how_it_ended_is_believed(tmp_path):
    run = written(tmp_path / "run", status="diverged")
    assert settle(run, 3, stuck=False, hang_after=60) == "diverged"


def test_a_stuck_child_is_said_to_be_stuck(tmp_path):
    run = written(tmp_path / "run")
    settle(run, -signal.SIGKILL, stuck=True, hang_after=60)
    assert "no progress for 60 s" in read_record(run)["error"]


def test_others_at_work_on_the_machine_are_seen(tmp_path):
    with present(tmp_path) as alone:
        pass
    assert not alone.shared
    with run_lock(tmp_path / "another"), present(tmp_path) as watch:
        pass
    assert watch.shared
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / "lock").write_text(json.dumps({"host": "?", "pid": 1, "boot": None}))
    with present(tmp_path) as far:
        assert far.most == 1  # another host's lock is never stale


def test_one_who_is_gone_leaves_nothing_behind(tmp_path):
    with present(tmp_path), present(tmp_path) as twice:
        assert not twice.shared  # this very process
    assert list(tmp_path.iterdir()) == []


def test_timings_taken_beside_other_runs_are_marked_in_every_later_attempt(tiny, tmp_path, monkeypatch):
    place = tmp_path / "at-work"
    monkeypatch.setattr(neighbours, "registry", lambda: place)
    planned = plan(tiny(*MQAR, text=False))
    with run_lock(place / "another"):
        assert train.run(tiny(*MQAR, text=False)) == 0
    assert read_record(planned.folder)["shared"]
    update_record(planned.folder, status="interrupted")
    assert train.run(tiny(*MQAR, text=False)) == 0
    assert read_record(planned.folder)["shared"]
    other = plan(tiny(*MQAR, "seed=2", text=False))
    assert train.run(tiny(*MQAR, "seed=2", text=False)) == 0
    assert not read_record(other.folder)["shared"]


def test_a_run_that_another_process_has_ended_meanwhile_is_not_run_again(tiny, monkeypatch):
    config = tiny(*MQAR, text=False)
    folder = plan(config).folder

    @contextmanager
    def late(run_dir):
        """The lock is had only when the other one has finished."""
        with monkeypatch.context() as inside:
            inside.setattr(train, "run_lock", run_lock)
            assert train.run(config) == 0
        yield True

    monkeypatch.setattr(train, "run_lock", late)
    assert train.run(config) == 0
    assert read_record(folder)["attempts"] == 1


@pytest.mark.slow
def test_a_run_in_a_child_process_completes_and_one_that_makes_no_progress_is_killed(tiny):
    """In a thread that is not the main one too, which may not say what signals do."""
    found = []
    thread = threading.Thread(target=lambda: found.append(supervise(tiny(), "one", hang_after=120)))
    thread.start()
    thread.join()
    assert found[0].status == "completed"
    assert supervise(tiny("seed=2"), "two", hang_after=0.01).status in ("failed", "interrupted")


@pytest.mark.slow
def test_a_child_that_is_refused_says_why(tiny):
    ended = supervise(tiny("batch_size=4", "budget=tokens", "budget.tokens=10"), "small", hang_after=120)
    assert ended.status == "failed"
    assert "less than one step" in ended.said
