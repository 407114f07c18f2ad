"""Llama, Mistral and Mixtral: one decoder, whose attention has a window or not, and whose MLP is one or many.

Llama    transformers' LlamaForCausalLM    (Touvron et al. 2023)
Mistral  transformers' MistralForCausalLM  (Jiang et al. 2023)
Mixtral  transformers' MixtralForCausalLM  (Jiang et al. 2024)

The loss of Mixtral's router is in `Output.aux["balance"]` here, weighted by router_aux_loss_coef, whenever no
state is carried; there it is added with output_router_logits alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from archs.attention import Attention
from archs.backbones import Decoder
from archs.convert.engine import Cat, Rule, layers, linear, rule
from archs.convert.parts import Counterpart, act_name, ends, expect, has_bias, need, qkv, sublayers, tied
from archs.convert.values import ANY, Values
from archs.heads import LMHead
from archs.mlp import GatedMLP
from archs.moe import MoE
from archs.norms import RMSNorm
from archs.positions import Rotary
from archs.residual import Factory

# Rotary positions have no end, pretraining_tp only splits products.
INERT = {"max_position_embeddings": ANY, "pretraining_tp": ANY, "output_router_logits": ANY}


def attention(values: Values, bias: bool, window: int | None = None) -> Factory:
    return partial(
        Attention,
        heads=values["num_attention_heads"],
        kv_heads=values["num_key_value_heads"],
        head_dim=values["head_dim"],
        window=window,
        bias=bias,
        dropout=values["attention_dropout"],
    )


def gated(values: Values, bias: bool) -> Factory:
    act = values.activation("hidden_act")
    return partial(GatedMLP, hidden=values["intermediate_size"], act=act, bias=bias)


def decoder(values: Values, mlp: Factory, rope: dict[str, float], **mixer: Any) -> Decoder:
    """A pre-norm decoder with RMSNorm and rotary positions. mixer: as Decoder takes one or several."""
    return Decoder(
        vocab_size=values["vocab_size"],
        dim=values["hidden_size"],
        depth=values["num_hidden_layers"],
        mlp=mlp,
        norm=partial(RMSNorm, eps=values["rms_norm_eps"]),
        position=partial(Rotary, theta=rope["theta"], fraction=rope["fraction"]),
        head=partial(LMHead, tied=values["tie_word_embeddings"]),
        **mixer,
    )


def ends_of(backbone: Decoder) -> dict[str, Any]:
    """What `decoder` reads."""
    rotary = need(backbone.stack.position, Rotary, "stack.position")
    return {
        "vocab_size": backbone.vocab_size,
        "hidden_size": backbone.dim,
        "num_hidden_layers": len(backbone.stack.layers),
        "rms_norm_eps": need(backbone.stack.final_norm, RMSNorm, "stack.final_norm").eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": rotary.theta},
        "tie_word_embeddings": tied(backbone),
    }


def attention_of(mixer: Attention) -> dict[str, Any]:
    """What `attention` reads."""
    return {
        "num_attention_heads": mixer.heads,
        "num_key_value_heads": mixer.kv_heads,
        "head_dim": mixer.head_dim,
        "attention_dropout": mixer.dropout,
    }


def _mixer(backbone: Decoder) -> Attention:
    return expect(sublayers(expect(backbone, Decoder).stack, "mixer")[0].fn, Attention)


def _mlp(backbone: Decoder) -> Any:
    return sublayers(backbone.stack, "mlp")[0].fn


def build_llama(values: Values) -> Decoder:
    mixer = attention(values, values["attention_bias"])
    return decoder(values, gated(values, values["mlp_bias"]), values.rope(), mixer=mixer)


def build_mistral(values: Values) -> Decoder:
    mixer = attention(values, False, values["sliding_window"])
    return decoder(values, gated(values, False), values.rope(), mixer=mixer)


def build_mixtral(values: Values) -> Decoder:
    mlp = partial(
        MoE,
        hidden=values["intermediate_size"],
        experts=values["num_local_experts"],
        top_k=values["num_experts_per_tok"],
        act=values.activation("hidden_act"),
        balance=values["router_aux_loss_coef"],
    )
    mixer = attention(values, False, values["sliding_window"])
    return decoder(values, mlp, values.rope(), mixer=mixer)


def configure_llama(backbone: Decoder) -> dict[str, Any]:
    mixer, mlp = _mixer(backbone), expect(_mlp(backbone), GatedMLP)
    return {
        **ends_of(backbone),
        **attention_of(mixer),
        "attention_bias": has_bias(mixer.out),
        "mlp_bias": has_bias(mlp.down),
        "intermediate_size": mlp.hidden,
        "hidden_act": act_name(mlp.act),
    }


def configure_mistral(backbone: Decoder) -> dict[str, Any]:
    mixer, mlp = _mixer(backbone), expect(_mlp(backbone), GatedMLP)
    return {
        **ends_of(backbone),
        **attention_of(mixer),
        "sliding_window": mixer.window,
        "intermediate_size": mlp.hidden,
        "hidden_act": act_name(mlp.act),
    }


def configure_mixtral(backbone: Decoder) -> dict[str, Any]:
    mixer, moe = _mixer(backbone), expect(_mlp(backbone), MoE)
    return {
        **ends_of(backbone),
        **attention_of(mixer),
        "sliding_window": mixer.window,
        "intermediate_size": moe.hidden,
        "num_local_experts": moe.experts,
        "num_experts_per_tok": moe.top_k,
        "router_aux_loss_coef": moe.balance,
        "hidden_act": act_name(moe.act),
    }


def attention_rules(mixer: Attention, ours: str, theirs: str) -> list[Rule]:
    bias = has_bias(mixer.out)
    return [
        *linear(f"{ours}.qkv", *(f"{theirs}.{n}_proj" for n in "qkv"), bias=bias, op=qkv(mixer)),
        *linear(f"{ours}.out", f"{theirs}.o_proj", bias=bias),
    ]


def gated_rules(mlp: GatedMLP, ours: str, theirs: str) -> list[Rule]:
    bias, halves = has_bias(mlp.down), Cat((mlp.hidden, mlp.hidden))
    return [
        *linear(f"{ours}.up", f"{theirs}.gate_proj", f"{theirs}.up_proj", bias=bias, op=halves),
        *linear(f"{ours}.down", f"{theirs}.down_proj", bias=bias),
    ]


def _mlp_rules(backbone: Decoder, ours: str, theirs: str) -> Iterable[Rule]:
    mlp = _mlp(backbone)
    if isinstance(mlp, GatedMLP):
        return gated_rules(mlp, ours, theirs)
    return [
        rule(f"{ours}.router.weight", f"{theirs}.gate.weight"),
        rule(f"{ours}.up", f"{theirs}.experts.gate_up_proj"),
        rule(f"{ours}.down", f"{theirs}.experts.down_proj"),
    ]


def rules(backbone: Decoder) -> list[Rule]:
    ours, theirs = "stack.layers.{i}", "model.layers.{i}"
    layer = [
        rule(f"{ours}.mixer.norm.weight", f"{theirs}.input_layernorm.weight"),
        rule(f"{ours}.mlp.norm.weight", f"{theirs}.post_attention_layernorm.weight"),
        *attention_rules(_mixer(backbone), f"{ours}.mixer.fn", f"{theirs}.self_attn"),
        *_mlp_rules(backbone, f"{ours}.mlp.fn", f"{theirs}.mlp"),
    ]
    return [
        *ends(backbone, "lm_head.weight", "model.embed_tokens.weight"),
        rule("stack.final_norm.weight", "model.norm.weight"),
        *layers(range(len(backbone.stack.layers)), layer),
    ]


def _counterpart(name: str, build: Any, configure: Any) -> Counterpart:
    title = name.capitalize()
    return Counterpart(
        name=name,
        model_type=name,
        config_class=f"{title}Config",
        model_class=f"{title}ForCausalLM",
        build=build,
        configure=configure,
        rules=rules,
        embedding="model.embed_tokens.weight",
        inert=INERT,
    )


LLAMA = _counterpart("llama", build_llama, configure_llama)
MISTRAL = _counterpart("mistral", build_mistral, configure_mistral)
MIXTRAL = _counterpart("mixtral", build_mixtral, configure_mixtral)
