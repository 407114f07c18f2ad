"""BERT (Devlin et al. 2019): transformers' BertForMaskedLM.

Its token types are folded: every token is of type 0, whose row is added to every position. The position
table here holds the sums, and is written back beside a type table of zeros: the same function.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from archs.attention import Attention
from archs.backbones import Encoder
from archs.convert.engine import First, PlusFirstRow, Rule, layers, linear, rule
from archs.convert.parts import Counterpart, act_name, ends, expect, need, qkv, sublayers, tied
from archs.convert.values import ANY, Values
from archs.heads import LMHead, Transform
from archs.mlp import MLP
from archs.norms import LayerNorm
from archs.positions import Learned

TYPES = 2  # rows of the type table that is written, as in BertConfig
INERT = {"type_vocab_size": ANY, "position_embedding_type": ("absolute",)}


def build(values: Values) -> Encoder:
    act, eps = values.activation("hidden_act"), values["layer_norm_eps"]
    return Encoder(
        vocab_size=values["vocab_size"],
        dim=values["hidden_size"],
        depth=values["num_hidden_layers"],
        mixer=partial(
            Attention, heads=values["num_attention_heads"], dropout=values["attention_probs_dropout_prob"]
        ),
        mlp=partial(MLP, hidden=values["intermediate_size"], act=act),
        norm=partial(LayerNorm, eps=eps),
        position=partial(Learned, max_len=values["max_position_embeddings"]),
        head=partial(
            LMHead,
            tied=values["tie_word_embeddings"],
            transform=partial(Transform, act=act, eps=eps),
            bias=True,
        ),
        post_norm=True,
        embed_norm=True,
        dropout=values["hidden_dropout_prob"],
    )


def configure(backbone: Encoder) -> dict[str, Any]:
    stack = expect(backbone, Encoder).stack
    mixer = expect(sublayers(stack, "mixer")[0].fn, Attention)
    mlp = expect(sublayers(stack, "mlp")[0].fn, MLP)
    return {
        "vocab_size": backbone.vocab_size,
        "hidden_size": backbone.dim,
        "num_hidden_layers": len(stack.layers),
        "num_attention_heads": mixer.heads,
        "intermediate_size": mlp.hidden,
        "max_position_embeddings": need(stack.position, Learned, "stack.position").max_len,
        "type_vocab_size": TYPES,
        "hidden_act": act_name(mlp.act),
        "layer_norm_eps": need(stack.embed_norm, LayerNorm, "stack.embed_norm").eps,
        "tie_word_embeddings": tied(backbone),
        "hidden_dropout_prob": stack.embed_dropout.p,
        "attention_probs_dropout_prob": mixer.dropout,
    }


def rules(backbone: Encoder) -> list[Rule]:
    ours, theirs = "stack.layers.{i}", "bert.encoder.layer.{i}"
    mixer = expect(sublayers(backbone.stack, "mixer")[0].fn, Attention)
    heads = [f"{theirs}.attention.self.{name}" for name in ("query", "key", "value")]
    embeddings, predictions = "bert.embeddings", "cls.predictions"
    layer = [
        *linear(f"{ours}.mixer.fn.qkv", *heads, bias=True, op=qkv(mixer)),
        *linear(f"{ours}.mixer.fn.out", f"{theirs}.attention.output.dense", bias=True),
        *linear(f"{ours}.mixer.norm", f"{theirs}.attention.output.LayerNorm", bias=True),
        *linear(f"{ours}.mlp.fn.up", f"{theirs}.intermediate.dense", bias=True),
        *linear(f"{ours}.mlp.fn.down", f"{theirs}.output.dense", bias=True),
        *linear(f"{ours}.mlp.norm", f"{theirs}.output.LayerNorm", bias=True),
    ]
    return [
        *ends(backbone, f"{predictions}.decoder.weight", f"{embeddings}.word_embeddings.weight"),
        rule(
            "stack.position.table.weight",
            f"{embeddings}.position_embeddings.weight",
            f"{embeddings}.token_type_embeddings.weight",
            op=PlusFirstRow(TYPES),
        ),
        *linear("stack.embed_norm", f"{embeddings}.LayerNorm", bias=True),
        *linear("lm_head.transform.dense", f"{predictions}.transform.dense", bias=True),
        *linear("lm_head.transform.norm", f"{predictions}.transform.LayerNorm", bias=True),
        # Where it is not tied to the first, nothing there reads the second.
        rule("lm_head.bias", f"{predictions}.decoder.bias", f"{predictions}.bias", op=First()),
        *layers(range(len(backbone.stack.layers)), layer),
    ]


BERT = Counterpart(
    name="bert",
    model_type="bert",
    config_class="BertConfig",
    model_class="BertForMaskedLM",
    build=build,
    configure=configure,
    rules=rules,
    embedding="bert.embeddings.word_embeddings.weight",
    output="cls.predictions.decoder.weight",
    inert=INERT,
    unread=("bert.pooler.", "cls.seq_relationship."),  # for telling which sentence follows which
)
