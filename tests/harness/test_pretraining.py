"""What a run starts from had a cost, which belongs beside its own."""

import pytest
from sample_records import write_run

from harness.report import plots
from harness.report.collect import collect
from harness.report.grouping import compare
from harness.report.remarks import cost_footer
from harness.report.tables import headline


def tuned_study(root, start):
    """gpt from scratch and from a pretrained run, for three seeds."""
    for seed in (1, 2, 3):
        first = write_run(
            root, "gpt", seed, "language", curves=False, tokens=5_000_000, flops=3e13,
            identity=f"{seed:012x}",
        )  # fmt: skip
        write_run(root, "gpt", seed, "mqar", curves=False, tokens=150_000, flops=1e12)
        write_run(
            root, "gpt", seed, "mqar", curves=False, tokens=150_000, flops=1e12,
            config__init_from=start(first), label="tuned", config__label="tuned",
        )  # fmt: skip
    return {each.task: each for each in compare(collect(root).records)}["mqar"]


@pytest.mark.parametrize(
    "start",
    [str, lambda folder: f"elsewhere/runs/{folder.name}"],
    ids=["where it is", "where it was, and is beside it now"],
)
def test_what_init_from_had_cost_is_told_and_drawn(tmp_path, start):
    table = tuned_study(tmp_path, start)
    (line,) = (line for line in cost_footer(table) if "init_from" in line)
    assert "had cost tuned before: tokens 5.00M, training FLOPs 3e+13" in line
    tuned = next(row for row in table.rows if row.label == "tuned")
    assert tuned.mean("tokens") == 150_000
    assert tuned.in_all("tokens") == 5_150_000
    (plot,) = (plot for plot in plots.plots(table, "mqar") if plot.name == "mqar-cost")
    assert "tokens, training FLOPs" in plot.caption, "in which the two would else be equal"
    assert "what the runs behind init_from had cost is counted" in plot.caption
    assert headline(table).key == "accuracy"


def test_what_was_before_what_was_before_counts_too(tmp_path):
    first = write_run(tmp_path, "gpt", task="language", curves=False, tokens=1_000_000)
    second = write_run(
        tmp_path, "gpt", 2, task="language", curves=False, tokens=200_000, config__init_from=str(first)
    )
    write_run(tmp_path, "gpt", task="mqar", curves=False, tokens=30_000, config__init_from=str(second))
    (row,) = {each.task: each for each in compare(collect(tmp_path).records)}["mqar"].rows
    assert row.in_all("tokens") == 1_230_000


def test_what_is_not_recorded_is_said_and_drawn_hollow(tmp_path):
    table = tuned_study(tmp_path, lambda folder: "hf:somewhere")
    assert "Not counted here, what init_from had cost tuned before: not known." in cost_footer(table)
    write_run(tmp_path, "mamba", task="mqar", curves=False, tokens=900_000)
    table = {each.task: each for each in compare(collect(tmp_path).records)}["mqar"]
    (plot,) = (plot for plot in plots.plots(table, "mqar") if plot.name == "mqar-cost")
    assert "hollow marks: without what init_from had cost, which is not recorded" in plot.caption
