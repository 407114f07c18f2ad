"""BART (Lewis et al. 2020): transformers' BartForConditionalGeneration.

Position p stands in row p + 2 there. The first two rows are read by nothing: dropped here, zero when written.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from archs.attention import Attention
from archs.backbones import EncoderDecoder
from archs.convert.engine import AfterRows, Cat, Rule, Unsqueeze, layers, linear, rule
from archs.convert.parts import Counterpart, act_name, ends, expect, need, qkv, sublayers, tied
from archs.convert.values import ANY, Values
from archs.heads import LMHead
from archs.mlp import MLP
from archs.norms import LayerNorm
from archs.positions import Learned

OFFSET = 2  # rows before the first position
# Old names: those of a rate, of outputs and of variants that the class no longer has.
INERT = {
    "init_std": ANY,
    "classif_dropout": ANY,
    "output_past": ANY,
    "add_bias_logits": (False,),
    "add_final_layer_norm": (False,),
    "normalize_before": (False,),
    "normalize_embedding": (True,),
    "static_position_embeddings": (False,),
    "extra_pos_embeddings": (OFFSET,),
}


def build(values: Values) -> EncoderDecoder:
    heads = values.same("encoder_attention_heads", "decoder_attention_heads")
    return EncoderDecoder(
        vocab_size=values["vocab_size"],
        dim=values["d_model"],
        depth=values["encoder_layers"],
        decoder_depth=values["decoder_layers"],
        mixer=partial(Attention, heads=heads, dropout=values["attention_dropout"]),
        mlp=partial(
            MLP,
            hidden=values.same("encoder_ffn_dim", "decoder_ffn_dim"),
            act=values.activation("activation_function"),
            dropout=values["activation_dropout"],
        ),
        norm=partial(LayerNorm, eps=1e-5),
        position=partial(Learned, max_len=values["max_position_embeddings"]),
        head=partial(LMHead, tied=values["tie_word_embeddings"], fixed_bias=True),
        post_norm=True,
        embed_norm=True,
        dropout=values["dropout"],
    )


def configure(backbone: EncoderDecoder) -> dict[str, Any]:
    encoder = expect(backbone, EncoderDecoder).encoder
    mixer = expect(sublayers(encoder, "mixer")[0].fn, Attention)
    mlp = expect(sublayers(encoder, "mlp")[0].fn, MLP)
    return {
        "vocab_size": backbone.vocab_size,
        "d_model": backbone.dim,
        "encoder_layers": len(encoder.layers),
        "decoder_layers": len(backbone.decoder.layers),
        "encoder_attention_heads": mixer.heads,
        "decoder_attention_heads": mixer.heads,
        "encoder_ffn_dim": mlp.hidden,
        "decoder_ffn_dim": mlp.hidden,
        "max_position_embeddings": need(encoder.position, Learned, "encoder.position").max_len,
        "activation_function": act_name(mlp.act),
        "tie_word_embeddings": tied(backbone),
        "dropout": encoder.embed_dropout.p,
        "attention_dropout": mixer.dropout,
        "activation_dropout": mlp.dropout.p,
    }


def _layer(backbone: EncoderDecoder, side: str) -> list[Rule]:
    ours, theirs = f"{side}.layers.{{i}}", f"model.{side}.layers.{{i}}"
    sizes = qkv(expect(sublayers(backbone.encoder, "mixer")[0].fn, Attention))
    here, across = f"{theirs}.self_attn", f"{theirs}.encoder_attn"
    rules = [
        *linear(f"{ours}.mixer.fn.qkv", *(f"{here}.{n}_proj" for n in "qkv"), bias=True, op=sizes),
        *linear(f"{ours}.mixer.fn.out", f"{here}.out_proj", bias=True),
        *linear(f"{ours}.mixer.norm", f"{theirs}.self_attn_layer_norm", bias=True),
        *linear(f"{ours}.mlp.fn.up", f"{theirs}.fc1", bias=True),
        *linear(f"{ours}.mlp.fn.down", f"{theirs}.fc2", bias=True),
        *linear(f"{ours}.mlp.norm", f"{theirs}.final_layer_norm", bias=True),
    ]
    if side == "decoder":
        memory = [f"{across}.{n}_proj" for n in "kv"]
        rules += [
            *linear(f"{ours}.cross.fn.q", f"{across}.q_proj", bias=True),
            *linear(f"{ours}.cross.fn.kv", *memory, bias=True, op=Cat(sizes.sizes[1:])),
            *linear(f"{ours}.cross.fn.out", f"{across}.out_proj", bias=True),
            *linear(f"{ours}.cross.norm", f"{theirs}.encoder_attn_layer_norm", bias=True),
        ]
    return rules


def rules(backbone: EncoderDecoder) -> list[Rule]:
    names = ("shared", "encoder.embed_tokens", "decoder.embed_tokens")
    table = [
        *ends(backbone, "lm_head.weight", *(f"model.{name}.weight" for name in names)),
        rule("lm_head.bias", "final_logits_bias", op=Unsqueeze(0)),
    ]
    for side, stack in (("encoder", backbone.encoder), ("decoder", backbone.decoder)):
        positions = f"model.{side}.embed_positions.weight"
        table += [
            rule(f"{side}.position.table.weight", positions, op=AfterRows(OFFSET)),
            *linear(f"{side}.embed_norm", f"model.{side}.layernorm_embedding", bias=True),
            *layers(range(len(stack.layers)), _layer(backbone, side)),
        ]
    return table


BART = Counterpart(
    name="bart",
    model_type="bart",
    config_class="BartConfig",
    model_class="BartForConditionalGeneration",
    build=build,
    configure=configure,
    rules=rules,
    embedding="model.shared.weight",
    inert=INERT,
)
