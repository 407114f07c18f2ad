"""A report of folds: which run is of which, what is of all folds as one, and where rates were chosen."""

import csv
import re

import pytest
from sample_records import write_run, write_sweep

from harness import report

FOLDS = 3


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """The files of a study of two seeds in three folds each, of which one run failed."""
    root = tmp_path_factory.mktemp("results") / "speeches"
    for seed in (1, 2):
        for fold in range(FOLDS):
            task = {"_target_": "tasks.SotuParty", "folds": FOLDS, "fold": fold}
            write_run(
                root, "gpt", seed, "sotu_party", test=True, clusters=12, curves=False, config__task=task,
                config__seed=seed, validation__macro_f1=0.4 + fold / 10,
            )  # fmt: skip
    task = {"_target_": "tasks.SotuParty", "folds": FOLDS, "fold": 1}
    write_run(root, "mamba", 1, "sotu_party", status="failed", curves=False, config__task=task)
    write_sweep(root)
    return {path.suffix: path.read_text() for path in report.build(root) if path.name.startswith("report")}


def test_runs_of_folds_are_told_apart(reported):
    html = reported[".html"]
    assert "<th>seed</th><th>fold</th><th>status</th>" in html
    rows = re.findall(r"<tr><td>(\d)</td><td>(\d)</td><td>completed</td>", html)
    assert rows == [(str(seed), str(fold)) for seed in (1, 2) for fold in range(FOLDS)]
    assert "the others differ in task.fold, seed." in html
    assert "mamba, seed 1, fold 1: failed." in reported[".md"]
    runs = [line for line in csv.DictReader(reported[".csv"].splitlines()) if line["kind"] == "run"]
    assert [(line["seed"], line["fold"]) for line in runs[:6]] == rows


def test_the_footer_says_what_is_pooled_and_what_is_averaged(reported):
    assert "- Accuracy, exact match: of all folds taken as one test set." in reported[".md"]
    assert "- Macro F1: the mean of the folds' own values." in reported[".md"]


def test_rates_chosen_on_examples_that_others_are_tested_on_are_a_limit(reported, tmp_path):
    assert "learning rates were chosen on validation examples of the first" in reported[".html"]
    write_run(tmp_path / "plain", "gpt", 1, "sotu_party", test=True, curves=False)
    write_sweep(tmp_path / "plain")
    report.build(tmp_path / "plain", formats=["html", "csv"])
    assert "validation examples of the first" not in (tmp_path / "plain" / "report.html").read_text()
    assert "<th>fold</th>" not in (tmp_path / "plain" / "report.html").read_text()
    assert "fold" not in (tmp_path / "plain" / "report.csv").read_text().splitlines()[0].split(",")


def test_a_page_names_what_a_run_started_from_and_not_where_it_lies(tmp_path):
    start = "/machine/runs/gpt-language-s1-0123456789ab"
    write_run(tmp_path / "tuned", "gpt", 1, "sotu_party", curves=False, config__init_from=start)
    report.build(tmp_path / "tuned", formats=["html"])
    page = (tmp_path / "tuned" / "report.html").read_text()
    assert "init_from: gpt-language-s1-0123456789ab" in page
    assert "/machine" not in page
