"""GPT-2 (Radford et al. 2019): transformers' GPT2LMHeadModel, whose maps are stored (in, out)."""

from __future__ import annotations

from functools import partial
from typing import Any

from archs.attention import Attention
from archs.backbones import Decoder
from archs.convert.engine import Rule, Transpose, layers, linear, rule
from archs.convert.parts import Counterpart, act_name, ends, expect, need, sublayers, tied
from archs.convert.values import ANY, Values
from archs.heads import LMHead
from archs.mlp import MLP
from archs.norms import LayerNorm
from archs.positions import Learned

# Its summary is another class's head. n_ctx: an old name that nothing reads. reorder_and_upcast_attn changes
# rounding in half precision alone.
SUMMARY = ("type", "use_proj", "activation", "proj_to_labels", "first_dropout")
INERT = {f"summary_{name}": ANY for name in SUMMARY} | {"n_ctx": ANY, "reorder_and_upcast_attn": ANY}


def build(values: Values) -> Decoder:
    backbone = Decoder(
        vocab_size=values["vocab_size"],
        dim=values["n_embd"],
        depth=values["n_layer"],
        mixer=partial(Attention, heads=values["n_head"], dropout=values["attn_pdrop"]),
        mlp=partial(MLP, hidden=values["n_inner"], act=values.activation("activation_function")),
        norm=partial(LayerNorm, eps=values["layer_norm_epsilon"]),
        position=partial(Learned, max_len=values["n_positions"]),
        head=partial(LMHead, tied=values["tie_word_embeddings"]),
        dropout=values["resid_pdrop"],
    )
    backbone.stack.embed_dropout.p = values["embd_pdrop"]
    return backbone


def configure(backbone: Decoder) -> dict[str, Any]:
    stack = expect(backbone, Decoder).stack
    mixer = expect(sublayers(stack, "mixer")[0].fn, Attention)
    mlp = sublayers(stack, "mlp")[0]
    mlp_fn = expect(mlp.fn, MLP)
    return {
        "vocab_size": backbone.vocab_size,
        "n_embd": backbone.dim,
        "n_layer": len(stack.layers),
        "n_head": mixer.heads,
        "n_inner": mlp_fn.hidden,
        "n_positions": need(stack.position, Learned, "stack.position").max_len,
        "activation_function": act_name(mlp_fn.act),
        "layer_norm_epsilon": need(stack.final_norm, LayerNorm, "stack.final_norm").eps,
        "tie_word_embeddings": tied(backbone),
        "embd_pdrop": stack.embed_dropout.p,
        "attn_pdrop": mixer.dropout,
        "resid_pdrop": mlp.dropout.p,
    }


def rules(backbone: Decoder) -> list[Rule]:
    ours, theirs, conv1d = "stack.layers.{i}", "transformer.h.{i}", Transpose()
    layer = [
        *linear(f"{ours}.mixer.norm", f"{theirs}.ln_1", bias=True),
        *linear(f"{ours}.mixer.fn.qkv", f"{theirs}.attn.c_attn", bias=True, op=conv1d),
        *linear(f"{ours}.mixer.fn.out", f"{theirs}.attn.c_proj", bias=True, op=conv1d),
        *linear(f"{ours}.mlp.norm", f"{theirs}.ln_2", bias=True),
        *linear(f"{ours}.mlp.fn.up", f"{theirs}.mlp.c_fc", bias=True, op=conv1d),
        *linear(f"{ours}.mlp.fn.down", f"{theirs}.mlp.c_proj", bias=True, op=conv1d),
    ]
    return [
        *ends(backbone, "lm_head.weight", "transformer.wte.weight"),
        rule("stack.position.table.weight", "transformer.wpe.weight"),
        *linear("stack.final_norm", "transformer.ln_f", bias=True),
        *layers(range(len(backbone.stack.layers)), layer),
    ]


GPT = Counterpart(
    name="gpt",
    model_type="gpt2",
    config_class="GPT2Config",
    model_class="GPT2LMHeadModel",
    build=build,
    configure=configure,
    rules=rules,
    embedding="transformer.wte.weight",
    inert=INERT,
)
