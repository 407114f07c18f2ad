"""Architectures from elsewhere: found and used like built-in ones. (test_installed.py has real packages.)"""

import json
import sys
from pathlib import Path

import pytest
from sample_plugins import BAG, BAG_YAML, LEAKY, LEAKY_YAML, TEXT, TINY, tree

from harness import building
from harness.app import for_completion, precheck
from harness.building import architecture
from harness.compose import compose, load, ready
from harness.errors import ConfigError
from harness.identity import sources
from harness.plan import plan
from harness.searchpath import make_loader, register
from harness.strict import as_dict
from harness.train import run

ROOT = Path(__file__).parents[2]


def composed(*overrides, config_dir="my"):
    """What `archs-train --config-dir my ...` would run with."""
    loader = make_loader(config_dir)
    return ready(load(loader, "train", list(overrides)), "train", loader)


def mine(folder):
    tree(folder, {"bag.py": BAG, "bag_scale.py": "SCALE = 1.0\n", "my/arch/bag.yaml": BAG_YAML})
    tree(folder, {"leaky.py": LEAKY, "my/arch/mixer/leaky.yaml": LEAKY_YAML})


# A file of Python and a file of YAML, in the user's own folder -----------------------------------


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["arch=bag", "size=2k"], "bag"),
        (["arch=bag", "size=2k", "task=mqar"], "bag"),
        (
            ["arch=gpt", "arch/mixer=leaky", "arch.mixer.keep=0.25", "size=20k"],
            "gpt+no_position+leaky+mixer.keep=0.25",
        ),
    ],
)
def test_an_architecture_in_the_users_folder_trains_at_a_size(folder, corpus_files, overrides, name):
    mine(folder)
    if "arch/mixer=leaky" in overrides:
        overrides = [*overrides, "arch/position=none"]
    text = [] if "task=mqar" in overrides else [*TEXT, f"corpus.files={corpus_files}/*.txt"]
    places = [f"results_dir={folder}/runs", f"cache_dir={folder}/cache"]
    config = composed(*overrides, *TINY, *text, *places)
    assert config.choices.arch == name
    assert run(config) == 0
    record = json.loads((plan(config).folder / "run.json").read_text())
    assert record["status"] == "completed"
    size = 2000 if "size=2k" in overrides else 20_000
    assert abs(record["parameters"]["non_embedding"] / size - 1) < 0.1


def test_without_sizing_a_size_is_refused_with_what_to_add(folder):
    mine(folder)
    (folder / "my/arch/bag.yaml").write_text(BAG_YAML.split("sizing")[0])
    with pytest.raises(ValueError, match=r"arch=bag declares no sizing.*add to its YAML.*or pass size=null"):
        architecture(composed("arch=bag", "size=2k"), 300)
    architecture(composed("arch=bag", "size=null"), 300).build(300)


@pytest.mark.parametrize(
    ("sizing", "message"),
    [
        (
            "{width: dim, multiple: 1, fine: null, depht: {200k: 2}}",
            "unknown key arch.sizing.depht; nearest: ",
        ),
        ("{width: dim, depth: {200k: 2}}", "arch.sizing has no multiple, fine"),
        ("{width: dim, multiple: 1, fine: null, depth: {}}", "arch.sizing has no entry in its depth"),
        ("{width: dimm, multiple: 1, fine: null, depth: {200k: 2}}", "arch.sizing.width=dimm is no key"),
    ],
)
def test_a_sizing_that_says_nothing_is_refused(folder, sizing, message):
    mine(folder)
    (folder / "my/arch/bag.yaml").write_text(BAG_YAML.split("sizing")[0] + f"sizing: {sizing}\n")
    with pytest.raises(ConfigError, match=message):
        architecture(composed("arch=bag", "size=2k"), 300)


def test_what_a_run_is_depends_on_the_plugins_code(folder):
    mine(folder)
    before = sources(as_dict(composed("arch=bag"), resolve=True))
    assert list(before) == ["bag"]
    (folder / "bag_scale.py").write_text("SCALE = 2.0\n")
    beside = sources(as_dict(composed("arch=bag"), resolve=True))
    (folder / "bag.py").write_text(BAG + "# another\n")
    changed = sources(as_dict(composed("arch=bag"), resolve=True))
    assert len({json.dumps(digests) for digests in (before, beside, changed)}) == 3


def test_a_users_module_stands_in_for_none_of_ours(folder, monkeypatch):
    tree(folder, {"tasks.py": "1 / 0\n", "bag.py": "x = 1\n"})
    path = [place for place in sys.path if Path(place or ".").resolve() not in (ROOT, folder)]
    monkeypatch.setattr(sys, "path", path)
    register()
    assert path.index(str(ROOT)) < path.index(str(folder))


def test_a_package_without_init_counts_with_all_its_files(folder, monkeypatch):
    tree(folder, {"spaced/net.py": "class Net: pass\n", "spaced/deep/part.py": "x = 1\n"})
    monkeypatch.syspath_prepend(folder)
    before = sources({"arch": {"_target_": "spaced.net.Net"}})
    (folder / "spaced/deep/part.py").write_text("x = 2\n")
    assert sources({"arch": {"_target_": "spaced.net.Net"}}) != before


def test_completion_knows_the_folder_on_the_line(folder, monkeypatch):
    mine(folder)
    query = ["-sc", "query=bash"]
    monkeypatch.setenv("COMP_LINE", "archs-train --config-dir my arch=b")
    assert for_completion(query) == ["--config-dir", "my", *query]
    monkeypatch.setenv("COMP_LINE", "archs-train --config-dir nowhere arch=b")
    assert for_completion(query) == query
    monkeypatch.setenv("COMP_LINE", "archs-train arch=b")
    assert for_completion(query) == query
    assert for_completion(["arch=bag"]) == ["arch=bag"]
    monkeypatch.setenv("COMP_LINE", "archs-train --config-dir")
    with pytest.raises(SystemExit) as done:
        for_completion(query)
    assert done.value.code == 0


# Installed packages ------------------------------------------------------------------------------


def test_looking_for_packages_imports_none_of_them(install):
    files = {"heavy/__init__.py": "raise SystemExit('imported')\n", "heavy/conf/arch/heavy.yaml": BAG_YAML}
    install("heavy", files, conf="heavy.conf")
    assert "heavy" in make_loader().get_group_options("arch")
    precheck("train", ["arch=gpt"])
    assert "heavy" not in sys.modules


def test_code_is_imported_when_something_is_built_and_not_before(install):
    install("early", {"early.py": "import archs\n"}, code="early")
    precheck("train", ["arch=gpt"])
    assert "early" not in sys.modules
    building.build("gpt", vocab_size=300)
    assert "early" in sys.modules


def test_a_built_in_option_is_never_replaced(install, capsys, folder):
    site = install("shadow", {"c/arch/gpt.yaml": "# Mine.\ndefaults: [mamba]\n"}, conf="c")
    backbone = building.build("gpt", vocab_size=300)
    assert type(backbone.stack.layers[0]["mixer"].fn).__name__ == "Attention"
    noted = capsys.readouterr().err
    assert noted.count("\n") == 1
    assert f"left out: {site}/c/arch/gpt.yaml" in noted
    tree(folder, {"my/arch/gpt.yaml": "# Mine.\ndefaults: [mamba]\n"})
    with pytest.raises(
        ConfigError, match=r"arch=gpt is both .*/conf/arch/gpt\.yaml and .*/my/arch/gpt\.yaml: rename"
    ):
        composed("arch=gpt")
    composed("arch=mamba")


def test_two_packages_with_one_option_are_both_named(install):
    bag = {"bag.py": BAG, "bag_scale.py": "SCALE = 1.0\n"}
    install("one", {**bag, "one/arch/bag.yaml": BAG_YAML}, conf="one")
    install("two", {"two/arch/bag.yaml": BAG_YAML}, conf="two")
    with pytest.raises(
        ConfigError, match=r"arch=bag is both .*/bag\.yaml and .*/bag\.yaml: rename bag\.yaml"
    ):
        compose("train", ["arch=bag"])
    compose("train", ["arch=gpt"])


# Hybrids -----------------------------------------------------------------------------------------


def test_a_hybrids_mixers_are_chosen_by_name():
    swapped = compose("train", ["arch=hybrid", "arch/mixer@arch.mixers.ssd=s6", "arch.mixers.ssd.state=8"])
    assert swapped.choices.arch == "hybrid+mixers.ssd=s6+mixers.ssd.state=8"
    assert (
        compose("train", ["arch=hybrid", "arch.mixers.ssd.state=32"]).choices.arch
        == "hybrid+mixers.ssd.state=32"
    )
    for line, message in {
        "arch=hybrid arch/mixer=s6": "write arch/mixer@arch.mixers.attention=s6 or arch/mixer@arch.",
        "arch=hybrid arch.mixer.state=3": "unknown key arch.mixer.state; nearest: arch.mixers.ssd.state",
        "arch=hybrid arch.mixers.ssd.stat=3": "nearest: arch.mixers.ssd.state",
        "arch=gpt arch/mixer@arch.mixers.ssd=s6": "arch=gpt has one mixer: write arch/mixer=s6",
    }.items():
        with pytest.raises(ConfigError) as error:
            compose("train", line.split())
        assert message in str(error.value)


def test_parts_that_are_left_out_give_different_names():
    left_out = [compose("train", ["arch=gpt", f"arch/{part}=none"]) for part in ("mixer", "mlp", "position")]
    assert [config.choices.arch for config in left_out] == ["gpt+no_mixer", "gpt+no_mlp", "gpt+no_position"]


def test_what_is_changed_inside_a_part_that_is_swapped_in_is_part_of_the_name():
    config = compose("train", ["arch=gpt", "arch/mixer=s6", "arch.mixer.state=8"])
    assert config.choices.arch == "gpt+s6+mixer.state=8"
