"""What the README tells a user to type works as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from harness.app import variants
from harness.compose import compose
from harness.diagnose import parse
from harness.plan import plan
from harness.searchpath import make_loader
from harness.train import run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BASH = "\n".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL))
# What makes an example a matter of seconds, appended to what the README says.
QUICK = ["budget=steps", "budget.steps=2", "evaluations=0", "progress=false", "batch_size=2", "trainer=cpu"]
TEXT = ["task.windows=2", "task.quick_windows=1", "task.native_windows=2"]


def commands(program):
    """Argument lists of every `program` line in the README's bash blocks, comments left out."""
    lines = (shlex.split(line, comments=True) for line in BASH.splitlines())
    return [words[1:] for words in lines if words and words[0] == program]


def test_there_are_nine_worked_examples():
    assert len(commands("archs-train")) == 9


@pytest.mark.parametrize("overrides", commands("archs-train"), ids=" ".join)
def test_an_example_runs(overrides, tmp_path, corpus_files):
    overrides = [word for word in overrides if word != "-m"]
    generated = any(word.startswith("task=") for word in overrides)
    own = [f"results_dir={tmp_path}/runs", *([] if generated else TEXT)]
    files = f"corpus.files={corpus_files}/*.txt"
    overrides = [files if word.startswith("corpus.files") else word for word in overrides]
    overrides = [word for word in overrides if not word.startswith("budget")]
    lines = next(variants(parse(overrides, make_loader())))  # of a sweep, the first
    config = compose("train", [*lines, *own, *QUICK])
    assert run(config) == 0
    assert (plan(config).folder / "model.safetensors").exists()


def test_the_table_is_the_committed_one():
    shown = README.split("<!-- quickstart -->")[1].split("<!-- /quickstart -->")[0]
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    report = (ROOT / "results/reference/quickstart/report.md").read_text().splitlines()
    assert len(rows) > 8
    assert set(rows) <= set(report)
    for picture in re.findall(r"\]\((results/[^)]*)\)", shown):
        assert (ROOT / picture).exists()


@pytest.mark.parametrize("command", ["compare", "bench", "report"])
def test_the_other_commands_compose(command):
    for overrides in commands(f"archs-{command}"):
        compose(command, [word for word in overrides if word != "--dry-run"])
