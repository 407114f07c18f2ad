"""ModernBERT (Warner et al. 2024): transformers' ModernBertForMaskedLM."""

from __future__ import annotations

from functools import partial
from typing import Any

from archs.attention import Attention
from archs.backbones import Encoder
from archs.convert.engine import Rule, layers, linear, rule
from archs.convert.parts import Counterpart, act_name, ends, expect, has_bias, need, sublayers, tied
from archs.convert.values import ANY, Values
from archs.heads import LMHead, Transform
from archs.mlp import GatedMLP
from archs.norms import LayerNorm
from archs.positions import Rotary

# Rotary positions have no end. How weights start, losses and kernels are computed, and old names.
INERT = {
    "classifier_pooling": ANY,
    "cls_token_id": ANY,
    "deterministic_flash_attn": ANY,
    "global_attn_every_n_layers": ANY,
    "initializer_cutoff_factor": ANY,
    "layer_norm_eps": ANY,
    "max_position_embeddings": ANY,
    "position_embedding_type": ("absolute",),
    "reference_compile": ANY,
    "repad_logits_with_grad": ANY,
    "sparse_pred_ignore_index": ANY,
    "sparse_prediction": ANY,
}
FULL, LOCAL = "full_attention", "sliding_attention"


def build(values: Values) -> Encoder:
    kinds = {FULL: "full", LOCAL: "local"}
    if not set(values["layer_types"]) <= set(kinds):
        raise values.refuse("layer_types", f"{FULL} and {LOCAL} alone")
    mixer = partial(
        Attention,
        heads=values["num_attention_heads"],
        bias=values["attention_bias"],
        dropout=values["attention_dropout"],
    )
    # Theirs reads half of it to each side, ours less than `window`.
    mixers = {"full": mixer, "local": partial(mixer, window=values["local_attention"] // 2 + 1)}
    pattern = [kinds[kind] for kind in values["layer_types"]]
    norm, bias = values["norm_eps"], values.same("norm_bias", "classifier_bias")
    backbone = Encoder(
        vocab_size=values["vocab_size"],
        dim=values["hidden_size"],
        depth=values["num_hidden_layers"],
        mixers={name: factory for name, factory in mixers.items() if name in pattern},
        pattern=pattern,
        mlp=partial(
            GatedMLP,
            hidden=values["intermediate_size"],
            act=values.activation("hidden_activation"),
            bias=values["mlp_bias"],
            dropout=values["mlp_dropout"],
        ),
        norm=partial(LayerNorm, eps=norm, bias=bias),
        position=partial(
            Rotary, theta=values.rope(of=FULL)["theta"], local_theta=values.rope(of=LOCAL)["theta"]
        ),
        head=partial(
            LMHead,
            tied=values["tie_word_embeddings"],
            transform=partial(Transform, act=values.activation("classifier_activation"), eps=norm, bias=bias),
            bias=values["decoder_bias"],
        ),
        embed_norm=True,
    )
    backbone.stack.embed_dropout.p = values["embedding_dropout"]
    for sublayer in sublayers(backbone.stack, "mixer"):
        sublayer.dropout.p = values["attention_dropout"]
    return backbone


def configure(backbone: Encoder) -> dict[str, Any]:
    stack = expect(backbone, Encoder).stack
    mixers = [expect(sublayer.fn, Attention) for sublayer in sublayers(stack, "mixer")]
    mlp = expect(sublayers(stack, "mlp")[0].fn, GatedMLP)
    norm, position = (
        need(stack.final_norm, LayerNorm, "stack.final_norm"),
        need(stack.position, Rotary, "stack.position"),
    )
    transform = need(backbone.lm_head.transform, Transform, "lm_head.transform")
    windows = [mixer.window for mixer in mixers if mixer.window is not None]
    local_theta = position.theta if position.local_theta is None else position.local_theta
    return {
        "vocab_size": backbone.vocab_size,
        "hidden_size": backbone.dim,
        "num_hidden_layers": len(mixers),
        "num_attention_heads": mixers[0].heads,
        "attention_bias": has_bias(mixers[0].out),
        "layer_types": [FULL if mixer.window is None else LOCAL for mixer in mixers],
        "local_attention": 2 * (windows[0] - 1) if windows else 128,
        "rope_parameters": {
            FULL: {"rope_type": "default", "rope_theta": position.theta},
            LOCAL: {"rope_type": "default", "rope_theta": local_theta},
        },
        "intermediate_size": mlp.hidden,
        "hidden_activation": act_name(mlp.act),
        "mlp_bias": has_bias(mlp.down),
        "norm_eps": norm.eps,
        "norm_bias": norm.bias is not None,
        "classifier_bias": has_bias(transform.dense),
        "classifier_activation": act_name(transform.act),
        "decoder_bias": backbone.lm_head.bias is not None,
        "tie_word_embeddings": tied(backbone),
        "embedding_dropout": stack.embed_dropout.p,
        "attention_dropout": mixers[0].dropout,
        "mlp_dropout": mlp.dropout.p,
    }


def rules(backbone: Encoder) -> list[Rule]:
    stack, head = backbone.stack, backbone.lm_head
    mixer = expect(sublayers(stack, "mixer")[0].fn, Attention)
    mlp = expect(sublayers(stack, "mlp")[0].fn, GatedMLP)
    normed, depth = stack.final_norm.bias is not None, range(len(stack.layers))
    ours, theirs = "stack.layers.{i}", "model.layers.{i}"
    layer = [
        *linear(f"{ours}.mixer.fn.qkv", f"{theirs}.attn.Wqkv", bias=has_bias(mixer.out)),
        *linear(f"{ours}.mixer.fn.out", f"{theirs}.attn.Wo", bias=has_bias(mixer.out)),
        *linear(f"{ours}.mlp.norm", f"{theirs}.mlp_norm", bias=normed),
        *linear(f"{ours}.mlp.fn.up", f"{theirs}.mlp.Wi", bias=has_bias(mlp.down)),
        *linear(f"{ours}.mlp.fn.down", f"{theirs}.mlp.Wo", bias=has_bias(mlp.down)),
    ]
    return [
        *ends(backbone, "decoder.weight", "model.embeddings.tok_embeddings.weight"),
        *([rule("lm_head.bias", "decoder.bias")] if head.bias is not None else []),
        *linear("stack.embed_norm", "model.embeddings.norm", bias=normed),
        *linear("stack.final_norm", "model.final_norm", bias=normed),
        *linear("lm_head.transform.dense", "head.dense", bias=normed),
        *linear("lm_head.transform.norm", "head.norm", bias=normed),
        *layers(depth, layer),
        # The embeddings have just been normed: the first layer does not norm them again.
        *layers(depth[1:], linear(f"{ours}.mixer.norm", f"{theirs}.attn_norm", bias=normed)),
    ]


MODERNBERT = Counterpart(
    name="modernbert",
    model_type="modernbert",
    config_class="ModernBertConfig",
    model_class="ModernBertForMaskedLM",
    build=build,
    configure=configure,
    rules=rules,
    embedding="model.embeddings.tok_embeddings.weight",
    output="decoder.weight",
    inert=INERT,
)
