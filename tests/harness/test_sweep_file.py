"""sweep.json when a study is run in parts: what was chosen for others stays, what is chosen anew does not."""

import json

import pytest

from harness.record import DamagedRecord
from harness.report.sweep import read_sweep
from harness.study.selection import Choice, Trial, write


def write_chosen(folder, label, *points, grid=(1e-3, 1e-2), best=1e-2):
    """What a command writes that chose `best` for one architecture, at each of these points of its axes."""
    trials = [
        Trial(label, "recall", {**point, "seen": [1, 2]}, lr, 100, "completed", "accuracy", 0.5, "x")
        for point in points
        for lr in grid
    ]
    chosen = [Choice(label, "recall", point, best, False, len(grid)) for point in points]
    write(folder, grid, trials, chosen)


def told(folder):
    """{(label, axes of the choice): (rate, trials)} as the file says, and the number of trials in it."""
    content = json.loads((folder / "sweep.json").read_text())
    chosen = {
        (choice["label"], *choice["axes"].values()): (choice["lr"], choice["trials"])
        for choice in content["chosen"]
    }
    assert len(content["trials"]) == sum(trials for _, trials in chosen.values())
    return chosen


def test_an_architecture_that_is_added_leaves_the_others_in_place(tmp_path):
    write_chosen(tmp_path, "gpt", {"dim": 16}, {"dim": 32})
    write_chosen(tmp_path, "mamba", {"dim": 16}, best=1e-3)
    chosen = {("gpt", 16): (1e-2, 2), ("gpt", 32): (1e-2, 2), ("mamba", 16): (1e-3, 2)}
    assert told(tmp_path) == chosen
    write_chosen(tmp_path, "mamba", {"dim": 32}, grid=(1e-3, 3e-3, 1e-2))
    assert told(tmp_path) == chosen | {("mamba", 32): (1e-2, 3)}
    sweep = read_sweep(tmp_path)
    assert sweep.grid == (1e-3, 3e-3, 1e-2)
    assert sweep.trials_of("gpt", "recall") == [2, 2]


def test_what_is_chosen_anew_is_replaced(tmp_path):
    write_chosen(tmp_path, "gpt", {"dim": 16}, {"dim": 32})
    write_chosen(tmp_path, "gpt", {"dim": 32}, grid=(3e-3,), best=3e-3)
    assert told(tmp_path) == {("gpt", 16): (1e-2, 2), ("gpt", 32): (3e-3, 1)}
    write_chosen(tmp_path, "gpt", {}, grid=(3e-3,), best=3e-3)  # once for all widths
    assert told(tmp_path) == {("gpt",): (3e-3, 1)}
    assert read_sweep(tmp_path).grid == (3e-3,)


@pytest.mark.parametrize("content", ["[]", "{", '{"grid": [], "trials": []}'])
def test_a_damaged_file_is_named_and_left_alone(tmp_path, content):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(DamagedRecord, match=r"^\S*sweep.json: "):
        write_chosen(tmp_path, "gpt", {})
    assert (tmp_path / "sweep.json").read_text() == content
