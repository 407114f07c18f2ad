import copy
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness import identity as module
from harness.compose import compose
from harness.identity import MATTERS, canonical, identity, run_name, sources
from harness.searchpath import conf_dir
from harness.strict import as_dict

DIGESTS = {"corpus": "c" * 64, "tokenizer": "t" * 64}


def config_of(*overrides):
    return as_dict(compose("train", list(overrides)), resolve=True)


@pytest.fixture(scope="module")
def base():
    return config_of("results_dir=runs")


def key_of(config, **digests):
    return identity(config, {"digests": DIGESTS | digests, "solved": {"dim": 112}})


def test_every_key_of_the_train_command_declares_whether_it_matters():
    shipped = yaml.safe_load((conf_dir() / "train.yaml").read_text())
    groups = [next(iter(entry)) for entry in shipped["defaults"] if isinstance(entry, dict)]
    keys = {key for key in shipped if key not in ("defaults", "hydra")}
    keys |= {group for group in groups if not group.startswith("override ")}
    assert keys | {"choices"} == set(MATTERS)


@pytest.mark.parametrize(
    "override",
    [
        "seed=2",
        "size=2M",
        "arch=mamba",
        "arch/mlp=swiglu",
        "arch.dropout=0.1",
        "task.windows=64",
        "task.segments=2",
        "task=mqar",
        "optim.lr=0.5",
        "budget.tokens=1M",
        "budget=steps",
        "batch_size=8",
        "objective=causal",
        "checkpoint=best",
        "tokenizer=bytes",
        "tokenizer.vocab_size=1024",
        "corpus=python",
        "trainer.precision=bf16-mixed",
    ],
)
def test_what_makes_a_difference_is_another_run(base, override):
    assert key_of(config_of("results_dir=runs", override)) != key_of(base)


@pytest.mark.parametrize(
    "override",
    [
        "results_dir=elsewhere",
        "logger=csv",
        "progress=false",
        "study_name=mine",
        "cache_dir=there",
        "trainer.num_workers=2",
        "trainer.threads=1",
        "trainer.activation_checkpointing=true",
        "trainer.chunked_loss=false",
        "task.segments=1",
        "trainer=cpu",
        "size=1e6",
        "budget.tokens=5e6",
        "budget.tokens=5000000",
        "batch_size=16",
    ],
)
def test_what_makes_none_is_the_same_run(base, override):
    assert key_of(config_of("results_dir=runs", override)) == key_of(base)


def test_one_changed_byte_of_the_corpus_is_another_run_wherever_the_file_lies(base):
    moved = config_of("corpus=text", "corpus.files=a.txt")
    again = config_of("corpus=text", "corpus.files=/data/b.txt")
    assert key_of(moved) == key_of(again)
    assert key_of(moved) != key_of(moved, corpus="d" * 64)
    assert key_of(base, init_from="0" * 12) != key_of(base)


def shuffled(value):
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in sorted(value, reverse=True)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


def test_the_order_of_keys_is_no_difference(base):
    assert key_of(shuffled(base)) == key_of(base)
    assert len(key_of(base)) == module.DIGITS


def test_a_key_added_later_with_a_declared_default_keeps_old_identities(base, monkeypatch):
    later = copy.deepcopy(base)
    later["arch"]["mixer"]["qk_norm"] = False
    later["optim"]["something"] = None
    assert key_of(later) != key_of(base)
    monkeypatch.setitem(module.DEFAULTS, "arch.mixer.qk_norm", False)
    assert key_of(later) == key_of(base)


@given(
    st.recursive(
        st.integers() | st.text() | st.booleans(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_canonical_form_is_a_fixed_point(value):
    assert canonical(canonical(value)) == canonical(value)


def test_names_are_short_and_readable():
    assert run_name(config_of("size=200k", "seed=3")) == "gpt-language-200k-s3"
    assert run_name(config_of("arch=mamba", "task=mqar", "size=1500000")) == "mamba-mqar-1.5M-s1"
    assert run_name(config_of("size=null")) == "gpt-language-asis-s1"
    swapped = run_name(config_of("arch/mlp=swiglu", "arch.position.max_len=64"))
    assert swapped == "gpt+swiglu+position.max_len_64-language-1M-s1"
    assert run_name(config_of("arch.position.max_len=1024", "arch/mixer=attention")) == "gpt-language-1M-s1"


def test_a_run_folder_can_be_pasted_after_run(tmp_path):
    name = run_name(config_of("arch=hybrid", "arch.pattern=[ssd,attention]", "arch.dropout=1e-3"))
    folder = tmp_path / f"{name}-0123456789ab"
    folder.mkdir()
    (folder / "run.json").touch()
    assert compose("eval", [f"run={folder}"]).run == str(folder)


def test_a_plugin_counts_with_its_sources(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "some_net.py").write_text("class Net: pass\n")
    config = {"arch": {"_target_": "some_net.Net", "mixer": {"_target_": "archs.Attention"}}}
    before = sources(config)
    assert list(before) == ["some_net"]
    (tmp_path / "some_net.py").write_text("class Net: depth = 2\n")
    assert sources(config) != before
    assert "some_net" not in sys.modules
    with pytest.raises(ValueError, match="no_such_net"):
        sources({"arch": {"_target_": "no_such_net.Net"}})
