"""The committed YAML: complete, commented, composable, and true to the code that reads it."""

import inspect
import re

import pytest
import yaml
from hydra.utils import get_object

from harness.compose import compose
from harness.schema import INSTANTIATE
from harness.searchpath import conf_dir

CONF = conf_dir()
FILES = sorted(path for path in CONF.rglob("*.yaml") if "hydra" not in path.parts)
OPTIONS = [path for path in FILES if path.parent != CONF]
IDS = [path.relative_to(CONF).as_posix() for path in OPTIONS]

# What the wiring passes to a part, so that no user writes it.
WIRING = {"dim", "causal", "cross", "vocab_size", "family", "start", "corpus", "tokenizer", "objective"}
WIRING |= {"cache_dir", "self", "args", "kwargs", "save_dir"}
OURS = {"num_workers", "threads", "activation_checkpointing", "chunked_loss"}  # of trainer/, for the harness


def content(path):
    return yaml.safe_load(path.read_text()) or {}


def leaves(node):
    return [leaf for value in node.values() for leaf in leaves(value)] if isinstance(node, dict) else [node]


@pytest.mark.parametrize("path", OPTIONS, ids=IDS)
def test_every_option_says_what_it_is_and_composes(path, monkeypatch):
    monkeypatch.setattr("harness.rules.find_spec", lambda module: module)  # as if every logger were installed
    assert path.read_text().startswith("# "), "the first line says what the option is"
    group = path.parent.relative_to(CONF).as_posix()
    command = "compare" if group == "study" else "train"
    needed = ["corpus.files=a.txt"] if (group, path.stem) == ("corpus", "text") else []
    config = compose(command, [f"{group}={path.stem}", *needed])
    assert config.choices[group.split("/")[0]].split("+")[0] in (path.stem, "gpt")


@pytest.mark.parametrize("path", [path for path in FILES if path.parent == CONF], ids=lambda path: path.stem)
def test_every_key_of_a_primary_file_is_explained(path):
    text = path.read_text()
    assert text.startswith("# ")
    # Explained on its line, or clear from its name in the help beside it.
    for line in re.findall(r"^(\w+:.*)$", text.split("\nhydra:")[0], re.MULTILINE):
        key = line.split(":")[0]
        obvious = {"defaults", "lengths", "vocab_size", "seed", "study_name", "progress"}
        assert "#" in line or key in obvious, line


def test_every_command_composes_and_names_itself():
    for name, overrides in {
        "train": [],
        "compare": [],
        "eval": ["run=r"],
        "bench": [],
        "report": [],
        "generate": ["run=r"],
        "list": [],
    }.items():
        compose(name, overrides)
        assert content(CONF / f"{name}.yaml")["hydra"]["job"]["name"] == f"archs-{name}"
        assert (CONF / "hydra" / "help" / f"{name}.yaml").exists()


def test_no_defaults_list_climbs_out_of_its_folder():
    assert not [path for path in CONF.rglob("*") if path.is_file() and path.suffix not in (".yaml", ".py")]
    for path in FILES:
        assert ".." not in str(content(path).get("defaults", ""))


def test_options_of_a_trainer_or_optimiser_have_the_same_keys():
    for group in ("trainer", "optim"):
        assert len({tuple(content(path)) for path in (CONF / group).glob("*.yaml")}) == 1


def test_trainer_keys_are_lightnings():
    from lightning import Trainer

    known = set(inspect.signature(Trainer.__init__).parameters)
    for path in (CONF / "trainer").glob("*.yaml"):
        assert set(content(path)) - OURS <= known


PARTS = [path for path in OPTIONS if isinstance(content(path).get("_target_"), str)]


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.relative_to(CONF).as_posix())
def test_a_parts_yaml_is_its_signature(path):
    if path.stem == "wandb":
        pytest.importorskip("wandb")
    node = content(path)
    parameters = inspect.signature(get_object(node["_target_"])).parameters
    wired = WIRING - ({"dim"} if path.parent.name == "arch" else set())
    takes = {name for name, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    keys = set(node) - INSTANTIATE - {"defaults"}
    if path.parent != CONF / "arch":  # an architecture also holds scalars for its parts, and the parts
        assert keys <= takes, keys - takes
        if path.parent.name != "logger":
            assert takes - wired <= keys | WIRING, takes - wired - keys


@pytest.mark.parametrize("path", sorted((CONF / "arch").glob("*.yaml")), ids=lambda path: path.stem)
def test_architectures_list_what_parts_share(path):
    node = content(path)
    groups = {next(iter(entry)).split("@")[0] for entry in node["defaults"] if isinstance(entry, dict)}
    assert {"mixer", "mlp", "norm", "position", "head"} <= groups
    shared = {"dim", "depth", "heads", "kv_heads", "head_dim", "hidden", "inner", "dropout", "bias", "start"}
    assert shared | {"sizing"} <= set(node)
