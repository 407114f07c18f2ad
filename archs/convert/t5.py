"""T5 and T5 v1.1 (Raffel et al. 2020): transformers' T5ForConditionalGeneration.

T5Config ties the output embedding whatever it is told, and remembers what it was told as whether the
decoder's output is scaled. Whether a model is tied is therefore read from its weights, and a state dict of an
untied one is taken by `from_pretrained(None, config=..., state_dict=...)`, which unties where the two differ,
not by `load_state_dict`, which would write one over the other.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from archs.attention import Attention
from archs.backbones import EncoderDecoder
from archs.convert.engine import Cat, Rule, layers, linear, rule
from archs.convert.parts import Counterpart, act_name, ends, expect, need, qkv, sublayers, tied
from archs.convert.values import ANY, Values
from archs.heads import LMHead
from archs.mlp import MLP, GatedMLP
from archs.norms import RMSNorm
from archs.positions import T5Bias
from archs.residual import Factory

# feed_forward_proj is what dense_act_fn and is_gated_act are derived from. The last two: old names.
INERT = {"feed_forward_proj": ANY, "initializer_factor": ANY, "n_positions": ANY, "output_past": ANY}


def build(values: Values) -> EncoderDecoder:
    dropout, heads = values["dropout_rate"], values["num_heads"]
    mlp: Factory = GatedMLP if values["is_gated_act"] else MLP
    return EncoderDecoder(
        vocab_size=values["vocab_size"],
        dim=values["d_model"],
        depth=values["num_layers"],
        decoder_depth=values["num_decoder_layers"],
        mixer=partial(
            Attention, heads=heads, head_dim=values["d_kv"], scale=1.0, bias=False, dropout=dropout
        ),
        mlp=partial(
            mlp,
            hidden=values["d_ff"],
            act=values.activation("dense_act_fn"),
            bias=False,
            dropout=dropout,
        ),
        norm=partial(RMSNorm, eps=values["layer_norm_epsilon"]),
        position=partial(
            T5Bias,
            heads=heads,
            buckets=values["relative_attention_num_buckets"],
            max_distance=values["relative_attention_max_distance"],
        ),
        head=partial(LMHead, tied=values["tie_word_embeddings"], scaled=values["scale_decoder_outputs"]),
        dropout=dropout,
        init="fan_in",
    )


def _mlp(backbone: EncoderDecoder) -> MLP | GatedMLP:
    mlp = sublayers(backbone.encoder, "mlp")[0].fn
    return mlp if isinstance(mlp, GatedMLP) else expect(mlp, MLP)


def _mixer(backbone: EncoderDecoder) -> Attention:
    return expect(sublayers(backbone.encoder, "mixer")[0].fn, Attention)


def configure(backbone: EncoderDecoder) -> dict[str, Any]:
    encoder = expect(backbone, EncoderDecoder).encoder
    mixer, mlp, position = (
        _mixer(backbone),
        _mlp(backbone),
        need(encoder.position, T5Bias, "encoder.position"),
    )
    gated, act = isinstance(mlp, GatedMLP), act_name(mlp.act)
    written = "gelu" if gated and act == "gelu_new" else act
    return {
        "vocab_size": backbone.vocab_size,
        "d_model": backbone.dim,
        "d_kv": mixer.head_dim,
        "d_ff": mlp.hidden,
        "num_layers": len(encoder.layers),
        "num_decoder_layers": len(backbone.decoder.layers),
        "num_heads": mixer.heads,
        "relative_attention_num_buckets": position.buckets,
        "relative_attention_max_distance": position.max_distance,
        "dropout_rate": encoder.embed_dropout.p,
        "layer_norm_epsilon": need(encoder.final_norm, RMSNorm, "encoder.final_norm").eps,
        "feed_forward_proj": f"gated-{written}" if gated else written,
        "dense_act_fn": act,
        "is_gated_act": gated,
        "scale_decoder_outputs": backbone.lm_head.scale != 1.0,
        "tie_word_embeddings": tied(backbone),
    }


def _layer(backbone: EncoderDecoder, side: str) -> list[Rule]:
    ours, theirs = f"{side}.layers.{{i}}", f"{side}.block.{{i}}.layer"
    sizes, mlp = qkv(_mixer(backbone)), _mlp(backbone)
    here, across, last = f"{theirs}.0.SelfAttention", f"{theirs}.1.EncDecAttention", f"{theirs}.1"
    rules = [
        rule(f"{ours}.mixer.norm.weight", f"{theirs}.0.layer_norm.weight"),
        *linear(f"{ours}.mixer.fn.qkv", *(f"{here}.{n}" for n in "qkv"), bias=False, op=sizes),
        rule(f"{ours}.mixer.fn.out.weight", f"{here}.o.weight"),
    ]
    if side == "decoder":
        last = f"{theirs}.2"
        rules += [
            rule(f"{ours}.cross.norm.weight", f"{theirs}.1.layer_norm.weight"),
            rule(f"{ours}.cross.fn.q.weight", f"{across}.q.weight"),
            *linear(
                f"{ours}.cross.fn.kv",
                *(f"{across}.{n}" for n in "kv"),
                bias=False,
                op=Cat(sizes.sizes[1:]),
            ),
            rule(f"{ours}.cross.fn.out.weight", f"{across}.o.weight"),
        ]
    dense = f"{last}.DenseReluDense"
    wide = ("wi_0", "wi_1") if isinstance(mlp, GatedMLP) else ("wi",)
    return [
        *rules,
        rule(f"{ours}.mlp.norm.weight", f"{last}.layer_norm.weight"),
        *linear(
            f"{ours}.mlp.fn.up",
            *(f"{dense}.{name}" for name in wide),
            bias=False,
            op=Cat((mlp.hidden,) * len(wide)),
        ),
        rule(f"{ours}.mlp.fn.down.weight", f"{dense}.wo.weight"),
    ]


def rules(backbone: EncoderDecoder) -> list[Rule]:
    table = ends(
        backbone,
        "lm_head.weight",
        "shared.weight",
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
    )
    for side, stack in (("encoder", backbone.encoder), ("decoder", backbone.decoder)):
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        table += [
            rule(f"{side}.position.table.weight", bias),
            rule(f"{side}.final_norm.weight", f"{side}.final_layer_norm.weight"),
            *layers(range(len(stack.layers)), _layer(backbone, side)),
        ]
    return table


T5 = Counterpart(
    name="t5",
    model_type="t5",
    config_class="T5Config",
    model_class="T5ForConditionalGeneration",
    build=build,
    configure=configure,
    rules=rules,
    embedding="shared.weight",
    inert=INERT,
)
