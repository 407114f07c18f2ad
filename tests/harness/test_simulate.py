"""The whole pipeline names a winner among equal architectures in at most 5% of tables, and a better one."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from harness.statistics import naming, simulate
from harness.statistics.verdict import verdict
from harness.statistics.worlds import World, classification, recall, study


@pytest.mark.parametrize("world", [naming.EQUAL[2], naming.EQUAL[6]], ids=lambda world: world.name)
@pytest.mark.parametrize("seeds", naming.SEEDS)
def test_equal_architectures_rarely_have_a_winner(world, seeds):
    everywhere, alone = naming.named(world, seeds, 60, np.random.default_rng(seeds))
    assert everywhere <= 0.05
    assert everywhere <= alone


def test_without_the_test_sets_error_they_often_would():
    alone = naming.named(naming.EQUAL[7], 10, 20, np.random.default_rng(0))[1]
    assert alone > 0.5


def test_a_better_architecture_is_named():
    world = World("better", ahead=8.0, suits=0.25)
    for _ in range(5):
        table = study(world, 5, np.random.default_rng(1))
        assert table.verdicts["continuation_bpb"].winners == ("architecture 1",)


def test_a_sweep_that_says_nothing_chooses_any_rate():
    world = World("no cost", rates=(0.0, 0.0, 0.0), spread=1e-9, documents=10)
    table = study(replace(world, ahead=0.0), 3, np.random.default_rng(0))
    assert "ahead of" in table.verdicts["continuation_bpb"].reason


def test_equal_runs_that_solve_or_do_not_have_no_winner():
    rng = np.random.default_rng(0)
    made = [recall(4, 5, 0.5, rng) for _ in range(60)]
    assert sum(bool(table.verdicts["accuracy"].winners) for table in made) <= 3
    assert made[0].solved_from == 0.99


def test_equal_classifiers_have_no_winner_where_over_seeds_alone_they_often_would():
    rng = np.random.default_rng(0)
    made = [classification(3.0, 10, rng) for _ in range(40)]
    (f1,) = (metric for metric in made[0].metrics if metric.key == "macro_f1")
    alone = [verdict({row.label: row.values("macro_f1") for row in table.rows}, f1) for table in made]
    assert sum(bool(each.winners) for each in alone) > 8
    named = [bool(table.verdicts[key].winners) for table in made for key in ("accuracy", "macro_f1")]
    assert sum(named) <= 2


def test_the_report_fills_every_table(monkeypatch, tmp_path):
    for name in (
        "seed_intervals",
        "false_winners",
        "power",
        "other_test_sets",
        "false_solvers",
        "false_classifiers",
        "ranks",
        "scaling",
    ):
        monkeypatch.setattr(simulate, name, lambda rng, name=name: [[name, *"12345"]])
    monkeypatch.setattr(simulate, "solved_or_not", lambda rng: [["solved", *"12345"]])
    monkeypatch.setattr(sys, "argv", ["simulate", "--out", str(tmp_path)])
    simulate.main()
    assert (tmp_path / "command.txt").read_text() == f"{simulate.COMMAND}\n"
    text = (tmp_path / "report.md").read_text()
    assert text.count("| 1 |") or text.count("1 |") >= 9
    assert simulate.COMMAND in text.split("##")[0]
