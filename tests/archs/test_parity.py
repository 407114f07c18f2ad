"""Every family against transformers: logits and gradients, all weights perturbed, padded on either side."""

import copy

import hf_models
import pytest
import torch
from hf_models import CASES, SEQUENCE_TO_SEQUENCE, V, logits, theirs, tokens
from transformers.models.t5.modeling_t5 import T5Attention

import archs
from archs import T5Bias

TYPES = "bert.embeddings.token_type_embeddings.weight"
# Lengths beyond a window of 7 and 5, T5's farthest distance (source 150) and any convolution; 2: within one.
LONG, SHORT, SOURCE = 19, 2, 11
FAR = {"t5": (133, 150), "t5_v1_1": (133, 150)}


def mask(lengths, longest, left=False):
    """(B, longest) bool: so many kept tokens per row, at its beginning or at its end."""
    keep = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return keep.flip(1) if left else keep


def batch(name, padding, length=LONG):
    """What a model is called with: x, keep, and source, source_keep where it has an encoder of its own."""
    length, source = FAR.get(name, (length, SOURCE))
    given = {"x": tokens(2, length)}
    if padding:
        given["keep"] = mask((length, length // 3 + 1), length, padding == "left")
    if name in SEQUENCE_TO_SEQUENCE:
        given["source"] = tokens(2, source, seed=1)
        if padding:
            given["source_keep"] = mask((source // 2, source), source, padding == "left")
    return given


def compare(reference, given, tolerance):
    """Logits at real positions, and every gradient, by the table that copied the weights."""
    backbone = archs.from_hf(reference)
    x = given["x"]
    keep = given.get("keep", torch.ones_like(x, dtype=torch.bool))
    ours, expected = logits(backbone, **given), theirs(reference, **given).logits
    assert (ours - expected)[keep].abs().max() <= tolerance * expected[keep].abs().max()

    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3), dtype=expected.dtype)
    for found in (ours, expected):
        (found * weights * keep[..., None]).sum().backward()
    gradients = copy.deepcopy(backbone)
    for name, parameter in gradients.named_parameters():
        parameter.data = dict(backbone.named_parameters())[name].grad
    written = archs.to_hf(gradients)
    for name, parameter in reference.state_dict(keep_vars=True).items():
        if parameter.grad is None:  # buffers, and an untied BERT's second bias
            continue
        mine = written[name]
        if name == TYPES:  # folded: what all positions share is what its one row gets
            mine = torch.zeros_like(parameter.grad)
            mine[0] = written["bert.embeddings.position_embeddings.weight"].sum(0)
        off = (mine - parameter.grad).abs().max()
        assert off <= 10 * tolerance * max(1.0, parameter.grad.abs().max()), name


PADDED = [(n, p) for n in CASES for p in (None, "right", "left") if p != "left" or CASES[n].left]


@pytest.mark.parametrize(("name", "padding"), PADDED)
def test_logits_and_gradients_are_transformers(name, padding, perturb):
    compare(hf_models.model(name, perturb), batch(name, padding), CASES[name].tolerance)


@pytest.mark.parametrize("name", ["mistral", "mamba", "mamba2", "hybrid", "modernbert"])
def test_shorter_than_a_window_or_a_convolution(name, perturb):
    compare(hf_models.model(name, perturb), batch(name, None, SHORT), CASES[name].tolerance)


VARIANTS = {
    "llama-biased": ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "llama-theta": ("llama", {"rope_theta": 500.0, "hidden_act": "gelu", "num_key_value_heads": 1}),
    "gpt-untied": ("gpt", {"tie_word_embeddings": False, "n_inner": None, "activation_function": "relu"}),
    "bert-untied": ("bert", {"tie_word_embeddings": False, "type_vocab_size": 3, "hidden_act": "gelu_new"}),
    "t5-unscaled": ("t5", {"scale_decoder_outputs": False, "feed_forward_proj": "gated-silu"}),
    "t5-buckets": ("t5", {"relative_attention_num_buckets": 12, "relative_attention_max_distance": 40}),
    "mistral-full": ("mistral", {"sliding_window": None}),
    "mixtral-window": ("mixtral", {"sliding_window": 7, "num_experts_per_tok": 3, "head_dim": 10}),
    "bart-relu": ("bart", {"activation_function": "relu", "decoder_layers": 1}),
    "mamba-untied": ("mamba", {"tie_word_embeddings": False, "conv_kernel": 2}),
    "mamba2-tied": ("mamba2", {"tie_word_embeddings": True, "n_groups": 1, "layer_norm_epsilon": 1e-3}),
    "hybrid-biased": ("hybrid", {"attn_layer_indices": [0, 2], "attention_bias": True, "mlp_bias": True}),
    "modernbert-biased": (
        "modernbert",
        {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True},
    ),
    "modernbert-local": (
        "modernbert",
        {
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "decoder_bias": False,
            "tie_word_embeddings": False,
            "classifier_activation": "silu",
        },
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_transformers(variant, perturb):
    name, changes = VARIANTS[variant]
    compare(hf_models.model(name, perturb, **changes), batch(name, "right"), CASES[name].tolerance)


@pytest.mark.parametrize("padding", [None, "right"])
def test_balancing_loss_is_mixtrals(padding, perturb):
    """All layers pooled, pads left out."""
    reference = hf_models.model("mixtral", perturb, output_router_logits=True)
    backbone, given = archs.from_hf(reference), batch("mixtral", padding)
    expected = 0.001 * theirs(reference, **given).aux_loss
    torch.testing.assert_close(backbone(**{"tokens": given.pop("x"), **given}).aux["balance"], expected)


@pytest.mark.parametrize("causal", [True, False])
def test_buckets_of_distance_are_t5s(causal):
    relative = torch.arange(-300, 301)
    expected = T5Attention._relative_position_bucket(relative, bidirectional=not causal)
    assert torch.equal(T5Bias(8, causal, heads=2).bucket(relative), expected)


@pytest.mark.parametrize("name", CASES)
def test_the_yaml_is_the_architecture(name, build, perturb):
    """conf/arch/NAME.yaml composes to the same keys, shapes, settings and logits."""
    reference = hf_models.model(name, perturb)
    loaded = archs.from_hf(reference)
    composed = build(name, *CASES[name].overrides, vocab_size=V).to(next(loaded.parameters()).dtype)
    shapes = [{k: t.shape for k, t in m.state_dict().items()} for m in (composed, loaded)]
    assert shapes[0] == shapes[1]
    assert archs.convert.differences(composed, loaded) == []
    composed.load_state_dict(loaded.state_dict())
    given = batch(name, "right")
    with torch.no_grad():
        assert torch.equal(logits(composed, **given), logits(loaded, **given))
