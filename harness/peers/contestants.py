"""The same architecture twice: as this project builds it, and as another library does.

512 tokens, a vocabulary of 4,096, no dropout, tied heads; batch and heads by width as below. Where a default
of theirs and ours differ (Llama's tied head), both take ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from archs import decay_groups
from tasks.rows import IGNORE, Batch

from ..building import build
from ..module import scored_loss

VOCABULARY, LENGTH, FIRST_ID = 4096, 512, 107
MASKED = 0.15
HEADS = {128: 4, 512: 8}
BATCH = {128: 8, 512: 4}


class Contestant(NamedTuple):
    """loss: forward and loss, a scalar. module: what it trains."""

    loss: Callable[[], Tensor]
    module: nn.Module

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.module.parameters())

    def step(self, precision: str) -> Callable[[], None]:
        """A whole training step: forward, loss, backward, AdamW."""
        self.module.train()
        groups = decay_groups(self.module, 0.1)
        optimizer = torch.optim.AdamW(groups, lr=1e-4, fused=True)

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = self.loss()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step


def tokens(width: int) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(FIRST_ID, VOCABULARY, (BATCH[width], LENGTH), generator=draw)


def labels(arch: str, width: int) -> Tensor:
    """What is scored, IGNORE elsewhere: all tokens, or a share of them for an encoder."""
    chosen = tokens(width)
    if arch != "bert":
        return chosen
    draw = torch.Generator().manual_seed(1)
    return chosen.masked_fill(torch.rand(chosen.shape, generator=draw) >= MASKED, IGNORE)


def hidden(arch: str, width: int) -> int:
    """Inner width of the MLP: 4 times, or 8/3 times where it is gated."""
    return width * 8 // 3 // 8 * 8 if arch == "llama" else 4 * width


def depth(arch: str, width: int) -> int:
    return 8 if arch.startswith("mamba") and width == 128 else 4


def ours(arch: str, width: int) -> Contestant:
    """This project's, from its YAML."""
    if arch == "mamba2":
        keys = {"heads": 2 * width // 64}
    elif arch == "mamba":
        keys = {}
    else:
        keys = {"heads": HEADS[width], "hidden": hidden(arch, width), "kv_heads": HEADS[width]}
    keys |= {"dim": width, "depth": depth(arch, width)}
    torch.manual_seed(0)
    backbone = build(arch, vocab_size=VOCABULARY, overrides=[f"arch.{k}={v}" for k, v in keys.items()])
    targets, read = labels(arch, width), tokens(width)
    if arch == "t5":
        begin = torch.zeros_like(read[:, :1])
        batch = Batch(torch.cat([begin, read[:, :-1]], 1), targets, None, read, None)
    elif arch == "bert":
        batch = Batch(read, targets, None, None, None)
    else:
        after = torch.cat([targets[:, 1:], torch.full_like(targets[:, :1], IGNORE)], 1)
        batch = Batch(read, after, None, None, None)
    assert isinstance(backbone, nn.Module)
    return Contestant(lambda: scored_loss(backbone, batch)[0], backbone)


def peers(arch: str, width: int) -> Iterator[tuple[str, Callable[[], Contestant]]]:
    """Names and makers of the others of this architecture."""
    yield f"transformers {NAMES[arch]}", lambda: _transformers(arch, width)
    if arch == "gpt":
        yield "x-transformers decoder", lambda: _x_transformers(width)
    if arch == "mamba":
        yield "transformers Mamba with mambapy", lambda: _transformers(arch, width, use_mambapy=True)
        yield "mambapy", lambda: _mambapy(width)
    if arch == "mamba2":
        yield "transformers Mamba-2, chunk 64 as ours", lambda: _transformers(arch, width, chunk_size=64)


NAMES = {"gpt": "GPT-2", "llama": "Llama", "bert": "BERT", "t5": "T5", "mamba": "Mamba", "mamba2": "Mamba-2"}


def transformers_model(arch: str, width: int, **options: object) -> Any:
    """transformers' model of the same shape, by its own defaults but for dropout and tying."""
    hf: Any = import_module("transformers")
    heads, inner, layers = HEADS[width], hidden(arch, width), depth(arch, width)
    ids: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **options,
    }
    wide = {"hidden_size": width, "num_hidden_layers": layers}
    torch.manual_seed(0)
    if arch == "gpt":
        rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        return hf.GPT2LMHeadModel(
            hf.GPT2Config(n_embd=width, n_layer=layers, n_head=heads, n_inner=inner, **rates, **ids)
        )
    if arch == "t5":
        sizes = {"d_model": width, "d_ff": inner, "d_kv": width // heads, "num_heads": heads}
        return hf.T5ForConditionalGeneration(
            hf.T5Config(num_layers=layers, dropout_rate=0.0, decoder_start_token_id=0, **sizes, **ids)
        )
    if arch == "mamba":
        return hf.MambaForCausalLM(hf.MambaConfig(**wide, **ids))
    if arch == "mamba2":
        shape = {"num_heads": 2 * width // 64, "head_dim": 64, "state_size": 128, "n_groups": 1}
        return hf.Mamba2ForCausalLM(hf.Mamba2Config(tie_word_embeddings=True, **shape, **wide, **ids))
    wide |= {"num_attention_heads": heads, "intermediate_size": inner}
    if arch == "llama":
        return hf.LlamaForCausalLM(hf.LlamaConfig(tie_word_embeddings=True, **wide, **ids))
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return hf.BertForMaskedLM(hf.BertConfig(**rates, **wide, **ids))


def _transformers(arch: str, width: int, **options: object) -> Contestant:
    model, read, targets = transformers_model(arch, width, **options), tokens(width), labels(arch, width)
    model.config.use_cache = False  # as its own Trainer does: a cache in training only copies keys and values
    return Contestant(lambda: model(input_ids=read, labels=targets).loss, model)


def _x_transformers(width: int) -> Contestant:
    from x_transformers import Decoder, TransformerWrapper

    torch.manual_seed(0)
    heads = HEADS[width]
    layers = Decoder(
        dim=width, depth=depth("gpt", width), heads=heads, attn_dim_head=width // heads, attn_flash=True
    )
    model = TransformerWrapper(
        num_tokens=VOCABULARY, max_seq_len=1024, attn_layers=layers, tie_embedding=True
    )
    read = tokens(width)

    def loss() -> Tensor:
        logits = model(read)[:, :-1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), read[:, 1:].flatten())

    return Contestant(loss, model)


def _mambapy(width: int) -> Contestant:
    from mambapy.mamba import Mamba, MambaConfig, RMSNorm

    torch.manual_seed(0)
    config = MambaConfig(d_model=width, n_layers=depth("mamba", width))
    # Its own language model cannot be imported without CUDA packages: the same ends around its layers.
    embedding = nn.Embedding(VOCABULARY, width)
    model = nn.Sequential(embedding, Mamba(config), RMSNorm(width, config.rms_norm_eps))
    read = tokens(width)

    def loss() -> Tensor:
        logits = nn.functional.linear(model(read), embedding.weight)[:, :-1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), read[:, 1:].flatten())

    return Contestant(loss, model)
