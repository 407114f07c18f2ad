"""Free text: what is written is what the model finds likeliest, step by step, whatever it is batched with."""

import numpy as np
import pytest
import torch
from torch import nn

from archs.contract import Family, Output
from harness import build
from tasks.example import Example, Examples
from tasks.layout import layout
from tasks.tokenizer import EOS, MASK, N_SPECIAL, PAD
from tasks.writing import ended, write

ENCODER, DECODER, ENCODER_DECODER = Family
ARCHS = {"gpt": None, "mamba": None, "bert": None, "t5": PAD}
V = N_SPECIAL + 12
SMALL = ["arch.dim=16", "arch.depth=1", "arch.heads=2"]


def sources(count=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(N_SPECIAL, V, size=n) for n in rng.integers(1, 9, count)]


def model(arch):
    torch.manual_seed(3)
    made = build(arch, vocab_size=V, overrides=SMALL).eval()
    with torch.no_grad():  # far from uniform, so that rounding decides nothing
        for parameter in made.parameters():
            parameter.mul_(3)
    return made


@pytest.mark.parametrize("arch", ARCHS)
def test_it_does_not_depend_on_what_it_is_batched_with(arch):
    net, asked = model(arch), sources()
    alone = [write(net, [source], 4, ARCHS[arch])[0] for source in asked]
    for batch_tokens in (None, 1):
        for one, other in zip(
            alone, write(net, asked, 4, ARCHS[arch], batch_tokens=batch_tokens), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    assert all(len(answer) <= 4 and (answer >= N_SPECIAL).all() for answer in alone)


@pytest.mark.parametrize("arch", ARCHS)
def test_each_token_is_the_likeliest_after_those_before_it(arch):
    """Against the layout that a model is trained in: for an encoder, with the tokens before filled in."""
    net, start = model(arch), ARCHS[arch]
    for source in sources(3):
        (answer,) = write(net, [source], 4, start)
        expected = [*answer, EOS][:4]
        for i, wanted in enumerate(expected):
            (row,) = layout(Family(net.family), Examples.of([Example(source, answer)]), 4, start).rows()
            tokens = row.tokens.copy()
            if net.family is ENCODER:
                tokens[row.at[:i]] = expected[:i]
            read = torch.from_numpy(tokens)[None]
            beside = None if row.source is None else torch.from_numpy(row.source)[None]
            logits = net.head(net(read, source=beside).hidden[0, row.at[i]])
            allowed = [EOS, *range(N_SPECIAL, V)]
            assert allowed[int(logits[allowed].argmax())] == wanted


class Spelling(nn.Module):
    """An encoder that writes the source again: the i-th mask stands for its i-th token, then for the end."""

    family, vocab_size, max_len = ENCODER, V, None

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        logits = torch.zeros(*tokens.shape, V)
        for b, row in enumerate(tokens.tolist()):
            self.seen.append(row if keep is None else row[: int(keep[b].sum())])
            end = next(i for i, token in enumerate(row) if token == 5)  # <sep>
            for i, token in enumerate([*row[:end], EOS]):
                if end + 1 + i < len(row):
                    logits[b, end + 1 + i, token] = 1
                    logits[b, end + 1 + i, MASK] = 2  # never chosen
        return Output(logits)

    def head(self, hidden):
        return hidden


def test_an_encoder_fills_its_masks_from_left_to_right_until_the_end():
    net = Spelling()
    short, long = np.array([110]), np.array([111, 112, 113, 114, 115])
    answers = write(net, [long, short], 4)
    assert [answer.tolist() for answer in answers] == [[111, 112, 113, 114], [110]]
    own = [row for row in net.seen if row[0] == 110]
    assert own[:2] == [[110, 5, MASK, MASK, MASK, MASK], [110, 5, 110, MASK, MASK, MASK]]
    assert len(own) == 2  # it has said <eos> and is asked no more


def test_where_a_row_ends():
    assert [ended(np.array(ids)) for ids in ([110, EOS, PAD], [EOS], [110, 111])] == [1, 0, 2]


@pytest.mark.parametrize("arch", ARCHS)
def test_a_model_trains_on_after_it_has_written(arch):
    net = model(arch).train()
    write(net, sources(2), 3, ARCHS[arch])
    tokens = torch.full((1, 12), N_SPECIAL)
    net(tokens, source=tokens if arch == "t5" else None).hidden.sum().backward()
    assert net.training
