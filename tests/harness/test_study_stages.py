"""The stages of a study: their order, what each may see, and going on after the worst."""

import json

import pytest
from study_tools import RECALL, TINY, bench, mine, swept

from harness.errors import ConfigError
from harness.evaluate import TEST
from harness.lock import run_lock
from harness.record import update_record
from harness.report.collect import collect

assert bench  # a fixture


def sweep_of(bench):
    return json.loads((bench.runs / "mine" / "sweep.json").read_text())


def test_the_sweep_chooses_on_validation_before_the_final_runs_and_the_test_comes_last(bench):
    seen = []
    bench.before = lambda config: seen.append(sorted(bench.runs.rglob(TEST)))
    both = {"gpt": ["arch=gpt"], "gpt rope": ["arch=gpt", "arch/position=rope"]}
    assert bench(swept(test=True, archs=both)) == 0
    assert [len(batch) for batch in bench.launched] == [4, 2]
    assert bench.reported == [bench.runs / "mine"]
    assert seen == [[]] * 6  # no test split was read while anything was trained
    told = sweep_of(bench)
    assert told["grid"] == [1e-3, 1e-2]
    assert len(told["trials"]) == 4
    for choice in told["chosen"]:
        own = [trial for trial in told["trials"] if trial["label"] == choice["label"]]
        best = max(own, key=lambda trial: (trial["value"], -trial["native_loss"]))
        assert choice["lr"] == best["lr"]
        assert choice["trials"] == 2
    chosen = {choice["label"]: choice["lr"] for choice in told["chosen"]}
    finals = bench.records()
    assert {(record["config"]["label"], record["lr"]) for record in finals.values()} == set(chosen.items())
    assert {record["seed"] for record in finals.values()} == {1}
    assert {path.parent.name for path in bench.runs.rglob(TEST)} == finals.keys()  # and never of a trial

    written = {path: path.read_bytes() for path in bench.runs.rglob("*.json")}
    assert bench(swept(test=True, archs=both)) == 0  # again: nothing is computed twice
    assert len(bench.launched) == 2
    assert {path: path.read_bytes() for path in written} == written


@pytest.mark.slow
def test_a_killed_study_goes_on_where_it_was(bench):
    def kill(config):
        if len(bench.records("sweep")) == 1:
            raise KeyboardInterrupt

    bench.before = kill
    with pytest.raises(KeyboardInterrupt):
        bench(swept())
    assert not (bench.runs / "mine" / "sweep.json").exists()
    bench.before = lambda config: None
    bench.launched.clear()
    assert bench(swept()) == 0
    assert [len(batch) for batch in bench.launched] == [1, 1]


@pytest.mark.slow
def test_a_run_whose_record_says_running_and_whose_lock_is_dead_is_gone_on_with(bench):
    """What a power cut leaves, or a kill of a run with all that watched it."""
    bench(mine())
    [folder] = (bench.runs / "mine").glob("*/")
    update_record(folder, status="running")
    with run_lock(folder):
        owner = json.loads((folder / "lock").read_text())
    (folder / "lock").write_text(json.dumps(owner | {"start": "another process of this number"}))
    assert bench(mine()) == 0
    [found] = bench.records().values()
    assert (found["status"], found["attempts"], found["failures"]) == ("completed", 2, 0)


@pytest.mark.slow
def test_a_rate_that_diverged_is_not_eligible(bench):
    node = swept(shared=TINY | {"optim.clip": None, "budget.steps": 12})
    assert bench(node | {"sweep": {"lr": [1e-3, 1e30], "seeds": [100]}}) == 0
    told = sweep_of(bench)
    assert [trial["status"] for trial in told["trials"]] == ["completed", "diverged"]
    assert told["trials"][1]["value"] is None
    assert told["chosen"][0]["lr"] == 1e-3


@pytest.mark.slow
def test_an_architecture_without_an_eligible_rate_has_no_final_runs(bench, capsys):
    node = swept(shared=TINY | {"optim.clip": None, "budget.steps": 12})
    assert bench(node | {"sweep": {"lr": [1e29, 1e30], "seeds": [100]}}) == 1
    assert sweep_of(bench)["chosen"][0]["lr"] is None
    assert bench.records() == {}
    assert "no rate of 1e+29, 1e+30 ended well" in capsys.readouterr().err


@pytest.mark.slow
def test_a_wider_grid_chooses_again_and_a_report_leaves_out_what_it_has_replaced(bench):
    bench(swept(sweep={"lr": [1e-6], "seeds": [100]}))
    [old] = bench.records()
    trials = set(bench.records("sweep"))
    bench.launched.clear()
    wider = {"lr": [1e-6, 1e-1], "seeds": [100]}
    assert bench(swept(shared=TINY | {"budget.steps": 4}, sweep=wider)) == 0
    assert [len(batch) for batch in bench.launched] == [1, 1]
    assert trials < set(bench.records("sweep"))
    assert sweep_of(bench)["chosen"][0]["lr"] == 1e-1
    found = collect(bench.runs / "mine")
    assert old in bench.records()  # nothing is deleted
    assert [run["lr"] for run in found.records] == [1e-1]
    assert found.problems == ["mine: 1 run at a rate that its sweep has left since (study.json names it)"]
    bench(swept(sweep={"lr": [1e-6], "seeds": [100]}))  # the first grid again, and nothing to compute
    assert [len(batch) for batch in bench.launched] == [1, 1]
    assert [run["lr"] for run in collect(bench.runs / "mine").records] == [1e-6]


@pytest.mark.slow
def test_a_task_that_starts_from_another_waits_for_it(bench):
    tuned = {"overrides": RECALL | {"task.pairs": 4}, "lr": 1e-3, "init_from": "recall"}
    node = mine(seeds=[1, 2], tasks={"tuned": tuned, "recall": {"overrides": RECALL, "lr": 1e-2}})
    assert bench(node) == 0
    assert [len(batch) for batch in bench.launched] == [2, 2]
    records = list(bench.records().values())
    starts = {record["name"]: record["seed"] for record in records if record["config"]["init_from"] is None}
    tuned = [record for record in records if record["config"]["init_from"] is not None]
    assert len(tuned) == 2
    for record in tuned:
        assert starts[record["config"]["init_from"].rsplit("/", 1)[-1]] == record["seed"]
        assert record["config"]["label"] == "gpt from recall"


@pytest.mark.slow
def test_what_would_start_from_a_run_that_came_to_a_bad_end_is_left_out(bench):
    tuned = {"overrides": RECALL, "lr": 1e-3, "init_from": "recall"}
    node = mine(
        shared=TINY | {"optim.clip": None, "budget.steps": 12},
        tasks={"recall": {"overrides": RECALL, "lr": 1e30}, "tuned": tuned},
        test=True,
    )
    assert bench(node) == 1
    assert [record["status"] for record in bench.records().values()] == ["diverged"]


@pytest.mark.slow
def test_the_test_split_waits_for_the_last_run(bench, capsys):
    bench(mine())
    [folder] = (bench.runs / "mine").glob("*/")
    update_record(folder, status="interrupted")

    def kill(config):
        raise KeyboardInterrupt

    bench.before = kill
    with pytest.raises(KeyboardInterrupt):
        bench(mine(seeds=[1, 2], test=True))
    assert not list(bench.runs.rglob(TEST))
    bench.before = lambda config: None
    assert bench(mine(seeds=[1, 2], test=True)) == 0
    assert len(list(bench.runs.rglob(TEST))) == 2


def test_a_run_whose_weights_are_damaged_keeps_no_other_from_the_test_split(bench, capsys):
    bench(mine(seeds=[1, 2]))
    damaged, whole = sorted((bench.runs / "mine").glob("*/"))
    (damaged / "model.safetensors").write_bytes(b"no weights")
    capsys.readouterr()
    assert bench(mine(seeds=[1, 2], test=True)) == 1
    assert list(bench.runs.rglob(TEST)) == [whole / TEST]
    [said] = [line for line in capsys.readouterr().err.splitlines() if "not judged" in line]
    assert said.startswith(f"{damaged}: not judged on the test split: SafetensorError: ")


def test_a_scale_has_a_folder_of_its_own(bench):
    node = mine(scales={"longer": {"shared": {"budget.steps": 6}}})
    assert bench(node, "scale=longer") == 0
    [record] = bench.runs.glob("mine-longer/*/run.json")
    assert json.loads(record.read_text())["steps"] == 6
    assert not (bench.runs / "mine").exists()


@pytest.mark.parametrize("name", ["../../x", "mine/sweep", "/elsewhere/x"])
def test_a_study_stays_in_its_results_folder(bench, name, capsys):
    with pytest.raises((ConfigError, SystemExit)) as refused:
        bench(mine(), f"study_name={name}")
    said = capsys.readouterr().err.strip() or str(refused.value)
    assert said.endswith("which is that of a study's trials")
    assert f"study_name={name}: study_name takes the name of a folder" in said
    assert not bench.runs.exists()


def test_a_dry_run_starts_and_writes_nothing(bench, capsys):
    assert bench(swept(test=True), "dry_run=true") == 0
    assert bench.launched == []
    assert not bench.runs.exists()
    assert bench.timed == 1  # rates and seeds make no difference to the speed
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("sweep", "final", "test", "all", "nothing was started"))
    bench(swept(), "dry_run=true")
    assert bench.timed == 1  # the cache knows it


def test_runs_that_nothing_sets_apart_are_refused(bench, capsys):
    twins = {"gpt": ["arch=gpt"], "gpt learned": ["arch=gpt", "arch/position=learned"]}
    with pytest.raises(SystemExit):
        bench(mine(archs=twins))
    said = capsys.readouterr().err.strip()
    assert "are the same run" in said
    assert "\n" not in said
    assert not bench.runs.exists()


def test_what_cannot_start_from_a_task_is_refused_before_that_is_trained(bench, capsys):
    longer = {"task.length": 24, "arch.position.max_len": 64}
    tuned = {"overrides": RECALL | longer, "lr": 1e-3, "init_from": "recall"}
    tasks = {"recall": {"overrides": RECALL | {"arch.position.max_len": 16}, "lr": 1e-3}, "tuned": tuned}
    with pytest.raises(SystemExit):
        bench(mine(tasks=tasks))
    said = capsys.readouterr().err.strip()
    assert said.startswith("study, gpt · tuned: init_from=recall does not fit: ")
    assert "a position table of 16, and this task needs 24" in said
    assert "\n" not in said
    assert not bench.runs.exists()


def test_an_override_that_does_not_compose_is_refused_before_any_work(bench, capsys):
    tasks = {
        "recall": {"overrides": RECALL, "lr": 1e-3},
        "other": {"overrides": RECALL | {"task.pear": 1}, "lr": 1},
    }
    with pytest.raises(SystemExit):
        bench(mine(tasks=tasks))
    said = capsys.readouterr().err.strip()
    assert said.startswith("study, gpt · other: ")
    assert "nearest: task.pairs" in said
    assert not bench.runs.exists()
