"""Mamba (Gu & Dao 2023) and Mamba-2 (Dao & Gu 2024): transformers' MambaForCausalLM and Mamba2ForCausalLM."""

from __future__ import annotations

from functools import partial
from typing import Any

from archs.backbones import Decoder, nothing
from archs.convert.engine import Rule, Unsqueeze, layers, rule
from archs.convert.parts import Counterpart, ends, expect, need, sublayers, tied
from archs.convert.values import ANY, Values
from archs.heads import LMHead
from archs.norms import RMSNorm
from archs.positions import Position
from archs.residual import Factory
from archs.s6 import S6
from archs.ssd import SSD

# How weights start, and how the scan is computed; residual_in_fp32 concerns half precision alone.
INERT = {
    "rescale_prenorm_residual": ANY,
    "residual_in_fp32": ANY,
    "time_step_floor": ANY,
    "time_step_max": ANY,
    "time_step_min": ANY,
}
INERT_MAMBA = INERT | {
    "expand": ANY,  # intermediate_size is what the model reads
    "time_step_init_scheme": ANY,
    "time_step_scale": ANY,
    "use_associative_scan": ANY,
    "use_mambapy": ANY,
    # names of the original code that released configurations also hold
    "d_inner": ANY,
    "d_model": ANY,
    "n_layer": ANY,
    "fused_add_norm": ANY,
    "pad_vocab_size_multiple": ANY,
    "rms_norm": (True,),
    "ssm_cfg": ({},),
}
INERT_MAMBA2 = INERT | {
    "chunk_size": ANY,
    "time_step_rank": ANY,
    # names of the original code that released configurations also hold, and the class does not read
    "norm_before_gate": ANY,
    "rms_norm": ANY,
    "time_step_init_scheme": ANY,
    "time_step_scale": ANY,
}


def _decoder(values: Values, mixer: Factory) -> Decoder:
    return Decoder(
        vocab_size=values["vocab_size"],
        dim=values["hidden_size"],
        depth=values["num_hidden_layers"],
        mixer=mixer,
        mlp=nothing,
        norm=partial(RMSNorm, eps=values["layer_norm_epsilon"]),
        position=Position,
        head=partial(LMHead, tied=values["tie_word_embeddings"]),
    )


def build_mamba(values: Values) -> Decoder:
    mixer = partial(
        S6,
        inner=values["intermediate_size"],
        state=values["state_size"],
        conv=values["conv_kernel"],
        dt_rank=values["time_step_rank"],
    )
    return _decoder(values, mixer)


def build_mamba2(values: Values) -> Decoder:
    inner = values["expand"] * values["hidden_size"]
    if inner != values["num_heads"] * values["head_dim"]:
        raise values.refuse("head_dim", "num_heads * head_dim must be expand * hidden_size")
    mixer = partial(
        SSD,
        heads=values["num_heads"],
        inner=inner,
        state=values["state_size"],
        groups=values["n_groups"],
        conv=values["conv_kernel"],
        eps=values["layer_norm_epsilon"],
    )
    return _decoder(values, mixer)


def _configure(backbone: Decoder) -> dict[str, Any]:
    return {
        "vocab_size": backbone.vocab_size,
        "hidden_size": backbone.dim,
        "num_hidden_layers": len(backbone.stack.layers),
        "layer_norm_epsilon": need(backbone.stack.final_norm, RMSNorm, "stack.final_norm").eps,
        "tie_word_embeddings": tied(backbone),
    }


def configure_mamba(backbone: Decoder) -> dict[str, Any]:
    mixer = expect(sublayers(expect(backbone, Decoder).stack, "mixer")[0].fn, S6)
    return {
        **_configure(backbone),
        "intermediate_size": mixer.inner,
        "state_size": mixer.state,
        "conv_kernel": mixer.taps,
        "time_step_rank": mixer.dt_rank,
    }


def expansion(mixer: SSD) -> int:
    """inner / dim, which transformers' configurations of this mixer hold as a whole number."""
    if mixer.inner % mixer.dim:
        raise ValueError(f"inner={mixer.inner} is no multiple of dim={mixer.dim}")
    return mixer.inner // mixer.dim


def configure_mamba2(backbone: Decoder) -> dict[str, Any]:
    mixer = expect(sublayers(expect(backbone, Decoder).stack, "mixer")[0].fn, SSD)
    return {
        **_configure(backbone),
        "expand": expansion(mixer),
        "num_heads": mixer.heads,
        "head_dim": mixer.inner // mixer.heads,
        "state_size": mixer.state,
        "n_groups": mixer.groups,
        "conv_kernel": mixer.taps,
    }


def _convolution(ours: str, theirs: str) -> list[Rule]:
    return [
        rule(f"{ours}.conv_weight", f"{theirs}.conv1d.weight", op=Unsqueeze(1)),
        rule(f"{ours}.conv_bias", f"{theirs}.conv1d.bias"),
    ]


def s6_rules(ours: str, theirs: str) -> list[Rule]:
    names = (
        "in_proj.weight",
        "x_proj.weight",
        "dt_proj.weight",
        "dt_proj.bias",
        "A_log",
        "D",
        "out_proj.weight",
    )
    return [*_convolution(ours, theirs), *(rule(f"{ours}.{name}", f"{theirs}.{name}") for name in names)]


def ssd_rules(ours: str, theirs: str) -> list[Rule]:
    names = ("in_proj.weight", "dt_bias", "A_log", "D", "norm.weight", "out_proj.weight")
    return [*_convolution(ours, theirs), *(rule(f"{ours}.{name}", f"{theirs}.{name}") for name in names)]


def rules(backbone: Decoder) -> list[Rule]:
    ours, theirs = "stack.layers.{i}.mixer", "backbone.layers.{i}"
    mixer = sublayers(backbone.stack, "mixer")[0].fn
    inside = s6_rules if isinstance(mixer, S6) else ssd_rules
    layer = [
        rule(f"{ours}.norm.weight", f"{theirs}.norm.weight"),
        *inside(f"{ours}.fn", f"{theirs}.mixer"),
    ]
    return [
        *ends(backbone, "lm_head.weight", "backbone.embeddings.weight"),
        rule("stack.final_norm.weight", "backbone.norm_f.weight"),
        *layers(range(len(backbone.stack.layers)), layer),
    ]


MAMBA = Counterpart(
    name="mamba",
    model_type="mamba",
    config_class="MambaConfig",
    model_class="MambaForCausalLM",
    build=build_mamba,
    configure=configure_mamba,
    rules=rules,
    embedding="backbone.embeddings.weight",
    inert=INERT_MAMBA,
)
MAMBA2 = Counterpart(
    name="mamba2",
    model_type="mamba2",
    config_class="Mamba2Config",
    model_class="Mamba2ForCausalLM",
    build=build_mamba2,
    configure=configure_mamba2,
    rules=rules,
    embedding="backbone.embeddings.weight",
    inert=INERT_MAMBA2,
)
