"""The bottleneck: nothing but the last token's hidden vector reaches what is read, for every family."""

import copy
from functools import lru_cache

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn

from archs import parameter_counts
from archs.contract import Backbone, Family, LinearHead, Output
from harness.building import build
from harness.loss import cross_entropy
from harness.module import scored_loss
from tasks import Compression
from tasks.rows import IGNORE
from tasks.synthetic.bottleneck import INNER, Bottleneck, bottleneck, sinusoids, width

VOCAB, T = 123, 9
ARCHS = {"bert": Family.ENCODER, "gpt": Family.DECODER, "mamba": Family.DECODER, "t5": Family.ENCODER_DECODER}


@lru_cache
def built(arch):
    torch.manual_seed(0)
    return build(arch, vocab_size=VOCAB, overrides=["arch.dim=16", "arch.depth=1", "arch.heads=2"])


@pytest.fixture(params=ARCHS)
def wrapped(request):
    torch.manual_seed(0)
    return bottleneck(copy.deepcopy(built(request.param)).double()).eval()


def tokens(rows=3, length=T, seed=0):
    return torch.randint(107, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def read(model, x, keep=None):
    beside = {"source": x, "source_keep": keep} if model.family is Family.ENCODER_DECODER else {}
    return model(x, keep, **beside).hidden


class Fixed(nn.Module):
    """A backbone whose hidden vectors are handed to it; its head is no linear map that it lays open."""

    family, vocab_size, max_len = Family.DECODER, 5, None

    def __init__(self, hidden):
        super().__init__()
        self.table = nn.Parameter(hidden)

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        return Output(
            self.table[:, : tokens.shape[1]].expand(len(tokens), -1, -1), None, {"extra": tokens.sum()}
        )

    def head(self, hidden):
        return hidden[..., :5]

    def flops(self, T, S=0, scored=None):
        return 1000 * T

    def state_bytes(self, T, S=0, dtype=torch.float32):
        return 7 * T


def test_only_the_last_hidden_vector_is_read():
    hidden = torch.randn(1, T, 8, generator=torch.Generator().manual_seed(0))
    model = bottleneck(Fixed(hidden))
    before = model(tokens())
    model.backbone.table.data[:, : T - 1] += 1
    assert model(tokens()).hidden.equal(before.hidden), "other vectors change nothing"
    model.backbone.table.data[:, T - 1] += 1
    assert not torch.isclose(model(tokens()).hidden, before.hidden).all(-1).any(), "that vector changes all"
    assert before.aux["extra"] == tokens().sum()


def test_each_token_is_read_at_its_position():
    """The norm of MLP(h + sinusoid i), by hand."""
    model = bottleneck(Fixed(torch.randn(1, T, 8)))
    first, _, second, norm = model.probe
    places = sinusoids(torch.arange(T), 8)
    assert places[0].tolist() == [0] * 4 + [1] * 4
    assert places[3, 1] == pytest.approx(torch.tensor(3 / 10000 ** (1 / 4)).sin())
    assert sinusoids(torch.arange(4), 7).shape == (4, 7)
    for i in range(T):
        x = model.backbone.table[0, -1] + places[i]
        expected = norm(second(nn.functional.gelu(first(x))))
        torch.testing.assert_close(model(tokens()).hidden[1, i], expected)


def test_the_last_is_the_last_that_is_kept(wrapped):
    x = tokens()
    padded = torch.cat([x, torch.zeros(3, 4, dtype=torch.int64)], dim=1)
    keep = torch.arange(T + 4).expand(3, -1) < T
    torch.testing.assert_close(read(wrapped, padded, keep)[:, :T], read(wrapped, x), rtol=0, atol=1e-9)
    other = tokens(length=4, seed=1)
    torch.testing.assert_close(
        read(wrapped, torch.cat([x, other], dim=1), keep)[:, :T], read(wrapped, x), rtol=0, atol=1e-9
    )


def test_it_is_a_backbone_with_the_same_head(wrapped):
    inside = wrapped.backbone
    assert isinstance(wrapped, Backbone)
    assert isinstance(wrapped, LinearHead)
    assert (wrapped.family, wrapped.vocab_size, wrapped.max_len) == (inside.family, VOCAB, inside.max_len)
    hidden = read(wrapped, tokens())
    assert wrapped.head(hidden).equal(inside.head(hidden))
    assert not isinstance(bottleneck(Fixed(torch.zeros(1, 1, 8))), LinearHead)
    with pytest.raises(ValueError, match="takes no state"):
        wrapped(tokens(), state=())


def test_it_costs_the_backbone_and_the_probe(wrapped):
    probe = sum(p.numel() for p in wrapped.probe.parameters())
    assert probe == 2 * INNER * 16**2 + (INNER + 1) * 16 + 2 * 16
    counts, inside = parameter_counts(wrapped), parameter_counts(wrapped.backbone)
    assert {name: counts[name] - inside[name] for name in counts} == dict.fromkeys(counts, probe)
    source = T if wrapped.family is Family.ENCODER_DECODER else 0
    weights = sum(p.numel() for p in wrapped.probe.parameters() if p.ndim == 2)
    for scored in (None, 0, 4):
        assert wrapped.flops(T, source, scored) == wrapped.backbone.flops(T, source, scored) + 2 * T * weights
    assert wrapped.state_bytes(T, source) == wrapped.backbone.state_bytes(T, source)


def test_weights_are_saved_and_loaded(wrapped):
    saved = {name: value.clone() for name, value in wrapped.state_dict().items()}
    assert {name.split(".")[0] for name in saved} == {"backbone", "probe"}
    expected = read(wrapped, tokens())
    other = copy.deepcopy(wrapped)
    for parameter in other.parameters():
        parameter.data.normal_()
    other.load_state_dict(saved)
    assert read(other, tokens()).equal(expected)


def test_a_shape_on_the_meta_device_is_enough(wrapped):
    outline = bottleneck(copy.deepcopy(wrapped.backbone).to("meta"))
    assert outline.flops(T) == wrapped.flops(T)
    assert next(outline.probe.parameters()).is_meta


def test_looking_for_the_width_changes_nothing():
    backbone = build("gpt", vocab_size=VOCAB, overrides=["arch.dim=16", "arch.dropout=0.5"]).train()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert width(backbone, torch.device("cpu")) == 16
    assert backbone.training
    assert torch.rand(1) == expected, "no random number was drawn"


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("arch", ARCHS)
def test_it_learns_what_fits_into_a_vector(arch, precision):
    """Eight sequences of four symbols are told apart after some steps."""
    torch.manual_seed(0)
    counts = {"validation_examples": 1, "test_examples": 1, "quick_examples": 1, "train_examples": 8}
    task = Compression(family=ARCHS[arch], start=0, vocab=4, length=5, **counts)
    model = task.wrap(copy.deepcopy(built(arch)))
    assert isinstance(model, Bottleneck)
    fabric = Fabric(accelerator="cpu", precision=precision)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(150):
        with fabric.autocast():
            loss, _ = scored_loss(model, task.batch(1, step, 8))
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.probe.parameters())
        optimizer.step()
    assert loss < 0.6, "a guess costs 1.1"


def test_the_loss_by_pieces_is_the_loss(wrapped):
    """harness.loss reads a linear head in pieces: as cross-entropy of the logits, in value and gradient."""
    batch = Compression(
        family=wrapped.family, start=0, length=T, validation_examples=2, test_examples=2, quick_examples=2
    ).batch(1, 0, 4)
    hidden = read(wrapped, batch.tokens)
    asked = batch.targets != IGNORE
    assert asked.sum(dim=1).tolist() == [T - 1] * 4
    expected = nn.functional.cross_entropy(wrapped.head(hidden[asked]), batch.targets[asked])
    found = cross_entropy(wrapped, hidden[asked], batch.targets[asked])
    torch.testing.assert_close(found, expected)
    parameters = [*wrapped.probe.parameters(), *wrapped.backbone.parameters()]
    gradients = [
        torch.autograd.grad(x, parameters, retain_graph=True, allow_unused=True) for x in (found, expected)
    ]
    torch.testing.assert_close(*gradients)
