"""Backbones made of interchangeable parts, in plain PyTorch.

Encoder, Decoder, EncoderDecoder     wirings: who reads whom        (backbones)
Attention, S6, SSD                   mixers: tokens among each other
MLP, GatedMLP, MoE                   channel mixers: a token by itself
LayerNorm, RMSNorm                   norms
Learned, Sinusoidal, Rotary, T5Bias, Alibi, Position (none)
LMHead, Transform                    heads
Residual, Stack, Context             what holds them
checkpointing                        less memory in training      (recompute)
from_hf, to_hf, hf_config            weights from and to transformers (convert)
archs.decoding                       text, written with any of them: greedy, drawn, searched for
"""

from archs.attend import allowed, attend
from archs.attention import Attention
from archs.backbones import Decoder, Encoder, EncoderDecoder, nothing
from archs.bidirectional import Bidirectional
from archs.context import Context
from archs.contract import Autoregressive, Backbone, Checkpointable, Family, LinearHead, Output
from archs.convert import from_hf, hf_config, to_hf
from archs.counting import decay_groups, parameter_counts
from archs.heads import LMHead, Transform
from archs.mlp import MLP, GatedMLP
from archs.moe import MoE
from archs.norms import LayerNorm, RMSNorm
from archs.positions import Alibi, Learned, Position, Rotary, Sinusoidal, T5Bias
from archs.recompute import checkpointing
from archs.residual import Residual, Stack, State
from archs.s6 import S6
from archs.sizing import closest, solve
from archs.ssd import SSD

__all__ = [
    "MLP",
    "S6",
    "SSD",
    "Alibi",
    "Attention",
    "Autoregressive",
    "Backbone",
    "Bidirectional",
    "Checkpointable",
    "Context",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "Family",
    "GatedMLP",
    "LMHead",
    "LayerNorm",
    "Learned",
    "LinearHead",
    "MoE",
    "Output",
    "Position",
    "RMSNorm",
    "Residual",
    "Rotary",
    "Sinusoidal",
    "Stack",
    "State",
    "T5Bias",
    "Transform",
    "allowed",
    "attend",
    "checkpointing",
    "closest",
    "decay_groups",
    "from_hf",
    "hf_config",
    "nothing",
    "parameter_counts",
    "solve",
    "to_hf",
]
