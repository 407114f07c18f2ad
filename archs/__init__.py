"""Backbones made of interchangeable parts, in plain PyTorch.

Encoder, Decoder, EncoderDecoder     wirings: who reads whom        (backbones)
Attention, S6                        mixers: tokens among each other
MLP, GatedMLP                        channel mixers: a token by itself
LayerNorm, RMSNorm                   norms
Learned, Sinusoidal, Rotary, T5Bias, Alibi, Position (none)
LMHead, Transform                    heads
Residual, Stack, Context             what holds them
"""

from archs.attend import allowed, attend
from archs.attention import Attention
from archs.backbones import Decoder, Encoder, EncoderDecoder, nothing
from archs.context import Context
from archs.contract import Autoregressive, Backbone, Family, Output
from archs.counting import decay_groups, parameter_counts
from archs.heads import LMHead, Transform
from archs.mlp import MLP, GatedMLP
from archs.norms import LayerNorm, RMSNorm
from archs.positions import Alibi, Learned, Position, Rotary, Sinusoidal, T5Bias
from archs.residual import Residual, Stack, State
from archs.s6 import S6
from archs.sizing import solve

__all__ = [
    "MLP",
    "S6",
    "Alibi",
    "Attention",
    "Autoregressive",
    "Backbone",
    "Context",
    "Decoder",
    "Encoder",
    "EncoderDecoder",
    "Family",
    "GatedMLP",
    "LMHead",
    "LayerNorm",
    "Learned",
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
    "decay_groups",
    "nothing",
    "parameter_counts",
    "solve",
]
