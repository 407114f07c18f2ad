"""What a study will take, before it starts: runs, the test split and the bench."""

import csv

import pytest
from bench_tools import finished
from omegaconf import OmegaConf
from study_tools import RECALL, bench, job, mine

from harness.efficiency import measure as measuring
from harness.evaluate import TEST
from harness.plan import plan
from harness.study.estimate import Cost, cost, duration, lines, rounded
from harness.study.speed import Speed, asked, measure, shape

assert bench  # a fixture

MQAR = [f"{key}={value}" for key, value in RECALL.items()]
LENGTHS = {"lengths": [16, 32], "size": None, "vocab_size": 120, "tokens_per_batch": 64, "modes": ["tokens"]}


def test_an_estimate_adds_up_what_is_left_and_shares_it_among_the_runs_at_once():
    jobs = [job("sweep"), *(job(seed=seed) for seed in (1, 2, 3))]
    costs = {each.shape: Cost(1e6, 1e12, 100.0, 10.0) for each in jobs}
    todo, untested = [False, False, True, True], [False, True, True, True]
    found = lines(jobs, todo, untested, costs, at_once=2)
    assert [(line.stage, line.runs, line.todo, line.seconds) for line in found] == [
        ("sweep", 1, 0, 0.0),
        ("final", 3, 2, 100.0),
        ("test", 3, 3, 15.0),
    ]
    assert [line.tokens for line in found] == [0, 2e6, 0]


def test_amounts_are_readable():
    assert [duration(seconds) for seconds in (40, 720, 7200)] == ["40 s", "12 min", "2.0 h"]
    assert [rounded(count) for count in (614_123, 12_345_678, 999, 0)] == ["610k", "12M", "1k", "0"]


def test_runs_that_differ_in_rate_seed_and_budget_alone_are_equally_fast(tiny):
    def of(*overrides):
        return shape(OmegaConf.to_container(tiny(*overrides), resolve=True), 1, "machine")

    assert len({of(), of("seed=2"), of("optim.lr=0.1"), of("budget.steps=9"), of("label=x")}) == 1
    assert len({of(), of("batch_size=8"), of("arch.dim=32"), of("arch/mlp=swiglu")}) == 4


def test_a_few_steps_are_timed_with_the_runs_own_data(tiny, tmp_path):
    speed = measure(tiny("budget.steps=1000"), tmp_path / "sample")
    assert speed.tokens_per_second > 0
    assert speed.full > 0
    assert speed.around == pytest.approx(speed.full + 2 * speed.full / 2)  # of four windows, and twice of two
    assert not (tmp_path / "runs").exists()


def judging(config):
    """Seconds that the test split takes, where a validation takes one."""
    return cost(plan(config), Speed(1000.0, 1.0, 1.0), test=True).test_seconds


def test_the_test_split_takes_as_much_longer_than_validation_as_it_is_larger(tiny):
    assert judging(tiny(*MQAR, text=False)) == 1.0
    assert judging(tiny(*MQAR, "task.test_examples=48", text=False)) == 3.0
    assert judging(tiny()) == 1.0
    unread = cost(plan(tiny()), Speed(1000.0, 1.0, 1.0), test=False)
    assert unread.test_seconds == 0.0


def test_a_task_that_names_no_size_is_as_large_as_its_files(tiny, tmp_path):
    for name, count in (("train", 60), ("validation", 40), ("test", 200)):
        with open(tmp_path / f"{name}.csv", "w", newline="") as file:
            rows = [(f"{name[:4]} {i:03d} text", "ab"[i % 2]) for i in range(count)]
            csv.writer(file).writerows([("text", "label"), *rows])
    files = [f"task.files={tmp_path}/train.csv", f"task.validation_files={tmp_path}/validation.csv"]
    files += [f"task.test_files={tmp_path}/test.csv", "task.quick_examples=10", "tokenizer=bytes"]
    config = tiny("task=classification", *files, text=False)
    planned = plan(config)
    assert asked(planned, "validation") == 4 * asked(planned, "validation", quick=True)
    assert judging(config) == pytest.approx(5.0, rel=0.05)


def test_what_is_asked_beyond_the_trained_length_counts_by_its_length(tiny):
    def passes(*overrides, **kind):
        planned = plan(tiny(*overrides, **kind))
        return asked(planned, "validation") / asked(planned, "validation", quick=True)

    further = passes(*MQAR, "arch/position=rope", "task.vocab=64", "task.beyond=[[32, 2]]", text=False)
    assert passes(*MQAR, text=False) == 2.0
    assert 5.0 < further < 6.0  # as many examples, twice as long
    ends = ["arch.position.max_len=20", "task.vocab=64", "task.beyond=[[32, 2]]"]
    assert passes(*MQAR, *ends, text=False) == 2.0  # it cannot be asked
    assert passes() == 2.0
    assert (
        passes("arch/position=rope", "task.beyond=[3]", "task.beyond_windows=6") == 2.0 + 6 * (1 + 3) / 2 / 2
    )


def row_of(stage, said):
    """The row of the printed estimate, its columns parted by a blank."""
    [row] = [words for line in said.splitlines() if (words := line.split())[:1] == [stage]]
    return " ".join(row)


def test_a_study_killed_before_the_test_split_has_that_left(bench, capsys):
    assert bench(mine(seeds=[1, 2])) == 0
    timed = bench.timed
    assert bench(mine(seeds=[1, 2], test=True), "dry_run=true") == 0
    said = capsys.readouterr().err
    assert row_of("test", said).startswith("test all 2 2 – – ")
    assert "nothing was started" in said
    assert bench.timed == timed
    assert not list(bench.runs.rglob(TEST))
    assert bench(mine(seeds=[1, 2], test=True)) == 0
    capsys.readouterr()
    assert bench(mine(seeds=[1, 2], test=True), "dry_run=true") == 0
    assert "nothing is left to do" in capsys.readouterr().err


def test_a_bench_is_part_of_the_estimate_until_its_points_are_there(bench, capsys, monkeypatch):
    measured = []
    monkeypatch.setattr(measuring, "check_memory", lambda *_: None)
    monkeypatch.setattr(measuring, "measured", lambda spec, limits: measured.append(spec) or finished())
    node = mine(bench={**LENGTHS, "threads": 1, "device": "cpu"})
    assert bench(node, "dry_run=true") == 0
    said = capsys.readouterr().err
    assert row_of("bench", said).startswith("bench points 2 2 – – ~ ")
    assert "rough" in said
    assert measured == []
    assert bench(node) == 0
    capsys.readouterr()
    assert bench(node, "dry_run=true") == 0
    assert "nothing is left to do" in capsys.readouterr().err
    assert bench({**node, "bench": {**node["bench"], "lengths": [16, 32, 64]}}, "dry_run=true") == 0
    said = capsys.readouterr().err
    assert row_of("bench", said).startswith("bench points 3 1 ")
    assert "nothing was started" in said
    assert len(measured) == 2
