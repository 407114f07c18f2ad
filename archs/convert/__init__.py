"""Weights in and out: transformers models as backbones of ours, and back.

A family is one file: what its configuration means as a composition of parts, the way back, and the table
between the two state dicts (see engine). All of it is strict. A configuration key that is neither read, nor
known to change nothing, nor at its default is refused by name; so is a weight that no rule converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archs.backbones import Decoder, Encoder, EncoderDecoder
from archs.convert import engine
from archs.convert.bamba import HYBRID
from archs.convert.bart import BART
from archs.convert.bert import BERT
from archs.convert.compare import differences, same_activation
from archs.convert.directory import counterpart_in, load, same_weights, transformers, weight_files
from archs.convert.gpt import GPT
from archs.convert.llama import LLAMA, MISTRAL, MIXTRAL
from archs.convert.mamba import MAMBA, MAMBA2
from archs.convert.modernbert import MODERNBERT
from archs.convert.parts import BackboneModule, Counterpart, Unlike
from archs.convert.t5 import T5
from archs.convert.values import INERT, Values

# The first that fits is what a backbone is: Llama before Mistral, which without a window is the same.
COUNTERPARTS = (BERT, GPT, LLAMA, MISTRAL, MIXTRAL, T5, BART, MAMBA, MAMBA2, HYBRID, MODERNBERT)

__all__ = ["differences", "from_hf", "hf_config", "outline", "same_activation", "to_hf", "weight_files"]


def from_hf(model: Any) -> BackboneModule:
    """The backbone that computes what a transformers model computes, in eval mode, with its weights.

    model: a transformers model (BertForMaskedLM, GPT2LMHeadModel, LlamaForCausalLM, MistralForCausalLM,
    MixtralForCausalLM, T5ForConditionalGeneration, BartForConditionalGeneration, MambaForCausalLM,
    Mamba2ForCausalLM, BambaForCausalLM, ModernBertForMaskedLM), or the folder that one was saved to, which is
    read as safetensors alone. Weights are copied, dtype and device are the model's, dropout rates as well.

    Raises ValueError, in one line, for another class, a configuration with a feature that has no composition
    here, or weights that do not fit it.

        backbone = archs.from_hf(GPT2LMHeadModel.from_pretrained("gpt2"))
        logits = backbone.head(backbone(tokens).hidden)
    """
    if isinstance(model, str | Path):
        model = load(Path(model).expanduser(), COUNTERPARTS)
    counterpart = _counterpart(model)
    weights: dict[str, Tensor] = model.state_dict()
    content = _content(model.config)
    if content.get("tie_word_embeddings"):  # what is tied is decided by the weights: see t5
        output, embedding = weights.get(counterpart.output), weights.get(counterpart.embedding)
        if output is not None and embedding is not None:  # what is missing is named below
            content["tie_word_embeddings"] = torch.equal(output, embedding)
    backbone = _build(counterpart, content, type(model.config))
    ours = engine.read(counterpart.rules(backbone), weights, backbone.state_dict())
    backbone.to(weights[counterpart.embedding]).load_state_dict(ours)
    return backbone.eval()


def to_hf(backbone: BackboneModule) -> dict[str, Tensor]:
    """The weights of a backbone as the state dict of the transformers model that computes the same.

    Which that is follows from the backbone's parts. Tied tensors stand under all their names; what was
    folded or left out here is written such that the function is the same: zeros for BERT's token types and
    for the two rows before BART's first position. ValueError names what transformers has no class for.

        config = archs.hf_config(backbone, pad_token_id=0, bos_token_id=2, eos_token_id=3)
        model = GPT2LMHeadModel.from_pretrained(None, config=config, state_dict=archs.to_hf(backbone))
        model.save_pretrained("published")

    A state dict also goes into `GPT2LMHeadModel(config).load_state_dict(...)`, but for an untied T5, which
    T5Config would tie again.
    """
    counterpart, _ = _recognise(backbone)
    return engine.write(counterpart.rules(backbone), backbone.state_dict())


def hf_config(backbone: BackboneModule, **changes: Any) -> Any:
    """The transformers configuration of a backbone, with which `to_hf` gives a model.

    changes: what a backbone does not know, such as token ids (None where they are not given).
    """
    counterpart, values = _recognise(backbone)
    config_class = getattr(transformers(), counterpart.config_class)
    tokens = {name: None for name in config_class().to_dict() if name.endswith("_token_id")}
    if counterpart is T5:
        del values["tie_word_embeddings"]  # it would take this for scale_decoder_outputs
    config = config_class(**{"architectures": [counterpart.model_class], **tokens, **values, **changes})
    content = _content(config) | {"tie_word_embeddings": backbone.lm_head.output is None}
    with torch.device("meta"):
        changed = differences(backbone, _build(counterpart, content, config_class))
    if changed:
        raise ValueError(f"{counterpart.config_class} does not hold this backbone: {'; '.join(changed[:3])}")
    return config


def outline(folder: str | Path) -> tuple[str, BackboneModule]:
    """(name of its arch, backbone on the meta device) of a folder that a transformers model was saved to."""
    folder = Path(folder).expanduser()
    counterpart, config = counterpart_in(folder, COUNTERPARTS)
    content = _content(config)
    if content.get("tie_word_embeddings"):
        content["tie_word_embeddings"] = same_weights(folder, counterpart.output, counterpart.embedding)
    with torch.device("meta"):
        return counterpart.name, _build(counterpart, content, type(config))


def _counterpart(model: Any) -> Counterpart:
    for counterpart in COUNTERPARTS:
        if type(model).__name__ == counterpart.model_class and hasattr(model, "config"):
            return counterpart
    names = ", ".join(counterpart.model_class for counterpart in COUNTERPARTS)
    raise ValueError(f"model is a {type(model).__name__}: expected a path, or one of {names}")


def _content(config: Any) -> dict[str, Any]:
    return dict(config.to_dict())


def _build(counterpart: Counterpart, content: Mapping[str, Any], config_class: type[Any]) -> BackboneModule:
    """The backbone of a configuration, of which nothing is left unread. Random streams stay as they are."""
    values = Values(content, config_class.__name__)
    with torch.random.fork_rng(devices=[]):
        backbone = counterpart.build(values)
    values.finish(config_class().to_dict(), INERT | dict(counterpart.inert))
    return backbone


def _recognise(backbone: Any) -> tuple[Counterpart, dict[str, Any]]:
    """The counterpart that, built from what it says of this backbone, is this backbone again."""
    if not isinstance(backbone, Encoder | Decoder | EncoderDecoder):
        raise ValueError(
            f"backbone is a {type(backbone).__name__}: expected an archs.Encoder, Decoder or EncoderDecoder"
        )
    near: list[tuple[bool, int, str]] = []  # a part of another kind is farther than any setting
    for counterpart in COUNTERPARTS:
        try:
            values = counterpart.configure(backbone)
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                rebuilt = counterpart.build(Values(values, counterpart.config_class))
        except Unlike:
            continue
        except ValueError as error:
            near.append((True, 0, f"{counterpart.model_class} is near, but {error}"))
            continue
        changed = differences(backbone, rebuilt)
        if not changed:
            return counterpart, values
        near.append((False, len(changed), f"{counterpart.model_class} is near, but {'; '.join(changed[:3])}"))
    nearest = min(near, default=(False, 0, "none is near"))[-1]
    raise ValueError(f"transformers has no class for this backbone: {nearest}")
