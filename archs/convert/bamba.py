"""Bamba, the hybrid of Mamba-2 and attention layers that transformers has: BambaForCausalLM, our `hybrid`."""

from __future__ import annotations

from functools import partial
from typing import Any

from archs.attention import Attention
from archs.backbones import Decoder
from archs.convert import llama
from archs.convert.engine import Rule, layers, rule
from archs.convert.mamba import expansion, ssd_rules
from archs.convert.parts import Counterpart, Unlike, act_name, ends, expect, has_bias, need, sublayers
from archs.convert.values import ANY, Values
from archs.mlp import GatedMLP
from archs.positions import Rotary
from archs.ssd import SSD

# Rotary positions have no end; two others cut what is computed into chunks, and what is given back.
INERT = {
    "max_position_embeddings": ANY,
    "mamba_chunk_size": ANY,
    "num_logits_to_keep": ANY,
    "attn_rotary_emb": ANY,  # of the original code; partial_rotary_factor is what the class reads
}


def build(values: Values) -> Decoder:
    depth, chosen = values["num_hidden_layers"], values["attn_layer_indices"] or []
    inner = values["mamba_expand"] * values["hidden_size"]
    if inner != values["mamba_n_heads"] * values["mamba_d_head"]:
        raise values.refuse("mamba_d_head", "mamba_n_heads * mamba_d_head must be mamba_expand * hidden_size")
    if values["hidden_act"] != "silu":
        raise values.refuse("hidden_act", "the state-space layers take silu alone")
    mixers = {
        "ssd": partial(
            SSD,
            heads=values["mamba_n_heads"],
            inner=inner,
            state=values["mamba_d_state"],
            groups=values["mamba_n_groups"],
            conv=values["mamba_d_conv"],
            eps=values["rms_norm_eps"],
        ),
        "attention": partial(
            Attention,
            heads=values["num_attention_heads"],
            kv_heads=values["num_key_value_heads"],
            bias=values["attention_bias"],
            dropout=values["attention_dropout"],
        ),
    }
    pattern = ["attention" if layer in chosen else "ssd" for layer in range(depth)]
    if set(pattern) != set(mixers):
        raise values.refuse("attn_layer_indices", "some layers must be attention, and some not")
    mlp = llama.gated(values, values["mlp_bias"])
    rope = values.rope(partial=True)
    turning = int(rope["fraction"] * (values["hidden_size"] // values["num_attention_heads"]))
    if turning % 2:
        raise values.refuse("rope_parameters", f"an odd number of channels, {turning}, would turn")
    return llama.decoder(values, mlp, rope, mixers=mixers, pattern=pattern)


def _mixers(backbone: Decoder) -> list[Any]:
    return [sublayer.fn for sublayer in sublayers(backbone.stack, "mixer")]


def _first(backbone: Decoder, cls: type[Any]) -> Any:
    for mixer in _mixers(backbone):
        if isinstance(mixer, cls):
            return mixer
    raise Unlike(f"no layer has {cls.__name__}")


def configure(backbone: Decoder) -> dict[str, Any]:
    expect(backbone, Decoder)
    attention, ssd = _first(backbone, Attention), _first(backbone, SSD)
    mlp = expect(sublayers(backbone.stack, "mlp")[0].fn, GatedMLP)
    values = llama.ends_of(backbone) | llama.attention_of(attention)
    del values["head_dim"]  # it has none: hidden_size / num_attention_heads
    rotary = need(backbone.stack.position, Rotary, "stack.position")
    values["rope_parameters"]["partial_rotary_factor"] = rotary.fraction
    return values | {
        "attn_layer_indices": [
            i for i, mixer in enumerate(_mixers(backbone)) if isinstance(mixer, Attention)
        ],
        "attention_bias": has_bias(attention.out),
        "mlp_bias": has_bias(mlp.down),
        "intermediate_size": mlp.hidden,
        "hidden_act": act_name(mlp.act),
        "mamba_expand": expansion(ssd),
        "mamba_n_heads": ssd.heads,
        "mamba_d_head": ssd.inner // ssd.heads,
        "mamba_d_state": ssd.state,
        "mamba_n_groups": ssd.groups,
        "mamba_d_conv": ssd.taps,
    }


def rules(backbone: Decoder) -> list[Rule]:
    ours, theirs = "stack.layers.{i}", "model.layers.{i}"
    mlp = expect(sublayers(backbone.stack, "mlp")[0].fn, GatedMLP)
    table = [
        *ends(backbone, "lm_head.weight", "model.embed_tokens.weight"),
        rule("stack.final_norm.weight", "model.final_layernorm.weight"),
    ]
    for i, mixer in enumerate(_mixers(backbone)):
        inside = (
            llama.attention_rules(mixer, f"{ours}.mixer.fn", f"{theirs}.self_attn")
            if isinstance(mixer, Attention)
            else ssd_rules(f"{ours}.mixer.fn", f"{theirs}.mamba")
        )
        layer = [
            *inside,
            rule(f"{ours}.mixer.norm.weight", f"{theirs}.input_layernorm.weight"),
            rule(f"{ours}.mlp.norm.weight", f"{theirs}.pre_ff_layernorm.weight"),
            *llama.gated_rules(mlp, f"{ours}.mlp.fn", f"{theirs}.feed_forward"),
        ]
        table += layers([i], layer)
    return table


HYBRID = Counterpart(
    name="hybrid",
    model_type="bamba",
    config_class="BambaConfig",
    model_class="BambaForCausalLM",
    build=build,
    configure=configure,
    rules=rules,
    embedding="model.embed_tokens.weight",
    inert=INERT,
)
