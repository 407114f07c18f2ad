"""What the command line refuses, how it says so, and that it says so before torch is imported."""

import shlex
import sys
from pathlib import Path

import pytest

from harness.app import flags_first, precheck
from harness.compose import compose
from harness.errors import ConfigError, fail, one_line_errors
from harness.strict import check_signature

ROOT = Path(__file__).parents[2]

MINE = """# Mine.
defaults:
  - mixer: attention
  - mlp: swiglu
  - norm: rms
  - position: rope
  - head: tied
  - _self_
_target_: archs.Decoder
dim: 64
depth: 2
heads: 2
kv_heads: ${arch.heads}
head_dim: null
hidden: null
inner: null
bias: false
dropout: 0.0
init: normal
start: null
"""

PLUGIN = """
import torch

class Net(torch.nn.Module):
    family = "encoder"
    def __init__(self, vocab_size, width, mixer=None): ...
    def forward(self, tokens, keep=None): ...
    def head(self, hidden): ...
    def flops(self, T, S=0, scored=None): ...
    def state_bytes(self, T, S=0, dtype=None): ...

class Part:
    def __init__(self, far): ...
"""

REFUSED = """
arch=gtp                                unknown arch 'gtp'; nearest: gpt
arch/mixer=atention                     unknown arch/mixer 'atention'; nearest: attention
arch/mixr=s6                            unknown group arch/mixr; nearest: arch/mixer
archh=gpt                               unknown key archh; nearest: arch
task=mqra                               unknown task 'mqra'; nearest: mqar
logger=null                             logger=null: choose one of csv, mlflow, none
optm.lr=3                               unknown key optm.lr; nearest: optim.lr
study=quickstart                        study=quickstart: nothing here takes study; choose from: arch
lr=3e-4                                 unknown key lr; nearest: optim.lr
arch.dmi=3                              unknown key arch.dmi; nearest: arch.dim
arch.mixer.foo=2                        unknown key arch.mixer.foo; arch.mixer has: bias, dropout
trainer.precison=32-true                unknown key trainer.precison; nearest: trainer.precision
budget.steps=5                          unknown key budget.steps; budget has: kind, tokens
seed.x=1                                unknown key seed.x: seed is a plain value
+foo=1                                  +foo=1: + is for hydra.* only
++seed=3                                ++ is for hydra.* only; keys that exist need none (write seed=3)
+arch.dmodel=3                          +arch.dmodel=3: + is for hydra.* only
+arch/mixer@arch.other=s6               + is for hydra.* only
~logger                                 ~logger: ~ is for hydra.* only
seed=one                                seed=one: seed takes a whole number
seed=-1                                 seed=-1: seed takes a whole number
seed=1,2                                seed=1,2 is a sweep: add --multirun, or write seed=[1,2]
size=1X                                 size=1X: size takes a whole number
size=0                                  size=0: size takes a whole number of at least 1, or null
batch_size=1.5                          batch_size=1.5: batch_size takes a whole number
budget.tokens=0                         budget.tokens=0: budget.tokens takes a whole number of at least 1
budget.tokens=-3                        budget.tokens=-3: budget.tokens takes a whole number
budget=seconds budget.seconds=-1.5      budget.seconds=-1.5: budget.seconds takes a number above 0
optim.lr=fast                           optim.lr=fast: optim.lr takes a number
optim.lr=0                              optim.lr=0: optim.lr takes a number above 0
optim.betas=[0.9]                       optim.betas takes two numbers
checkpoint=lst                          checkpoint takes one of last, best; nearest: last
trainer.precision=bf16mixed             nearest: bf16-mixed
arch.bias=maybe                         arch.bias=maybe: arch.bias takes true or false
arch.mixer=s6                           options are chosen with a slash, as in arch/mixer=attention
arch.heads=${arch.hedas}                arch.hedas
results_dir=/dev/null/runs              /dev/null is a file, not a folder
study_name=../../x                      study_name=../../x: study_name takes the name of a folder
study_name=/elsewhere/x                 study_name=/elsewhere/x: study_name takes the name of a folder
study_name=sweep                        study_name=sweep: study_name takes the name of a folder
study_name=null                         study_name=null: study_name takes the name of a folder
--config-dir no/such                    --config-dir no/such: no such folder
--config-name trane                     Cannot find primary config 'trane'
-m arch=gpt,brt                         unknown arch 'brt'; nearest: bert
-m seed=1,x                             seed=x: seed takes a whole number
foo                                     cannot read the override 'foo': write key=value
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's own configuration folder, the current directory."""
    (tmp_path / "arch").mkdir()
    (tmp_path / "arch" / "mine.yaml").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("my_net", None)


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_what_is_refused_and_how(line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    overrides, message = line[:40], line[40:]
    with pytest.raises(ConfigError) as error:
        precheck("train", shlex.split(overrides))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    """
    arch=mamba task=mqar size=1M seed=1
    arch=gpt arch/mlp=swiglu arch/position=rope arch/norm=rms
    arch=gpt arch/mixer=s6
    size=null budget=flops budget.flops=1e12
    size=2e6 budget.tokens=200k
    corpus=text corpus.files=[a.txt,b.txt]
    corpus=text corpus.files=a.txt
    task=mqar task.pairs=[4,8]
    optim.clip=null trainer.threads=2
    hydra.job.name=x +hydra.job.env_set.FOO=bar
    -m seed=1,2 arch=gpt,mamba
    -m arch=glob(*) seed=range(1,3)
    """.strip().splitlines(),
)
def test_what_is_not(line):
    precheck("train", line.split())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("dim: 64", "dmi: 64", "mine.yaml: unknown key arch.dmi; nearest: arch.dim"),
        ("dim: 64", "dim: wide", "mine.yaml: arch.dim=wide: arch.dim takes a whole number"),
        ("dim: 64", "dim: ${arch.width}", "arch.width"),
        ("bias: false", "bias: 3", "mine.yaml: arch.bias=3: arch.bias takes true or false"),
        ("mixer: attention", "mixer: attentoin", "unknown arch/mixer 'attentoin'; nearest: attention"),
        ("dim: 64", "dim: [64", "mine.yaml:11: not valid YAML"),
    ],
)
def test_a_users_yaml_is_read_as_strictly(mine, before, after, message):
    for arguments in ("--config-dir . arch=mine", f"hydra.searchpath=[file://{mine}] arch=mine"):
        (mine / "arch" / "mine.yaml").write_text(MINE)
        precheck("train", arguments.split())
        (mine / "arch" / "mine.yaml").write_text(MINE.replace(before, after, 1))
        with pytest.raises(ConfigError) as error:
            precheck("train", arguments.split())
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_a_logger_that_is_not_installed_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setattr("harness.rules.find_spec", lambda module: module == "tensorboardX" or None)
    precheck("train", ["logger=tensorboard"])
    precheck("train", ["logger=csv"])
    with pytest.raises(
        ConfigError, match=r"logger=wandb needs the package wandb: pip install 'archs\[wandb\]'"
    ):
        precheck("train", ["logger=wandb"])


def test_flags_may_stand_among_the_overrides():
    assert flags_first(["size=1M", "-m", "seed=1,2"]) == ["-m", "size=1M", "seed=1,2"]
    mixed = ["size=1M", "--config-dir", "mine", "seed=1", "--cfg", "job", "arch=gpt"]
    assert flags_first(mixed) == ["--config-dir", "mine", "--cfg", "job", "size=1M", "seed=1", "arch=gpt"]
    with pytest.raises(ConfigError, match="unrecognized arguments: --nope"):
        flags_first(["size=1M", "--nope"])


def test_a_users_yaml_may_hold_scalars_for_its_parts_and_whole_experiments(mine):
    text = MINE.replace("mlp: swiglu", "mlp: wide") + "wide: 200\n"
    (mine / "arch" / "mine.yaml").write_text(text)
    (mine / "arch" / "mlp").mkdir()
    node = "_target_: archs.GatedMLP\n_partial_: true\nhidden: ${arch.wide}\n"
    (mine / "arch" / "mlp" / "wide.yaml").write_text(node)
    (mine / "experiment").mkdir()
    (mine / "experiment" / "long.yaml").write_text("# @package _global_\nseed: 7\nbudget: {tokens: 9M}\n")
    precheck("train", ["--config-dir", ".", "arch=mine", "+experiment=long"])
    (mine / "experiment" / "long.yaml").write_text("# @package _global_\nsede: 7\n")
    with pytest.raises(ConfigError, match=r"long\.yaml: unknown key sede; nearest: seed"):
        precheck("train", ["--config-dir", ".", "arch=mine", "+experiment=long"])
    (mine / "train2.yaml").write_text("defaults: [train, _self_]\nseed: 3\nsise: 1M\n")
    with pytest.raises(ConfigError, match=r"train2\.yaml: unknown key sise; nearest: size"):
        precheck("train", ["--config-dir", ".", "--config-name", "train2"])


def test_a_hybrid_names_its_mixers(mine):
    text = MINE.replace("- mixer: attention", "- mixer@mixers.wide: attention\n  - mixer@mixers.state: s6")
    (mine / "arch" / "mine.yaml").write_text(text)
    precheck("train", ["--config-dir", ".", "arch=mine", "arch/mixer@arch.mixers.wide=s6"])
    with pytest.raises(ConfigError, match=r"gives its mixers names: write arch/mixer@arch\.mixers\."):
        precheck("train", ["--config-dir", ".", "arch=mine", "arch/mixer=s6"])


class Net:
    def __init__(self, vocab_size: int, width: int = 8, rate: float = 0.1, act: str | None = None): ...


def test_a_plugins_node_is_checked_against_its_signature(mine):
    (mine / "my_net.py").write_text(PLUGIN)
    net = "defaults: [mixer: mine, _self_]\n_target_: my_net.Net\nwidth: 64\nreach: 3\nbias: true\n"
    (mine / "arch" / "net.yaml").write_text(net)
    (mine / "arch" / "mixer").mkdir()
    (mine / "arch" / "mixer" / "mine.yaml").write_text("_target_: my_net.Part\nfar: ${arch.reach}\n")
    precheck("train", ["--config-dir", ".", "arch=net"])
    (mine / "arch" / "net.yaml").write_text(net + "widht: 3\n")
    precheck("train", ["--config-dir", ".", "--cfg", "job", "arch=net"])  # imports nothing
    with pytest.raises(ConfigError, match=r"unknown key arch\.widht: Net has none; nearest: arch\.width"):
        precheck("train", ["--config-dir", ".", "arch=net"])
    (mine / "arch" / "net.yaml").write_text(net.replace("my_net.Net", "my_net.Nett"))
    with pytest.raises(
        ConfigError, match=r"arch\._target_=my_net\.Nett cannot be imported: .*; nearest: my_net\.Net$"
    ):
        precheck("train", ["--config-dir", ".", "arch=net"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": "wide"}, "arch.width=wide: Net takes int here"),
        ({"width": None}, "arch.width=null: Net takes int here"),
        ({"act": 3}, "arch.act=3: Net takes str | null here"),
        (
            {"mixer": {"_target_": "harness.rules.Rule", "holdz": 1}},
            "unknown key arch.mixer.holdz: Rule has none; nearest: arch.mixer.holds",
        ),
    ],
)
def test_values_are_checked_against_annotations(changes, message):
    good = {"_target_": "my_net.Net", "width": 64, "rate": 1, "act": None, "sizing": {"width": "width"}}
    check_signature(good, Net)
    with pytest.raises(ConfigError) as error:
        check_signature(good | changes, Net)
    assert str(error.value) == message


def test_composing_gives_numbers_and_names():
    config = compose("train", ["size=200k", "arch/mlp=swiglu", "arch.depth=3", "budget.tokens=2e6"])
    assert (config.size, config.budget.tokens, config.batch_size) == (200_000, 2_000_000, 16)
    assert config.choices.arch == "gpt+swiglu+depth=3"
    assert config.choices.task == "language"
    assert "hydra" not in config
    with pytest.raises(ConfigError, match="unknown arch 'gtp'"):
        compose("train", ["arch=gtp"])


def test_input_errors_are_one_line_and_bugs_are_not(capsys):
    with pytest.raises(SystemExit) as status, one_line_errors():
        raise FileNotFoundError(2, "No such file or directory", "book.txt")
    assert status.value.code == 2
    assert capsys.readouterr().err.endswith("book.txt: No such file or directory\n")
    with pytest.raises(SystemExit), one_line_errors():
        raise ValueError("two\nlines")
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0
    with pytest.raises(SystemExit):
        fail("why")
