"""Weights in and out: round trips, saved folders, and what comes along."""

import copy
import json

import hf_models
import pytest
import torch
import transformers as hf
from hf_models import CASES, SEQUENCE_TO_SEQUENCE, logits, theirs, tokens

import archs
from archs.convert import differences, outline


def given_to(name):
    sides = {"source": tokens(2, 7, 1)} if name in SEQUENCE_TO_SEQUENCE else {}
    return {"x": tokens(2, 11), **sides}


@torch.no_grad()
def outputs(made, name):
    called = theirs if isinstance(made, hf.PreTrainedModel) else logits
    out = called(made, **given_to(name))
    return getattr(out, "logits", out)


# Round trips -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name, perturb):
    """A fresh transformers model of hf_config takes to_hf strictly and computes what the first computed."""
    reference = hf_models.model(name, perturb)
    backbone = archs.from_hf(reference)
    assert not backbone.training
    config, weights = archs.hf_config(backbone, pad_token_id=0), archs.to_hf(backbone)
    assert set(weights) == set(reference.state_dict())
    fresh = CASES[name].model(config).to(next(backbone.parameters()).dtype).eval()
    fresh.load_state_dict(weights, strict=True)
    if name == "t5_v1_1":
        fresh = CASES[name].model.from_pretrained(None, config=config, state_dict=weights).eval()
    scale = outputs(reference, name).abs().max()
    assert (outputs(fresh, name) - outputs(reference, name)).abs().max() <= 1e-5 * scale
    again = archs.from_hf(fresh)
    assert differences(again, backbone) == []
    assert torch.equal(outputs(again, name), outputs(backbone, name))


@pytest.mark.parametrize("name", CASES)
def test_a_saved_model_is_the_model(name, perturb, tmp_path):
    """Also where the names on disk are others (Mixtral's experts) and where it was untied (T5 v1.1)."""
    reference = hf_models.model(name, perturb)
    reference.save_pretrained(tmp_path)
    loaded, expected = archs.from_hf(tmp_path), archs.from_hf(reference)
    assert differences(loaded, expected) == []
    weights = loaded.state_dict()
    assert all(torch.equal(weights[key], tensor) for key, tensor in expected.state_dict().items())
    arch, shape = outline(tmp_path)
    assert arch == name.removesuffix("_v1_1")
    assert shape.embedding.weight.is_meta
    assert differences(shape, expected) == []


def test_published(build, tmp_path):
    """What was trained here is a transformers model, with the token ids that it is told."""
    backbone = build("gpt", "position.max_len=16")
    config = archs.hf_config(backbone, pad_token_id=0, bos_token_id=2, eos_token_id=3)
    weights = archs.to_hf(backbone)
    hf.GPT2LMHeadModel.from_pretrained(None, config=config, state_dict=weights).save_pretrained(tmp_path)
    found = hf.GPT2LMHeadModel.from_pretrained(tmp_path)
    assert (found.config.pad_token_id, found.config.eos_token_id) == (0, 3)
    torch.testing.assert_close(outputs(found, "gpt"), outputs(backbone, "gpt"))


@pytest.mark.parametrize("name", ["gpt", "bert", "mamba"])
def test_what_is_published_is_a_copy(name, build):
    """Training the published model on must not train the backbone."""
    backbone = build(name)
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    for tensor in archs.to_hf(backbone).values():
        tensor.fill_(7.0)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("llama", {"attention_dropout": 0.2}),
        ("gpt", {"embd_pdrop": 0.1, "resid_pdrop": 0.2, "attn_pdrop": 0.3}),
        ("bert", {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3}),
        ("t5", {"dropout_rate": 0.3}),
        ("bart", {"dropout": 0.2, "attention_dropout": 0.3, "activation_dropout": 0.4}),
        ("modernbert", {"embedding_dropout": 0.1, "attention_dropout": 0.2, "mlp_dropout": 0.3}),
    ],
)
def test_dropout_rates_come_along(name, changes, perturb):
    config = archs.hf_config(archs.from_hf(hf_models.model(name, perturb, **changes)))
    assert {key: getattr(config, key) for key in changes} == changes


def test_dtype_comes_along_and_random_streams_stay(perturb):
    reference = hf_models.model("llama", perturb).bfloat16()
    before = torch.random.get_rng_state()
    backbone = archs.from_hf(reference)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert {p.dtype for p in backbone.parameters()} == {torch.bfloat16}


def test_what_does_not_decay_still_does_not(perturb):
    backbone = archs.from_hf(hf_models.model("mamba", perturb))
    _, spared = archs.decay_groups(backbone, 0.1)
    assert any(p is backbone.stack.layers[0]["mixer"].fn.A_log for p in spared["params"])


# Released configurations hold more than their classes know ------------------------------------------

OLD = {
    "bert": {"position_embedding_type": "absolute", "gradient_checkpointing": False},
    "gpt": {"n_ctx": 40, "task_specific_params": {"text-generation": {"max_length": 50}}},
    "t5": {"n_positions": 512, "output_past": True},
    "bart": {"normalize_before": False, "normalize_embedding": True, "add_final_layer_norm": False},
    "llama": {"rope_scaling": None, "rope_theta": 10000.0, "pretraining_tp": 1, "torch_dtype": "float32"},
    "mamba": {"d_inner": 48, "rms_norm": True, "ssm_cfg": {}, "fused_add_norm": True},
    "mamba2": {"norm_before_gate": True, "time_step_scale": 1.0},
    "hybrid": {"attn_rotary_emb": 4, "rope_scaling": None},
    "modernbert": {"layer_norm_eps": 1e-5, "global_rope_theta": 160000.0, "reference_compile": None},
}


@pytest.mark.parametrize("name", OLD)
def test_old_configurations(name, perturb, tmp_path):
    hf_models.model(name, perturb).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | OLD[name]))
    archs.from_hf(tmp_path)


def test_a_copy_is_recognised(perturb):
    backbone = copy.deepcopy(archs.from_hf(hf_models.model("gpt", perturb)))
    assert set(archs.to_hf(backbone)) == set(hf_models.model("gpt", perturb).state_dict())
