"""What is not converted is refused in one line that names it, in both directions."""

import json
import os

import hf_models
import pytest
import torch
import transformers as hf
from hf_models import CASES

import archs
from archs.convert import engine
from archs.convert.engine import rule

# Strict in both directions ---------------------------------------------------------------------------


class Altered(hf.GPT2LMHeadModel):
    """GPT-2 whose weights are not what its configuration says."""

    alter: staticmethod

    def state_dict(self, *args, **kwargs):
        return self.alter(super().state_dict(*args, **kwargs))


Altered.__name__ = "GPT2LMHeadModel"
NORM, TABLE = "transformer.h.1.ln_2.bias", "transformer.wpe.weight"


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda s: {k: t for k, t in s.items() if k != NORM}, f"the model has no {NORM}"),
        (lambda s: s | {"extra.weight": torch.ones(1)}, "no rule converts: extra.weight"),
        (
            lambda s: s | {TABLE: s[TABLE][:7]},
            rf"{TABLE}: gives .* the shape \(7, 24\) instead of \(40, 24\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(alter, words):
    Altered.alter = staticmethod(alter)
    with pytest.raises(ValueError, match=words):
        archs.from_hf(Altered(hf_models.config("gpt")))


def test_a_backbone_with_a_weight_too_many_is_named(build):
    backbone = build("gpt")
    backbone.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="extra is Linear instead of absent"):
        archs.to_hf(backbone)


def test_one_embedding_cannot_be_two(perturb):
    reference = hf_models.model("bart", perturb, tie_word_embeddings=False)
    with pytest.raises(ValueError, match=r"model.decoder.embed_tokens.weight.* hold different numbers"):
        archs.from_hf(reference)


# What is refused by name ------------------------------------------------------------------------------

LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "factor": 2.0, "rope_theta": 10000.0}
REFUSED = [
    ("llama", {"hidden_act": "tanh"}),
    ("llama", {"rope_parameters": LINEAR}),
    ("mistral", {"rope_parameters": YARN}),
    ("llama", {"rope_parameters": {"rope_theta": 1e4, "rope_type": "default", "partial_rotary_factor": 0.5}}),
    ("llama", {"quantization_config": {"quant_method": "none"}}),
    ("mistral", {"layer_types": ["full_attention", "sliding_attention"]}),
    ("mixtral", {"router_jitter_noise": 0.1}),
    ("gpt", {"scale_attn_by_inverse_layer_idx": True}),
    ("gpt", {"scale_attn_weights": False}),
    ("gpt", {"add_cross_attention": True}),
    ("gpt", {"activation_function": "tanh"}),
    ("bert", {"is_decoder": True}),
    ("bert", {"position_embedding_type": "relative_key"}),
    ("t5", {"feed_forward_proj": "gated-tanh"}),
    ("bart", {"scale_embedding": True}),
    ("bart", {"decoder_ffn_dim": 48}),
    ("bart", {"decoder_attention_heads": 2}),
    ("bart", {"encoder_layerdrop": 0.1}),
    ("mamba", {"use_bias": True}),
    ("mamba", {"use_conv_bias": False}),
    ("mamba", {"hidden_act": "gelu"}),
    ("mamba2", {"use_bias": True}),
    ("mamba2", {"time_step_limit": (0.0, 0.1)}),
    ("hybrid", {"mamba_proj_bias": True}),
    ("hybrid", {"mamba_conv_bias": False}),
    ("hybrid", {"hidden_act": "gelu"}),
    ("hybrid", {"attn_layer_indices": None}),
    ("hybrid", {"attn_layer_indices": [0, 1, 2]}),
    ("hybrid", {"z_loss_coefficient": 0.1}),
    ("hybrid", {"time_step_limit": (0.001, 0.1)}),
    ("modernbert", {"norm_bias": True}),
    ("modernbert", {"hidden_activation": "tanh"}),
]


@pytest.mark.parametrize(("name", "changes"), REFUSED, ids=[f"{n}-{next(iter(c))}" for n, c in REFUSED])
def test_unsupported_features_are_refused_by_name(name, changes):
    """Before the weights are looked at: the configuration of a model is enough."""
    key = next(iter(changes))
    made = CASES[name].model(hf_models.config(name))
    made.config = hf_models.config(name, **changes)
    shown = {"feed_forward_proj": "dense_act_fn", "norm_bias": "classifier_bias"}.get(key, key)
    with pytest.raises(
        ValueError, match=rf"^{CASES[name].config.__name__} has {shown}=.* is not supported: "
    ):
        archs.from_hf(made)


@pytest.mark.parametrize("made", [torch.nn.Linear(2, 2), None, hf.BertModel(hf_models.config("bert"))])
def test_other_classes_are_refused(made):
    with pytest.raises(
        ValueError, match=f"model is a {type(made).__name__}: expected a path, or one of Bert"
    ):
        archs.from_hf(made)


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("gpt", ["arch/position=alibi"], "GPT2LMHeadModel is near, but stack.position is Alibi instead of"),
        ("gpt", ["arch/norm=rms"], "RMSNorm instead of"),
        ("gpt", ["kv_heads=2"], r"kv_heads is 2 instead of 4"),
        ("bert", ["post_norm=false"], r"BertForMaskedLM is near, but \S"),
        ("llama", ["arch/mlp=none"], "none is near"),
        ("llama", ["position.fraction=0.5", "head_dim=8"], "fraction is 0.5 instead of 1.0"),
        ("t5", ["mixer.scale=null"], "scale is .* instead of 1.0"),
        ("mamba2", ["inner=50", "heads=5"], "inner=50 is no multiple of dim=24"),
        ("mamba", ["arch/mlp=swiglu"], "MambaForCausalLM is near, but stack.layers.0.mlp is .* absent"),
    ],
)
def test_what_transformers_has_no_class_for(name, overrides, words, build):
    backbone = build(name, *overrides)
    for convert in (archs.to_hf, archs.hf_config):
        with pytest.raises(ValueError, match=f"^transformers has no class for this backbone: .*{words}"):
            convert(backbone)


def test_only_backbones_go_out():
    with pytest.raises(ValueError, match=r"backbone is a Linear: expected an archs\.Encoder"):
        archs.to_hf(torch.nn.Linear(2, 2))


# Folders ---------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    hf.BertForMaskedLM(hf_models.config("bert")).save_pretrained(tmp_path)
    return tmp_path


def test_a_name_is_no_folder():
    with pytest.raises(ValueError, match=r"^bert-base-uncased is not a folder: .*nothing is downloaded"):
        archs.from_hf("bert-base-uncased")


def test_pickles_are_never_read(saved):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(saved / "exploded"),)

    (saved / "model.safetensors").unlink()
    torch.save({"weights": Bomb()}, saved / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"has no safetensors but only pytorch_model.bin, a pickle"):
        archs.from_hf(saved)
    assert not (saved / "exploded").exists()


def test_other_folders_are_refused(tmp_path, saved):
    with pytest.raises(ValueError, match=r"has no config.json"):
        archs.from_hf(saved.parent)
    config = saved / "config.json"
    content = json.loads(config.read_text())
    config.write_text("not json")
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        archs.from_hf(saved)
    config.write_text(json.dumps(content | {"model_type": "rwkv"}))
    with pytest.raises(ValueError, match="holds a model of type 'rwkv', which is none of bert, gpt2, llama"):
        archs.from_hf(saved)


def test_weights_of_other_heads(tmp_path):
    """BERT's second pretraining head is left out, knowingly; one that lacks the first is refused."""
    hf.BertForPreTraining(hf_models.config("bert")).save_pretrained(tmp_path / "whole")
    archs.from_hf(tmp_path / "whole")
    hf.BertForSequenceClassification(hf_models.config("bert")).save_pretrained(tmp_path / "classes")
    with pytest.raises(ValueError, match=r"has no cls.predictions"):
        archs.from_hf(tmp_path / "classes")


def test_without_transformers(saved, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'archs\[hf\]'"):
        archs.from_hf(saved)


# The table itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([rule("a", "x"), rule("a", "y")], "the backbone has keys that two rules convert: a"),
        ([rule("a", "x"), rule("b", "x")], "the (model|table) has keys that two rules convert: x"),
        ([rule("a", "x", "y")], "the backbone has keys that no rule converts: b"),
        ([rule("a", "x"), rule("b", "y"), rule("c", "z")], "the (model|backbone) has no (c|z)"),
    ],
)
def test_a_table_uses_every_key_of_both_sides_once(rules, words):
    ours, others = ({name: torch.zeros(2) for name in names} for names in ("ab", "xy"))
    for convert in (lambda: engine.read(rules, others, ours), lambda: engine.write(rules, ours)):
        with pytest.raises(ValueError, match=words):
            convert()
