"""An architecture for which no rate was eligible stands in its tables all the same, and nobody beats it."""

import json

import pytest
from sample_records import write_run

from harness import report
from harness.report.collect import collect
from harness.report.grouping import compare
from harness.report.pivot import pivot
from harness.report.remarks import footer
from harness.report.selection import Selection, chosen
from harness.report.tables import cost, quality

RATES = (1e-3, 3e-3)


def write_swept(root, archs, lost, *, budgets=("2M",), at="2M", **changes):
    """A study whose rates were swept at one of its budgets; the trials of `lost` all diverged."""
    trials, choices = [], []
    for arch in archs:
        for lr in RATES:
            status = "diverged" if arch in lost else "completed"
            folder = write_run(
                root / "sweep", arch, 100, "mqar", status=status, curves=False, lr=lr,
                config__budget={"kind": "tokens", "tokens": at}, **changes,
            )  # fmt: skip
            told = json.loads((folder / "run.json").read_text())
            trials.append(
                {"label": arch, "task": "recall", "axes": {"budget.tokens": at}, "lr": lr, "seed": 100,
                 "primary": "accuracy", "status": status, "value": told["validation"].get("accuracy"),
                 "identity": told["identity"]}
            )  # fmt: skip
        rate = None if arch in lost else 3e-3
        choices.append(
            {"label": arch, "task": "recall", "axes": {}, "lr": rate, "edge": False, "trials": len(RATES)}
        )
        for budget in budgets if rate else ():
            for seed in (1, 2, 3):
                write_run(
                    root, arch, seed, "mqar", curves=True, lr=rate,
                    config__budget={"kind": "tokens", "tokens": budget}, **changes,
                )  # fmt: skip
    (root / "sweep.json").write_text(json.dumps({"grid": RATES, "trials": trials, "chosen": choices}))


def test_it_is_a_row_without_numbers_and_nobody_wins(tmp_path):
    write_swept(tmp_path, ("gpt", "mamba", "t5"), lost=())
    (table,) = compare(collect(tmp_path).records)
    assert table.verdicts["accuracy"].winners == ("gpt",)
    lost = tmp_path / "lost"
    write_swept(lost, ("gpt", "mamba", "t5"), lost=("t5",))
    (table,) = compare(collect(lost).records)
    assert [row.label for row in table.rows] == ["gpt", "mamba", "t5"]
    assert table.verdicts["accuracy"].winners == ()
    assert table.verdicts["accuracy"].reason == "no winner named: t5 has no eligible rate"
    assert table.rows[2].count == "no eligible rate"
    assert footer(table).count("t5: no eligible rate: 0 of 2 trials ended well.") == 1
    told = {cell.text for cell in quality(table).rows[2]}
    assert {"no eligible rate", "0 of 2 trials ended well"} <= told
    took = dict(zip([c.heading for c in cost(table).columns], cost(table).rows[2], strict=True))
    assert took["parameters, non-embedding"].text == "1.00M"
    assert took["training, s"].text == took["learning rate"].text == "-"


def test_it_stands_in_every_table_of_its_study_wherever_rates_were_chosen(tmp_path):
    write_swept(tmp_path, ("gpt", "t5"), lost=("t5",), budgets=("2M", "4M", "8M"))
    tables = compare(collect(tmp_path).records)
    assert [table.differs for table in tables] == [f"budget.tokens={n}" for n in ("2M", "4M", "8M")]
    for table in tables:
        assert [row.label for row in table.rows] == ["gpt", "t5"]
        assert "t5 has no eligible rate" in table.verdicts["accuracy"].reason


def test_it_stands_in_chosen_tables_too(tmp_path):
    write_swept(tmp_path, ("gpt", "mamba", "t5"), lost=("t5",))
    runs = list(collect(tmp_path).records)
    found = pivot(runs, Selection.of({"columns": "task"}))
    assert [row[0].text for row in found.grid.rows] == ["gpt", "mamba", "t5"]
    assert not any(cell.best for row in found.grid.rows for cell in row)
    assert any("t5 has no eligible rate" in line for line in found.footer)
    assert {run["label"] for run in chosen(runs, {"seed": (2,)})} == {"gpt", "mamba", "t5"}


def test_of_a_fine_tuned_row_only_that_row_is_lost(tmp_path):
    start = "results/runs/study/pretrained-s1-0123456789ab"
    write_swept(tmp_path, ("gpt", "t5"), lost=())
    content = json.loads((tmp_path / "sweep.json").read_text())
    write_swept(tmp_path, ("gpt", "t5"), lost=("t5",), config__init_from=start)
    tuned = json.loads((tmp_path / "sweep.json").read_text())
    for kind in ("trials", "chosen"):
        content[kind] += [{**each, "task": "tuned"} for each in tuned[kind]]
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    (table,) = compare(collect(tmp_path).records)
    assert {row.label: row.unrated for row in table.rows} == {
        "gpt (init_from=none)": False, "gpt (init_from=pretrained)": False,
        "t5 (init_from=none)": False, "t5 (init_from=pretrained)": True,
    }  # fmt: skip


def test_what_has_nothing_to_start_from_stands_beside_what_had(tmp_path):
    """Its pretraining had no eligible rate, so that fine-tuning was not even swept."""
    write_swept(tmp_path, ("gpt", "t5"), lost=("t5",))
    content = json.loads((tmp_path / "sweep.json").read_text())
    start = "results/runs/study/pretrained-s1-0123456789ab"
    named = {"label": "gpt from recall", "config__label": "gpt from recall", "config__init_from": start}
    write_swept(tmp_path, ("gpt",), lost=(), config__task={"_target_": "tasks.Other"}, **named)
    tuned = json.loads((tmp_path / "sweep.json").read_text())
    for kind in ("trials", "chosen"):
        content[kind] += [{**each, "task": "tuned"} for each in tuned[kind]]
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    tables = compare(collect(tmp_path).records)
    rows = {
        row.label: f"{row.count}: {row.runs[0]['error']}" if row.unrated else row.count
        for table in tables
        for row in table.rows
    }
    assert rows == {
        "gpt": "3", "t5": "no eligible rate: 0 of 2 trials ended well",
        "gpt from recall": "3", "t5 from recall": "no eligible rate: nothing to start from",
    }  # fmt: skip


@pytest.mark.parametrize("lost", [(), ("t5",), ("gpt", "t5")])
def test_reports_hold_whatever_was_lost(tmp_path, lost, capsys):
    write_swept(tmp_path, ("gpt", "t5"), lost=lost)
    report.build(tmp_path)
    out = capsys.readouterr().out
    assert f"{3 * (2 - len(lost))} runs" in out or len(lost) == 2
    text = (tmp_path / "report.md").read_text()
    assert text.count("t5: no eligible rate: 0 of 2 trials ended well.") == (1 if lost == ("t5",) else 0)
