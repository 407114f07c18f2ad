"""Real packages (tests/plugins/, and those of archs-new), installed and used through the commands."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sample_plugins import TEXT, TINY, tree

from harness.new import FAMILIES

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "tests" / "plugins"


class Scratch:
    """A folder with packages installed beside those of this interpreter, and a user's folder to work in."""

    def __init__(self, root):
        self.site, self.work = root / "site", root / "work"
        self.work.mkdir()

    def install(self, *projects):
        command = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-index",
            "--no-deps",
        ]
        command += ["--no-build-isolation", "--target", str(self.site), *map(str, projects)]
        subprocess.run([sys.executable, *command], check=True)

    def python(self, *arguments, cwd=None, **environment):
        path = os.pathsep.join([str(self.site), str(ROOT)])
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.work,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "300", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def archs(self, command, *arguments, **environment):
        """What `archs-<command> <arguments>` prints; it must succeed."""
        done = self.python("-P", "-m", "harness.commands", command, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, command, *arguments):
        """The one line with which `archs-<command> <arguments>` is refused."""
        done = self.python("-P", "-m", "harness.commands", command, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        return done.stderr

    def conformance(self, project, test):
        done = self.python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(test), cwd=project)
        assert done.returncode == 0, done.stdout
        assert "failed" not in done.stdout


TRIAL = [*TINY, *TEXT, "size=100k", "results_dir=runs", "cache_dir=cache"]
GATED = ["arch=gpt", "arch/mixer=gated_linear", "arch/position=none"]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory, corpus_files):
    made = Scratch(tmp_path_factory.mktemp("scratch"))
    sources = made.work.parent / "plugins"
    shutil.copytree(PLUGINS, sources)  # building leaves files behind
    made.install(sources / "gated-linear", sources / "convolutional")
    shutil.copytree(corpus_files, made.work / "text")
    (made.work / "tasks.py").write_text("raise SystemExit('a user's tasks.py stood in for ours')\n")
    return made


@pytest.fixture(scope="module")
def runs(scratch):
    """{name: run folder} of a trained mixer and a trained encoder."""
    found = {}
    for name, arch in (("gated", GATED), ("convolutional", ["arch=convolutional"])):
        scratch.archs("train", *arch, *TRIAL, "corpus.files=text/*.txt", f"study_name={name}")
        found[name] = next((scratch.work / "runs" / name).iterdir())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("project", ["gated-linear", "convolutional"])
def test_installed_plugins_keep_the_contract(scratch, project):
    folder = scratch.work.parent / "plugins" / project
    scratch.conformance(folder, folder / "conformance.py")


@pytest.mark.slow
def test_installed_plugins_are_listed_completed_and_explained(scratch):
    lines = [" ".join(line.split()) for line in scratch.archs("list", "size=100k").splitlines()]
    row = next(line for line in lines if line.startswith("convolutional encoder"))
    assert abs(int(row.split()[2].replace(",", "")) / 100_000 - 1) < 0.02
    assert any("[convolutional 0.3.0 (" in line for line in lines)
    assert any(line.startswith("gated_linear Linear attention") for line in lines)
    assert "gated-linear 1.2.0 arch/mixer=gated_linear" in lines
    query = ["train", "-sc", "query=bash"]
    assert scratch.archs(*query, COMP_LINE="archs-train arch=conv").split() == ["arch=convolutional"]
    assert scratch.archs(*query, COMP_LINE="archs-train arch/mixer=ga").split() == ["arch/mixer=gated_linear"]
    assert "convolutional" in scratch.archs("train", "--help")
    assert "taps: 5" in scratch.archs("train", "--cfg", "job", "arch=convolutional")


@pytest.mark.slow
def test_installed_plugins_train_are_measured_and_generate(scratch, runs):
    for name in runs:
        record = json.loads((runs[name] / "run.json").read_text())
        assert record["status"] == "completed"
        assert abs(record["parameters"]["non_embedding"] / 100_000 - 1) < 0.02
        assert set(record["digests"]) >= {"corpus", "tokenizer"}
        text = scratch.archs("generate", f"run={runs[name]}", "prompt=the", "max_tokens=4")
        assert text.startswith("the")
        assert "continuation_bpb" in scratch.archs("eval", f"run={runs[name]}")
    table = scratch.archs("report", "results_dir=runs")
    assert "convolutional" in table
    assert "gpt+no_position+gated_linear" in table


@pytest.mark.slow
def test_installed_plugins_learn_every_task_of_their_family(scratch):
    for arch in (GATED, ["arch=convolutional"]):
        scratch.archs(
            "train", *arch, *TINY, "task=mqar", "size=100k", "results_dir=runs", "study_name=recall"
        )
    assert len(list((scratch.work / "runs" / "recall").iterdir())) == 2
    assert "masked" in scratch.refused(
        "train", "arch=convolutional", "objective=causal", *TRIAL, "corpus.files=text/*.txt"
    )
    assert "declares no sizing" in scratch.refused(
        "train", "arch=convolutional", "arch.sizing=null", *TRIAL, "corpus.files=text/*.txt"
    )
    assert "only looks back" in scratch.refused(
        "train",
        "arch=bert",
        "arch/mixer=gated_linear",
        "arch/position=none",
        *TINY,
        "task=mqar",
        "results_dir=runs",
    )


@pytest.mark.slow
def test_an_installed_plugin_is_measured_beside_built_in_ones(scratch):
    mine = "# GPT with gated linear attention.\ndefaults: [gpt, override mixer: gated_linear, "
    tree(scratch.work, {"my/arch/mine.yaml": mine + "override position: none, _self_]\n"})
    where = ["--config-dir", "my", "results_dir=runs", "progress=false", "size=100k"]
    small = ["lengths=[32,64]", "tokens_per_batch=64", "vocab_size=300", "threads=1"]
    table = scratch.archs("bench", *where, "archs=[gpt,convolutional,mine]", *small)
    names = ["gpt", "convolutional", "mine"]
    rows = [line.split() for line in table.splitlines() if line.strip()]
    assert [row[0] for row in rows if row[0] in names][:3] == names
    assert all(len(row) == 3 for row in rows if row[0] in names)  # a number at each length


@pytest.mark.slow
def test_a_run_whose_plugin_is_gone_says_so(scratch, runs):
    done = scratch.python(
        "-P", "-m", "harness.commands", "eval", f"run={runs['convolutional']}", PYTHONPATH=str(ROOT)
    )
    assert done.returncode == 2
    assert "arch._target_=convolutional.Convolutional cannot be imported" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_what_archs_new_writes_works_at_once(scratch, tmp_path):
    projects = []
    for family in FAMILIES:
        scratch.archs("new", f"own-{family}", "--family", family, "--into", str(tmp_path))
        projects.append(tmp_path / f"own-{family}")
    scratch.install(*projects)
    listed = scratch.archs("list", "size=100k")
    for family, project in zip(FAMILIES, projects, strict=True):
        option = f"own_{family.replace('-', '_')}"
        assert option in listed
        chosen = [f"arch={option}"]
        if family == "mixer":
            chosen = ["arch=gpt", f"arch/mixer={option}", "arch/position=none"]
        scratch.archs("train", *chosen, *TRIAL, "corpus.files=text/*.txt", "study_name=own")
        scratch.conformance(project, project / "tests")
    assert len(list((scratch.work / "runs" / "own").iterdir())) == len(FAMILIES)
