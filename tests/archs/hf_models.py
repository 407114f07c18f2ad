"""Small transformers models of every family, at shapes that break symmetries, and what composes to them.

Odd vocabulary, fewer key-value heads than heads, heads * head_dim unlike dim, no inner width a multiple of
another, more decoder than encoder layers, no length a multiple of a chunk.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import transformers as hf
from torch import nn

V = 61
TOKENS = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
LLAMA = {
    "vocab_size": V,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 52,
}
T5 = {
    "vocab_size": V,
    "d_model": 24,
    "d_kv": 10,
    "d_ff": 52,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
}
BART = {
    "vocab_size": V,
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 52,
    "decoder_ffn_dim": 52,
    "max_position_embeddings": 40,
}
BERT = {
    "vocab_size": V,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 52,
    "max_position_embeddings": 40,
}
MAMBA = {"vocab_size": V, "hidden_size": 24, "num_hidden_layers": 2, "state_size": 5}
HYBRID = {
    "mamba_n_heads": 4,
    "mamba_d_state": 5,
    "mamba_n_groups": 2,
    "mamba_d_conv": 3,
    "mamba_chunk_size": 8,
}
MODERN = {
    "vocab_size": V,
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 52,
    "local_attention": 8,
    "cls_token_id": None,
    "sep_token_id": None,
}


class Case(NamedTuple):
    """overrides: what composes conf/arch/NAME.yaml to it, besides dim, depth and heads."""

    model: type[Any]
    config: type[Any]
    values: dict[str, Any]
    overrides: tuple[str, ...]
    tolerance: float = 1e-5  # relative to the largest logit; 1e-10 is in float64
    left: bool = True  # whether it can be told of left padding


CASES = {
    "llama": Case(
        hf.LlamaForCausalLM,
        hf.LlamaConfig,
        {**LLAMA, "head_dim": 10},
        ("arch/head=untied", "head_dim=10", "hidden=52"),
    ),
    "gpt": Case(
        hf.GPT2LMHeadModel,
        hf.GPT2Config,
        {"vocab_size": V, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_inner": 52, "n_positions": 40},
        ("hidden=52", "position.max_len=40"),
        1e-10,
    ),
    "bert": Case(
        hf.BertForMaskedLM,
        hf.BertConfig,
        BERT,
        ("hidden=52", "position.max_len=40"),
        1e-10,
    ),
    "t5": Case(
        hf.T5ForConditionalGeneration,
        hf.T5Config,
        T5,
        ("head_dim=10", "hidden=52", "decoder_depth=3"),
    ),
    "t5_v1_1": Case(
        hf.T5ForConditionalGeneration,
        hf.T5Config,
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        ("head_dim=10", "hidden=52", "decoder_depth=3"),
    ),
    "mistral": Case(
        hf.MistralForCausalLM,
        hf.MistralConfig,
        {**LLAMA, "head_dim": 10, "sliding_window": 7},
        ("arch/head=untied", "head_dim=10", "hidden=52", "mixer.window=7"),
    ),
    "mixtral": Case(
        hf.MixtralForCausalLM,
        hf.MixtralConfig,
        {**LLAMA, "num_local_experts": 5},
        ("arch/head=untied", "hidden=52", "mlp.experts=5"),
    ),
    "bart": Case(
        hf.BartForConditionalGeneration,
        hf.BartConfig,
        BART,
        ("hidden=52", "position.max_len=40", "decoder_depth=3"),
        1e-10,
        left=False,
    ),
    "mamba": Case(
        hf.MambaForCausalLM,
        hf.MambaConfig,
        {**MAMBA, "intermediate_size": 50, "time_step_rank": 3},
        ("inner=50", "mixer.state=5", "mixer.dt_rank=3"),
    ),
    "mamba2": Case(
        hf.Mamba2ForCausalLM,
        hf.Mamba2Config,
        {**MAMBA, "num_heads": 6, "head_dim": 8, "n_groups": 2, "chunk_size": 8, "conv_kernel": 3},
        ("arch/head=untied", "heads=6", "mixer.state=5", "mixer.groups=2", "mixer.conv=3"),
    ),
    "hybrid": Case(
        hf.BambaForCausalLM,
        hf.BambaConfig,
        {**LLAMA, **HYBRID, "hidden_size": 32, "num_hidden_layers": 3, "attn_layer_indices": [1]},
        (
            "arch/head=untied",
            "dim=32",
            "depth=3",
            "hidden=52",
            *("mixers.ssd.state=5", "mixers.ssd.groups=2", "mixers.ssd.conv=3"),
        ),
    ),
    "modernbert": Case(
        hf.ModernBertForMaskedLM,
        hf.ModernBertConfig,
        MODERN,
        ("depth=4", "hidden=52", "mixers.local.window=5"),
    ),
}
SEQUENCE_TO_SEQUENCE = ("t5", "t5_v1_1", "bart")
RAGGED = {"mixtral": {"experts_implementation": "eager"}}


def config(name: str, **changes: Any) -> Any:
    case = CASES[name]
    return case.config(**{**TOKENS, **case.values, **changes})


def model(name: str, perturb: Any, seed: int = 0, **changes: Any) -> Any:
    """The reference: eager attention, nothing at its initial value, float64 where it is honestly that."""
    torch.manual_seed(seed)
    made = CASES[name].model(config(name, attn_implementation="eager", **RAGGED.get(name, {}), **changes))
    if name == "t5_v1_1":  # its configuration ties whatever it is told
        made.lm_head.weight = nn.Parameter(torch.randn(V, 24))
    made = made.double() if CASES[name].tolerance < 1e-9 else made
    return perturb(made, seed).eval()


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    """No id 0: transformers gives the padding row of its embeddings no gradient."""
    return torch.randint(1, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def theirs(made: Any, x: torch.Tensor, keep: Any = None, source: Any = None, source_keep: Any = None) -> Any:
    """Output of a transformers model, called as a backbone is; learned positions count kept tokens."""
    mask = None if keep is None else keep.long()
    if source is None:
        extra = {}
        if keep is not None and type(made) in (hf.GPT2LMHeadModel, hf.BertForMaskedLM):
            extra["position_ids"] = (keep.cumsum(1) - 1).clamp(min=0)
        return made(input_ids=x, attention_mask=mask, **extra)
    return made(
        input_ids=source,
        attention_mask=None if source_keep is None else source_keep.long(),
        decoder_input_ids=x,
        decoder_attention_mask=mask,
    )


def logits(
    backbone: Any, x: torch.Tensor, keep: Any = None, source: Any = None, source_keep: Any = None
) -> Any:
    return backbone.head(backbone(x, keep, source=source, source_keep=source_keep).hidden)
