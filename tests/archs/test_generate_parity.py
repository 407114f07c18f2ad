"""Texts are what generate of transformers writes: greedy, and by beam search."""

import pytest
import torch
import transformers

from archs import from_hf
from archs.decoding import Special, beam_search, generate

V, PAD, START = 61, 1, 2  # transformers fills beam search with eos where PAD is 0
MODELS = ("gpt2", "llama", "mistral", "mamba", "t5", "bart")
SMALL = {"vocab_size": V, "pad_token_id": PAD, "bos_token_id": None, "eos_token_id": None}
ATTENTION = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10}
BART = {"layers": 2, "attention_heads": 4, "ffn_dim": 52}


def reference(name, perturb):
    """A transformers model none of whose parameters is where initialisation leaves it."""
    tf = transformers
    llama = SMALL | ATTENTION | {"hidden_size": 24, "intermediate_size": 52}
    seq2seq = SMALL | {"d_model": 24, "decoder_start_token_id": START}
    bart = {f"{side}_{key}": n for side in ("encoder", "decoder") for key, n in BART.items()}
    make = {
        "gpt2": lambda: tf.GPT2LMHeadModel(
            tf.GPT2Config(**SMALL, n_embd=24, n_layer=2, n_head=4, n_inner=52, n_positions=60)
        ),
        "llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**llama)),
        "mistral": lambda: tf.MistralForCausalLM(tf.MistralConfig(**llama, sliding_window=5)),
        "mamba": lambda: tf.MambaForCausalLM(tf.MambaConfig(**SMALL, hidden_size=24, num_hidden_layers=2)),
        "t5": lambda: tf.T5ForConditionalGeneration(
            tf.T5Config(**seq2seq, d_kv=10, d_ff=52, num_layers=2, num_heads=4)
        ),
        "bart": lambda: tf.BartForConditionalGeneration(
            tf.BartConfig(**seq2seq, **bart, max_position_embeddings=60, forced_eos_token_id=None)
        ),
    }[name]
    torch.manual_seed(0)
    model = make().double().eval()
    for seed in range(1, 7):  # a model near its initialisation writes one token over and over
        perturb(model, seed=seed)
    return model


@pytest.fixture(scope="module")
def pair(perturb):
    """pair("gpt2") -> transformers' model and ours, made once."""
    made = {}

    def _pair(name):
        if name not in made:
            theirs = reference(name, perturb)
            made[name] = theirs, from_hf(theirs)
        return made[name]

    return _pair


def prompts(name):
    """As transformers needs them padded: its encoders count pads as positions, and its Mamba reads pads."""
    lengths = torch.tensor([9, 9, 9, 9] if name == "mamba" else [9, 4, 1, 7])
    ids = torch.randint(4, V, (4, 9), generator=torch.Generator().manual_seed(0))
    keep = torch.arange(9) >= 9 - lengths[:, None]
    keep = keep.flip(1) if name in ("t5", "bart") else keep
    return ids.masked_fill(~keep, PAD), keep


def theirs_writes(theirs, ids, keep, **options):
    """transformers' output, without what it repeats of the prompt."""
    seq2seq = theirs.config.is_encoder_decoder
    out = theirs.generate(
        ids,
        attention_mask=keep.long(),
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    return out.sequences[:, 1 if seq2seq else ids.shape[1] :], out.get("sequences_scores")


def special(name, eos=None):
    return Special(START if name in ("t5", "bart") else None, eos=eos, pad=PAD)


@pytest.mark.parametrize("name", MODELS)
def test_greedy_is_transformers(pair, name):
    """30 tokens after prompts of different lengths: far past the window of mistral, and an eos on the way."""
    theirs, ours = pair(name)
    ids, keep = prompts(name)
    expected, _ = theirs_writes(theirs, ids, keep, max_new_tokens=30)
    found = generate(ours, ids, keep, max_tokens=30, special=special(name), temperature=0)
    assert torch.equal(found.ids, expected)
    assert found.lengths.tolist() == [30] * 4
    assert len(expected.unique()) > 4  # a text, not one token over and over

    eos = int(expected[0, 11])
    expected, _ = theirs_writes(theirs, ids, keep, max_new_tokens=30, eos_token_id=eos)
    found = generate(ours, ids, keep, max_tokens=30, special=special(name, eos), temperature=0)
    assert torch.equal(found.ids, expected)
    assert (found.ids.gather(1, found.lengths[:, None] - 1)[found.lengths < 30] == eos).all()


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("name", ["t5", "bart", "llama"])
def test_beam_search_is_transformers(pair, name, beams, early_stopping):
    theirs, ours = pair(name)
    ids, keep = prompts(name)
    likeliest, _ = theirs_writes(theirs, ids, keep, max_new_tokens=12, num_beams=4)
    ends = set()
    for penalty in (0.0, 0.3, 1.0, 2.0):
        options = {"length_penalty": penalty, "early_stopping": early_stopping}
        for eos in likeliest.unique()[-3:].tolist():
            expected, score = theirs_writes(
                theirs, ids, keep, max_new_tokens=12, num_beams=beams, eos_token_id=eos, **options
            )
            found = beam_search(
                ours, ids, keep, max_tokens=12, beams=beams, special=special(name, eos), **options
            )
            assert torch.equal(found.ids, expected)
            if beams > 1:  # else transformers is greedy, and keeps no score
                torch.testing.assert_close(found.scores.float(), score, rtol=1e-5, atol=1e-5)
            ends |= set(found.lengths.tolist())
    assert len(ends) > 1  # some texts ended by themselves
