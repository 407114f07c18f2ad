"""Writing text: row by row, to its end, and what each way of choosing promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from archs.decoding import Special, beam_search, choose, generate, stream

V, PAD, START = 61, 1, 2


def left_padded(lengths=(9, 4, 1, 7), seed=0):
    longest = max(lengths)
    ids = torch.randint(4, V, (len(lengths), longest), generator=torch.Generator().manual_seed(seed))
    keep = torch.arange(longest) >= longest - torch.tensor(lengths)[:, None]
    return ids.masked_fill(~keep, PAD), keep


# Rows, prompts, ends ---------------------------------------------------------------------------------

FAMILIES = ("gpt", "mamba", "t5", "bert")
IDS = Special(start=START, mask=3, pad=PAD)


@pytest.fixture(scope="module")
def model(build, perturb):
    made = {}

    def _model(name):
        if name not in made:
            made[name] = perturb(build(name, vocab_size=V).double())
        return made[name]

    return _model


@pytest.mark.parametrize("side", ["left", "right", "between"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_of_a_batch_is_that_prompt_alone(model, name, side):
    ids, keep = left_padded()
    if side == "right":
        ids, keep = ids.flip(1), keep.flip(1)
    elif side == "between":
        keep = torch.rand(keep.shape, generator=torch.Generator().manual_seed(1)) < 0.6
        keep[:, 4] = True
    for write, options in ((generate, {"temperature": 0}), (beam_search, {"beams": 3})):
        together = write(model(name), ids, keep, max_tokens=8, special=IDS, **options)
        for row, kept, found in zip(ids, keep, together.ids, strict=True):
            alone = write(model(name), row[kept][None], max_tokens=8, special=IDS, **options)
            assert torch.equal(alone.ids[0], found)


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_takes_the_likeliest_token_of_a_whole_forward_pass(model, name):
    backbone, prompt = model(name), left_padded((5,))[0]
    ids = generate(backbone, prompt, max_tokens=6, special=IDS, temperature=0).ids
    for n in range(6):
        if name == "t5":
            begun = torch.cat([torch.tensor([[START]]), ids[:, :n]], 1)
            hidden = backbone(begun, source=prompt).hidden
        else:
            asked = [torch.tensor([[IDS.mask]])] if name == "bert" else []
            hidden = backbone(torch.cat([prompt, ids[:, :n], *asked], 1)).hidden
        assert int(backbone.head(hidden[0, -1]).argmax()) == int(ids[0, n])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_stream_is_the_text_and_stops_at_its_end(model, name):
    prompt, _ = left_padded((5,))
    options = {"special": IDS, "temperature": 1.0}
    whole = generate(model(name), prompt, max_tokens=12, generator=seeded(3), **options).ids
    assert whole.shape == (1, 12)
    eos = int(whole[0, 7])
    options["special"] = IDS._replace(eos=eos)
    pieces = list(stream(model(name), prompt, max_tokens=12, generator=seeded(3), **options))
    first = whole[0].tolist().index(eos)
    assert [int(piece) for piece in pieces] == whole[0, : first + 1].tolist()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_width_of_one_is_greedy(model, name):
    ids, keep = left_padded()
    greedy = generate(model(name), ids, keep, max_tokens=9, special=IDS, temperature=0)
    assert torch.equal(
        beam_search(model(name), ids, keep, max_tokens=9, special=IDS, beams=1).ids, greedy.ids
    )


@pytest.mark.parametrize("penalty", [0.0, 0.7, 2.0])
def test_beams_as_many_as_there_are_texts_find_the_best_of_all(build, perturb, penalty):
    """Every text of at most 3 tokens over an alphabet of 5, scored by one forward pass each."""
    backbone, eos, prompt = perturb(build("gpt", vocab_size=5).double()), 1, torch.tensor([[2, 3]])
    best, score = None, -float("inf")
    for n in (1, 2, 3):
        for text in torch.cartesian_prod(*[torch.arange(5)] * n).view(-1, n):
            if bool((text[:-1] == eos).any()) or (n < 3 and int(text[-1]) != eos):
                continue
            with torch.no_grad():
                hidden = backbone(torch.cat([prompt, text[None]], 1)).hidden[0, 1:-1]
                chances = backbone.head(hidden).log_softmax(-1)
            total = float(chances.gather(1, text[:, None]).sum()) / n**penalty
            if total > score:
                best, score = text, total
    found = beam_search(
        backbone, prompt, max_tokens=3, special=Special(eos=eos), beams=125, length_penalty=penalty
    )
    assert found.ids[0].tolist() == best.tolist()
    assert float(found.scores) == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_banned_is_never_written(model, name):
    ids, keep = left_padded()
    free = generate(model(name), ids, keep, max_tokens=9, special=IDS, temperature=0).ids
    banned = tuple(free.unique().tolist())
    special = IDS._replace(banned=banned)
    for text in (
        generate(model(name), ids, keep, max_tokens=9, special=special, generator=seeded()),
        beam_search(model(name), ids, keep, max_tokens=9, special=special),
    ):
        assert not set(banned) & set(text.ids.unique().tolist())


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_may_be_named_by_its_word(build, model, name):
    """As a plugin's class may say it: family = "encoder"."""
    named = build(name, vocab_size=V).double()
    named.load_state_dict(model(name).state_dict())
    named.family = str(named.family)
    prompt, _ = left_padded((5,))
    options = {"max_tokens": 4, "special": IDS, "temperature": 0}
    assert torch.equal(generate(named, prompt, **options).ids, generate(model(name), prompt, **options).ids)


# Choosing --------------------------------------------------------------------------------------------


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(logits, n=4000, seed=0, **options):
    return choose(logits.expand(n, -1), generator=seeded(seed), **options)


rows = st.integers(0, 10_000).map(lambda seed: 2 * torch.randn(8, generator=seeded(seed)))


@given(rows, st.sampled_from([None, 3, 8]), st.sampled_from([None, 0.4]))
@settings(max_examples=20)
def test_temperature_zero_is_greedy(logits, top_k, top_p):
    assert (drawn(logits, 10, temperature=0, top_k=top_k, top_p=top_p) == logits.argmax()).all()


@given(rows, st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=20, derandomize=True)
def test_draws_follow_the_softmax_after_temperature(logits, temperature):
    counts = drawn(logits, 5000, temperature=temperature).bincount(minlength=8)
    expected = 5000 * (logits.double() / temperature).softmax(-1)
    common = expected > 5  # what the test needs; the rest goes into one cell
    cells = [torch.cat([t[common], t[~common].sum()[None]]) for t in (counts.double(), expected)]
    cells = [cell if float(cells[1][-1]) > 0 else cell[:-1] for cell in cells]
    assert chisquare(*cells).pvalue > 1e-4


@given(rows, st.integers(1, 12), st.sampled_from([0.7, 1.5]))
@settings(max_examples=20)
def test_top_k_draws_only_from_the_k_likeliest(logits, k, temperature):
    assert set(drawn(logits, top_k=k, temperature=temperature).tolist()) <= set(
        logits.topk(min(k, 8)).indices.tolist()
    )


def test_top_k_draws_from_k_where_more_are_equally_likely():
    assert len(drawn(torch.zeros(8), top_k=3).unique()) == 3


@given(rows, st.floats(0.05, 1.0))
@settings(max_examples=20)
def test_the_nucleus_is_the_smallest_set_that_reaches_p(logits, p):
    chances, order = logits.softmax(-1).sort(descending=True)
    sums = chances.cumsum(-1)
    size = int((sums < p - 1e-6).sum()) + 1
    found = set(drawn(logits, top_p=p).tolist())
    assert found <= set(order[:size].tolist())
    assert {i for i in order[:size].tolist() if logits.softmax(-1)[i] > 0.01} <= found


@pytest.mark.parametrize("name", FAMILIES)
def test_a_seed_repeats_a_text_and_another_changes_it(model, name):
    ids, keep = left_padded()
    one, same, other = (
        generate(model(name), ids, keep, max_tokens=9, special=IDS, generator=seeded(seed)).ids
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# Bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gpt", {"prompts": torch.ones(2, 0, dtype=torch.int64)}, r"prompts are torch.int64 \(2, 0\)"),
        ("gpt", {"prompts": torch.ones(2, 3)}, r"prompts are torch.float32 \(2, 3\)"),
        ("gpt", {"keep": torch.ones(2, 4).bool()}, r"keep mask of prompts is torch.bool \(2, 4\)"),
        ("gpt", {"keep": torch.tensor([[True] * 3, [False] * 3])}, "row 1 of prompts keeps no token"),
        ("gpt", {"max_tokens": 0}, "max_tokens=0"),
        ("gpt", {"special": Special(eos=V)}, f"special.eos={V}: expected an id from 0 to {V - 1}"),
        ("gpt", {"special": Special(banned=(V,))}, rf"special.banned=\({V},\): expected some ids from 0 to"),
        ("gpt", {"special": Special(banned=tuple(range(V)))}, "special.banned=.*: expected .*, not all"),
        ("bert", {"special": Special()}, "special.mask=None"),
        ("t5", {"special": Special()}, "special.start=None"),
        ("gpt", {"temperature": -1.0}, "temperature=-1.0"),
        ("gpt", {"top_k": 0}, "top_k=0"),
        ("gpt", {"top_p": 0.0}, "top_p=0.0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(model, name, change, message):
    options = {"prompts": torch.ones(2, 3, dtype=torch.int64), "max_tokens": 4, "special": IDS} | change
    with pytest.raises(ValueError, match=message) as error:
        stream(model(name), **options)  # before the first token is asked for
    assert "\n" not in str(error.value)


def test_no_beams_are_refused(model):
    with pytest.raises(ValueError, match="beams=0"):
        beam_search(model("gpt"), torch.ones(1, 3, dtype=torch.int64), max_tokens=4, beams=0)


def test_texts_fill_a_table_of_positions_and_never_outgrow_it(build):
    """The last token is written, not read: it needs no position. An encoder forgets its beginning."""
    prompt = torch.ones(1, 5, dtype=torch.int64)
    short = "position.max_len=8"
    assert generate(build("gpt", short), prompt, max_tokens=4).ids.shape == (1, 4)
    with pytest.raises(ValueError, match="9 positions, but the backbone has 8"):
        generate(build("gpt", short), prompt, max_tokens=5)
    learned = build("t5", "arch/position=learned", short)
    assert generate(learned, prompt, max_tokens=8, special=IDS).ids.shape == (1, 8)
    with pytest.raises(ValueError, match="9 positions, but the backbone has 8"):
        generate(learned, prompt, max_tokens=9, special=IDS)
    with pytest.raises(ValueError, match="9 positions, but the backbone has 8"):
        generate(learned, torch.ones(1, 9).long(), max_tokens=2, special=IDS)
    assert generate(build("bert", short), prompt, max_tokens=9, special=IDS).ids.shape == (1, 9)
