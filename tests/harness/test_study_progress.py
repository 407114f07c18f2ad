"""What a study shows on its way: the runs at work, and where the whole of it stands."""

import time
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from study_tools import job, written

from harness.lock import run_lock
from harness.study.estimate import Line
from harness.study.progress import Progress, Rest, Standing, Watched


class Planned:
    """As much of a plan as the display looks at."""

    steps = 100

    def __init__(self, folder):
        self.folder, self.task = folder, type("Task", (), {"primary": "accuracy"})


def test_the_display_follows_what_the_runs_write_down(tmp_path):
    runs = [Watched(job(seed=i), Planned(tmp_path / str(i)), 10.0) for i in range(3)]
    console = Console(width=100, force_terminal=False, record=True)
    rest = Rest(Counter(completed=4, diverged=1), waiting=2, before=5.0, after=600.0)
    display = Progress("final", runs, rest, 1, console)
    with run_lock(written(tmp_path / "0")):
        (tmp_path / "0" / "metrics.jsonl").write_text(
            '{"kind": "validation", "step": 25, "seconds": 1, "accuracy": 0.5}\n{"kind": "tra'
        )
        written(tmp_path / "1", status="completed", validation={"accuracy": 0.9})
        display.started = time.monotonic() - 12.5  # as fast as estimated
        display.look()
        console.print(display)
    text = console.export_text()
    assert "6/10 gpt · recall · dim 32 · lr 0.001 · seed 1: completed, accuracy 0.900" in text
    assert "final, 6 of all 10 runs: 5 done · 1 running · 1 diverged · " in text
    assert "· 10 min left" in text  # what comes after these runs is in it
    assert "25% accuracy 0.500" in text
    written(tmp_path / "0", status="failed", error="killed by SIGKILL")
    display.look()
    assert "seed 0: failed: killed by SIGKILL" in console.export_text()
    console.print(display)
    assert "final, 7 of all 10 runs: 5 done · 0 running · 1 diverged · 1 failed · " in console.export_text()


def test_a_run_from_before_has_not_ended_until_it_is_tried_again(tmp_path):
    written(tmp_path / "run", status="interrupted")
    run = Watched(job(), Planned(tmp_path / "run"), 10.0)
    assert not run.look()
    written(tmp_path / "run", status="completed", attempts=2, validation={})
    assert run.look()
    assert not run.look()


SECONDS = st.floats(0.1, 100)


@given(st.lists(st.tuples(st.integers(1, 9), SECONDS), min_size=1, max_size=5), SECONDS, SECONDS)
def test_a_level_that_is_reached_is_no_longer_ahead(levels, test, bench):
    """Whatever the levels are: runs are counted once, and seconds are behind or ahead."""
    lines = [Line("final", str(i), runs, runs, 0, 0, s) for i, (runs, s) in enumerate(levels)]
    others = [Line("test", "all", 9, 9, 0, 0, test), Line("bench", "points", 99, 99, 0, 0, bench, rough=True)]
    standing, all_runs = Standing([*lines, *others], {}), sum(runs for runs, _ in levels)
    left = sum(line.seconds for line in [*lines, *others])
    for line in lines:
        rest = standing.reach("final", [line.task], [])
        assert rest.ended.total() + line.runs + rest.waiting == all_runs
        assert abs(rest.before + line.seconds + rest.after - left) < 1e-6
        standing.past(["completed"] * (line.runs - 1) + ["failed"], line.seconds)
    assert standing.reach("none", [], []).ended == Counter(completed=all_runs - len(lines), failed=len(lines))


def test_results_of_before_count_by_how_they_ended():
    lines = [Line("sweep", "recall", 4, 1, 0, 0, 10.0), Line("final", "recall", 3, 1, 0, 0, 20.0)]
    results = {("sweep", "recall"): Counter(completed=3), ("final", "recall"): Counter(diverged=2)}
    rest = Standing(lines, results).reach("sweep", ["recall"], ["completed"] * 3)
    assert rest == Rest(Counter(completed=3, diverged=2), waiting=1, before=0.0, after=20.0)
