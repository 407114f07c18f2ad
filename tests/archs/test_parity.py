"""Our compositions against transformers: every parameter perturbed, shapes that break symmetries."""

from functools import partial

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.t5.modeling_t5 import T5Attention

from archs import T5Bias

V, T, S = 61, 19, 11


def tokens(rows, length, seed=0):
    """No id 0: transformers gives the padding row of its embeddings no gradient."""
    return torch.randint(1, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def right_padded(lengths, longest):
    return None if lengths is None else torch.arange(longest) < torch.tensor(lengths)[:, None]


def copy(target, source):
    """Load a mapping into our model; every key of ours must be named."""
    ours = target.state_dict()
    assert set(source) == set(ours), set(source) ^ set(ours)
    target.load_state_dict(source)


def linear(ours, theirs, s):
    return {f"{ours}.{leaf}": s[f"{theirs}.{leaf}"] for leaf in ("weight", "bias")}


def stacked(ours, theirs, theirs_state, leaves=("weight", "bias")):
    return {
        f"{ours}.{leaf}": torch.cat([theirs_state[f"{name}.{leaf}"] for name in theirs]) for leaf in leaves
    }


def from_gpt2(s):
    def conv1d(ours, theirs):  # transformers' Conv1D stores (in, out)
        return {f"{ours}.weight": s[f"{theirs}.weight"].T, f"{ours}.bias": s[f"{theirs}.bias"]}

    out = {
        "embedding.weight": s["transformer.wte.weight"],
        "stack.position.table.weight": s["transformer.wpe.weight"],
        **linear("stack.final_norm", "transformer.ln_f", s),
    }
    for i in range(2):
        mine, h = f"stack.layers.{i}", f"transformer.h.{i}"
        out |= linear(f"{mine}.mixer.norm", f"{h}.ln_1", s) | linear(f"{mine}.mlp.norm", f"{h}.ln_2", s)
        out |= conv1d(f"{mine}.mixer.fn.qkv", f"{h}.attn.c_attn") | conv1d(
            f"{mine}.mixer.fn.out", f"{h}.attn.c_proj"
        )
        out |= conv1d(f"{mine}.mlp.fn.up", f"{h}.mlp.c_fc") | conv1d(f"{mine}.mlp.fn.down", f"{h}.mlp.c_proj")
    return out


def from_bert(s):
    e, p = "bert.embeddings", "cls.predictions"
    out = {
        "embedding.weight": s[f"{e}.word_embeddings.weight"],
        "stack.position.table.weight": s[f"{e}.position_embeddings.weight"],
        "lm_head.bias": s[f"{p}.decoder.bias"],
        **linear("stack.embed_norm", f"{e}.LayerNorm", s),
        **linear("lm_head.transform.dense", f"{p}.transform.dense", s),
        **linear("lm_head.transform.norm", f"{p}.transform.LayerNorm", s),
    }
    for i in range(2):
        mine, h = f"stack.layers.{i}", f"bert.encoder.layer.{i}"
        out |= stacked(
            f"{mine}.mixer.fn.qkv", [f"{h}.attention.self.{n}" for n in ("query", "key", "value")], s
        )
        out |= linear(f"{mine}.mixer.fn.out", f"{h}.attention.output.dense", s)
        out |= linear(f"{mine}.mixer.norm", f"{h}.attention.output.LayerNorm", s)
        out |= linear(f"{mine}.mlp.fn.up", f"{h}.intermediate.dense", s)
        out |= linear(f"{mine}.mlp.fn.down", f"{h}.output.dense", s)
        out |= linear(f"{mine}.mlp.norm", f"{h}.output.LayerNorm", s)
    return out


def from_llama(s):
    out = {
        "embedding.weight": s["model.embed_tokens.weight"],
        "stack.final_norm.weight": s["model.norm.weight"],
        "lm_head.output.weight": s["lm_head.weight"],
    }
    for i in range(2):
        mine, h = f"stack.layers.{i}", f"model.layers.{i}"
        out |= stacked(f"{mine}.mixer.fn.qkv", [f"{h}.self_attn.{n}_proj" for n in "qkv"], s, ["weight"])
        out |= stacked(f"{mine}.mlp.fn.up", [f"{h}.mlp.{n}_proj" for n in ("gate", "up")], s, ["weight"])
        out[f"{mine}.mixer.fn.out.weight"] = s[f"{h}.self_attn.o_proj.weight"]
        out[f"{mine}.mlp.fn.down.weight"] = s[f"{h}.mlp.down_proj.weight"]
        out[f"{mine}.mixer.norm.weight"] = s[f"{h}.input_layernorm.weight"]
        out[f"{mine}.mlp.norm.weight"] = s[f"{h}.post_attention_layernorm.weight"]
    return out


def from_t5(s, gated):
    out = {"embedding.weight": s["shared.weight"]}
    for side in ("encoder", "decoder"):
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        out[f"{side}.position.table.weight"] = s[bias]
        out[f"{side}.final_norm.weight"] = s[f"{side}.final_layer_norm.weight"]
        for i in range(2):
            mine, layer = f"{side}.layers.{i}", f"{side}.block.{i}.layer"
            here = f"{layer}.0.SelfAttention"
            out |= stacked(f"{mine}.mixer.fn.qkv", [f"{here}.{n}" for n in "qkv"], s, ["weight"])
            out[f"{mine}.mixer.fn.out.weight"] = s[f"{here}.o.weight"]
            out[f"{mine}.mixer.norm.weight"] = s[f"{layer}.0.layer_norm.weight"]
            if side == "decoder":
                across = f"{layer}.1.EncDecAttention"
                out[f"{mine}.cross.fn.q.weight"] = s[f"{across}.q.weight"]
                out |= stacked(f"{mine}.cross.fn.kv", [f"{across}.{n}" for n in "kv"], s, ["weight"])
                out[f"{mine}.cross.fn.out.weight"] = s[f"{across}.o.weight"]
                out[f"{mine}.cross.norm.weight"] = s[f"{layer}.1.layer_norm.weight"]
            last = f"{layer}.{1 if side == 'encoder' else 2}"
            wide = ["wi_0", "wi_1"] if gated else ["wi"]
            out |= stacked(f"{mine}.mlp.fn.up", [f"{last}.DenseReluDense.{n}" for n in wide], s, ["weight"])
            out[f"{mine}.mlp.fn.down.weight"] = s[f"{last}.DenseReluDense.wo.weight"]
            out[f"{mine}.mlp.norm.weight"] = s[f"{last}.layer_norm.weight"]
    return out


def compare(model, reference, convert, logits, expected, keep, tolerance):
    """Logits at real positions, and every gradient, by the mapping that copied the weights."""
    keep = torch.ones(logits.shape[:2], dtype=torch.bool) if keep is None else keep
    assert (logits - expected)[keep].abs().max() <= tolerance * expected[keep].abs().max()
    weights = (
        torch.randn(expected.shape, generator=torch.Generator().manual_seed(3)).to(expected) * keep[..., None]
    )
    (logits * weights).sum().backward()
    (expected * weights).sum().backward()
    theirs = convert({name: p.grad for name, p in reference.state_dict(keep_vars=True).items()})
    for name, parameter in model.named_parameters():
        off = (parameter.grad - theirs[name]).abs().max()
        assert off <= 10 * tolerance * max(1.0, theirs[name].abs().max()), name


def as_mask(keep):
    return None if keep is None else keep.long()


PADDING = [None, (T, 7), (1, T)]


@pytest.mark.parametrize("lengths", PADDING)
def test_gpt_is_gpt2(build, perturb, lengths):
    config = GPT2Config(
        vocab_size=V, n_embd=24, n_layer=2, n_head=4, n_inner=52, n_positions=40, attn_implementation="eager"
    )
    reference = perturb(GPT2LMHeadModel(config).double().eval())
    model = build("gpt", "hidden=52", "position.max_len=40").double()
    copy(model, from_gpt2(reference.state_dict()))
    x, keep = tokens(2, T), right_padded(lengths, T)
    expected = reference(x, attention_mask=as_mask(keep)).logits
    compare(model, reference, from_gpt2, model.head(model(x, keep).hidden), expected, keep, 1e-10)


@pytest.mark.parametrize("lengths", PADDING)
def test_bert_is_bert(build, perturb, lengths):
    config = BertConfig(
        vocab_size=V,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=52,
        max_position_embeddings=40,
        attn_implementation="eager",
    )
    reference = perturb(BertForMaskedLM(config).double().eval())
    model = build("bert", "hidden=52", "position.max_len=40").double()
    weights = reference.state_dict()
    # One token type: its row is a constant, which our position table holds.
    weights["bert.embeddings.position_embeddings.weight"] = (
        weights["bert.embeddings.position_embeddings.weight"]
        + weights["bert.embeddings.token_type_embeddings.weight"][0]
    )
    copy(model, from_bert(weights))
    x, keep = tokens(2, T), right_padded(lengths, T)
    expected = reference(x, attention_mask=as_mask(keep)).logits
    compare(model, reference, from_bert, model.head(model(x, keep).hidden), expected, keep, 1e-10)


@pytest.mark.parametrize("lengths", PADDING)
def test_parts_compose_to_llama(build, perturb, lengths):
    """No class of its own: rotary, RMSNorm, SwiGLU and grouped key-value heads, swapped into gpt."""
    config = LlamaConfig(
        vocab_size=V,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=10,
        intermediate_size=52,
        attn_implementation="eager",
    )
    reference = perturb(LlamaForCausalLM(config).eval())
    parts = ("arch/position=rope", "arch/norm=rms", "arch/mlp=swiglu", "arch/head=untied")
    model = build("gpt", *parts, "kv_heads=2", "head_dim=10", "hidden=52", "bias=false")
    copy(model, from_llama(reference.state_dict()))
    x, keep = tokens(2, T), right_padded(lengths, T)
    expected = reference(x, attention_mask=as_mask(keep)).logits
    compare(model, reference, from_llama, model.head(model(x, keep).hidden), expected, keep, 1e-5)


@pytest.mark.parametrize("lengths", [(None, None), ((150, 40), (133, 9))])
@pytest.mark.parametrize("gated", [False, True])
def test_t5_is_t5(build, perturb, lengths, gated):
    """Beyond max_distance on both sides, heads * d_kv unlike d_model, source and target of unequal length."""
    config = T5Config(
        vocab_size=V,
        d_model=24,
        d_kv=10,
        d_ff=52,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu" if gated else "relu",
        attn_implementation="eager",
    )
    reference = perturb(T5ForConditionalGeneration(config).eval())
    model = build("t5", "head_dim=10", "hidden=52", *(["arch/mlp=geglu"] if gated else []))
    convert = partial(from_t5, gated=gated)
    copy(model, convert(reference.state_dict()))
    source, x = tokens(2, 150, 1), tokens(2, 133, 2)
    source_keep, keep = right_padded(lengths[0], 150), right_padded(lengths[1], 133)
    expected = reference(
        input_ids=source,
        attention_mask=as_mask(source_keep),
        decoder_input_ids=x,
        decoder_attention_mask=as_mask(keep),
    ).logits
    logits = model.head(model(x, keep, source=source, source_keep=source_keep).hidden)
    compare(model, reference, convert, logits, expected, keep, 1e-5)


@pytest.mark.parametrize("causal", [True, False])
def test_buckets_of_distance_are_t5s(causal):
    relative = torch.arange(-300, 301)
    expected = T5Attention._relative_position_bucket(relative, bidirectional=not causal)
    assert torch.equal(T5Bias(8, causal, heads=2).bucket(relative), expected)
