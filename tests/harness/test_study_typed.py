"""What is typed for a study's own keys: any that a study may have, in place of what its YAML says."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.app import precheck
from harness.compose import compose
from harness.errors import ConfigError
from harness.searchpath import child_environment
from harness.strict import as_dict
from harness.studies import changed
from harness.study.spec import read

TYPED = {
    "a list for a mapping": ("recall", "archs", ["study.archs=[gpt,mamba]"], ["gpt", "mamba"]),
    "a mapping for a list": ("quickstart", "archs", ["study.archs={a: ['arch=gpt']}"], {"a": ["arch=gpt"]}),
    "other variants": ("recall", "archs", ["study.archs={a: ['arch=gpt']}"], {"a": ["arch=gpt"]}),
    "another axis": ("recall", "grid", ["study.grid={batch_size: [4, 8]}"], {"batch_size": [4, 8]}),
    "an axis by its name": ("recall", "grid", ["study.grid.arch.dim=[4]"], {"arch.dim": [4]}),
    "folds, left out": ("finetune", "folds", ["study.folds=2"], 2),
    "a sweep, left out": ("quickstart", "sweep", ["study.sweep={lr: [1]}"], {"lr": [1]}),
    "a bench, left out": ("recall", "bench", ["study.bench.lengths=[4]"], {"lengths": [4]}),
}  # fmt: skip
REFUSED = {
    "study.archz=[gpt]": "unknown key study.archz; nearest: study.archs",
    "study.sweep.att=1": "unknown key study.sweep.att; nearest: study.sweep.at",
    "study.tasks.recal.lr=1": "unknown key study.tasks.recal; nearest: study.tasks.recall",
    "study.tasks.recall.override=1": "study.tasks.recall.override; nearest: study.tasks.recall.overrides",
    "study.scales.larg.seeds=[1]": "unknown key study.scales.larg; nearest: study.scales.large",
    "study.seeds.x=1": "unknown key study.seeds.x: study.seeds is no mapping",
    "study.seeds=[1] size=1X": "size=1X: size takes a whole number",
    "study.sweep.on=recall siez=2": "unknown key siez; nearest: size",
}


@pytest.mark.parametrize("case", TYPED)
def test_what_is_typed_takes_the_place_of_what_is_written(case):
    study, key, lines, value = TYPED[case]
    config = compose("compare", [f"study={study}", *lines])
    assert as_dict(config.study)[key] == value
    node = as_dict(config.study, resolve=True)
    if "sweep" not in lines[0]:
        read(node, "large" if "large" in (node.get("scales") or {}) else None, lines)


@pytest.mark.parametrize("study", ["mechanistic", "parts", "state_tracking", "recall", "scaling"])
def test_any_study_can_be_asked_about_other_architectures(study):
    node = compose("compare", [f"study={study}", "study.archs=[gpt,mamba]"]).study
    assert read(as_dict(node, resolve=True)).archs == {"gpt": ["arch=gpt"], "mamba": ["arch=mamba"]}


def test_keys_of_the_sweep_that_a_yaml_leaves_out():
    lines = ["study=recall", "study.sweep.at.arch.dim=16", "study.sweep.on=recall"]
    sweep = read(as_dict(compose("compare", lines).study)).sweep
    assert (sweep.at, sweep.on, sweep.seeds) == ({"arch.dim": 16}, "recall", [100])


def test_a_mapping_of_settings_is_merged_and_wins_over_a_scale():
    node = as_dict(compose("compare", ["study=recall"]).study)
    typed = ["study.shared={batch_size: 2}", "study.archs=[t5]", "study.grid={arch.dim: [8]}"]
    study = read(node, "large", typed)
    assert study.shared == {**node["shared"], "batch_size": 2}
    assert (study.archs, study.grid) == ({"t5": ["arch=t5"]}, {"arch.dim": [8]})


@pytest.mark.parametrize("line", REFUSED)
def test_typos_are_one_line_with_the_nearest_name(line):
    with pytest.raises(ConfigError) as refused:
        precheck("compare", ["study=recall", *line.split()])
    assert REFUSED[line] in str(refused.value)
    assert "\n" not in str(refused.value)


@given(
    node=st.dictionaries(st.sampled_from(["seeds", "title", "test"]), st.integers()),
    key=st.sampled_from(["seeds", "test", "folds"]),
    value=st.one_of(st.integers(), st.lists(st.integers()), st.none()),
)
def test_nothing_but_the_key_is_changed(node, key, value):
    before = dict(node)
    assert changed(node, f"study.{key}", value) == {**before, key: value}
    assert node == before


def test_the_command_itself_composes_so(tmp_path):
    """hydra.main has a loader of its own."""
    command = "from harness.commands import compare; compare()"
    line = ["study=recall", "study.archs=[gpt]", "study.sweep.at={arch.dim: 16}", "--cfg", "job"]
    done = subprocess.run(
        [sys.executable, "-c", command, *line],
        env={**os.environ, **child_environment()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "  archs:\n  - gpt\n" in done.stdout
    assert "    at:\n      arch.dim: 16\n" in done.stdout
