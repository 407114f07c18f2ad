"""Runs that start from a model which transformers saved: init_from=hf:FOLDER."""

import json
import re

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import archs
from harness import build
from harness.compose import compose
from harness.errors import ConfigError
from harness.loading import init_weights
from harness.plan import plan
from harness.train import run

V = 363  # of the byte tokenizer
PUBLISHED = {
    "gpt": ["arch.heads=4", "arch.position.max_len=70"],
    "llama": ["arch.head_dim=6", "arch.hidden=40", "arch/head=untied", "arch.position.theta=500.0"],
    "mistral": ["arch.mixer.window=9", "arch.kv_heads=1"],
    "mixtral": ["arch.mlp.experts=3", "arch.norm.eps=1e-6"],
    "bert": ["arch.position.max_len=70", "arch.mlp.act=relu", "arch.head.transform.act=relu"],
    "modernbert": ["arch.depth=5", "arch.mixers.local.window=6", "arch.pattern=[local,full]"],
    "t5": ["arch.decoder_depth=3", "arch.head_dim=10", "arch.position.buckets=12"],
    "t5_v1_1": ["arch.hidden=44"],
    "bart": ["arch.position.max_len=70", "arch.depth=3"],
    "mamba": ["arch.inner=50", "arch.mixer.dt_rank=3", "arch.mixer.state=5", "arch.mixer.conv=3"],
    "mamba2": ["arch.mixer.groups=2", "arch.mixer.state=6"],
    "hybrid": ["arch.pattern=[ssd,attention]", "arch.mixers.ssd.heads=6", "arch.bias=true"],
}


def publish(folder, arch, *overrides, vocab_size=V, seed=0):
    """A model of this architecture with random weights, as transformers saves it."""
    torch.manual_seed(seed)
    small = ["arch.dim=24", "arch.depth=2", "arch.heads=2"]
    backbone = build(arch, vocab_size=vocab_size, overrides=[*small, *overrides])
    config = archs.hf_config(backbone, pad_token_id=0)
    model = getattr(transformers, config.architectures[0])
    model.from_pretrained(None, config=config, state_dict=archs.to_hf(backbone)).save_pretrained(folder)
    return backbone


def fitted(tiny, folder, *overrides, wrong="arch=gpt"):
    """A configuration that fits the model, by the overrides that the refusal of another one names."""
    with pytest.raises(ValueError, match=f"^init_from=hf:{re.escape(str(folder))} does not fit: ") as refused:
        plan(tiny(wrong, f"init_from=hf:{folder}"))
    assert "\n" not in str(refused.value)
    assert "which no override changes" not in str(refused.value)
    return tiny(*str(refused.value).split("; use ")[1].split(), f"init_from=hf:{folder}", *overrides)


@pytest.mark.parametrize(
    "arch", [a if a in ("gpt", "hybrid") else pytest.param(a, marks=pytest.mark.slow) for a in PUBLISHED]
)
def test_the_overrides_that_a_refusal_names_make_it_fit(arch, tiny, tmp_path):
    published = publish(tmp_path / "model", arch, *PUBLISHED[arch])
    wrong = "arch=bert" if arch == "gpt" else "arch=gpt"
    planned = plan(fitted(tiny, tmp_path / "model", wrong=wrong))
    backbone = planned.arch.build(planned.task.vocab_size)
    init_weights(backbone, planned.config["init_from"])
    expected = published.state_dict()
    assert backbone.state_dict().keys() == expected.keys()
    for name, tensor in backbone.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], msg=name)


def test_a_run_starts_there(tiny, tmp_path):
    published = publish(tmp_path / "model", "gpt", *PUBLISHED["gpt"])
    config = fitted(tiny, tmp_path / "model", "optim.lr=1e-12", "optim.weight_decay=0", wrong="arch=llama")
    assert run(config) == 0
    folder = plan(config).folder
    assert json.loads((folder / "run.json").read_text())["status"] == "completed"
    found = load_file(folder / "model.safetensors")
    for name, tensor in published.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_other_weights_are_another_run_and_another_place_is_not(tiny, tmp_path):
    first, moved, second = (tmp_path / name for name in ("first", "moved", "second"))
    publish(first, "gpt", *PUBLISHED["gpt"])
    config = fitted(tiny, first, wrong="arch=llama")
    first.rename(moved)
    publish(second, "gpt", *PUBLISHED["gpt"], seed=1)
    keys = {}
    for folder in (moved, second, None):
        config.init_from = folder and f"hf:{folder}"
        keys[folder] = plan(config).identity
    first.symlink_to(moved)
    config.init_from = f"hf:{first}"
    assert plan(config).identity == keys[moved]
    assert len(set(keys.values())) == 3

    weights = load_file(moved / "model.safetensors")
    weights["transformer.ln_f.bias"] += 1
    save_file(weights, moved / "model.safetensors", {"format": "pt"})
    assert plan(config).identity not in keys.values()


def test_a_vocabulary_of_another_size_is_named_with_both_numbers(tiny, tmp_path):
    publish(tmp_path / "model", "gpt", "arch.heads=4", vocab_size=100)
    config = tiny("arch.dim=24", "arch.depth=2", "arch.heads=4", f"init_from=hf:{tmp_path}/model")
    with pytest.raises(ValueError, match=f"does not fit: the model has 100 tokens and .* vocabulary {V}$"):
        plan(config)


def test_what_no_override_gives_is_said(tiny, tmp_path):
    """A pattern that leaves one of its mixers out."""
    publish(tmp_path / "model", "modernbert", "arch/mixer@arch.mixers.full=sliding")
    words = r"use arch=modernbert .*; which no override changes: pattern=\['local', 'local'\] over depth=2"
    with pytest.raises(ValueError, match=words):
        plan(tiny("arch=gpt", f"init_from=hf:{tmp_path}/model"))


@pytest.mark.parametrize("value", ["hf:bert-base-uncased", "hf:", "somewhere"])
def test_what_is_no_folder_is_refused_before_any_work(value, tiny):
    with pytest.raises(
        ConfigError, match=r"init_from takes the folder of a finished run, .* or hf:FOLDER of"
    ):
        compose("train", [f"init_from={value}"])


def test_a_pickle_is_refused(tiny, tmp_path):
    publish(tmp_path / "model", "gpt")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"only pytorch_model.bin, a pickle, which is never read"):
        plan(tiny(f"init_from=hf:{tmp_path}/model"))
