"""archs-generate: several prompts, searches and draws, and text as it streams."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.building import architecture
from harness.compose import compose
from harness.errors import ConfigError
from harness.generate import TEMPERATURE, check_search, continuations, special, stream_text, texts
from harness.loading import Loaded
from tasks.tokenizer import EOS, N_SPECIAL, raw_bytes

RUN = "run=."
FAMILIES = ["gpt", "bert", "t5", "mamba"]
BYTES = raw_bytes()


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A place that looks like a finished run, for the rules of `run=`."""
    (tmp_path / "run.json").touch()
    monkeypatch.chdir(tmp_path)
    BYTES.save(tmp_path / "tokenizer.json")
    return tmp_path


@pytest.fixture
def loaded(run_folder):
    def _loaded(name):
        small = ["arch.dim=16", "arch.depth=1", "arch.heads=2", "size=null"]
        arch = architecture(compose("train", [f"arch={name}", *small]), BYTES.vocab_size)
        torch.manual_seed(0)
        return Loaded(run_folder, {}, arch, arch.build(BYTES.vocab_size).eval())

    return _loaded


def written(run, prompts, *overrides, sample=0):
    config = compose("generate", [RUN, "max_tokens=12", *overrides])
    return ["".join(pieces) for pieces in continuations(run, prompts, config, sample)]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_is_continued_the_same_way_alone_and_beside_others(loaded, name):
    run, prompts = loaded(name), ["We, the people", "", "I"]
    for way in (["temperature=0.0"], ["beams=3", "length_penalty=0.5"]):
        alone = [written(run, [prompt], *way)[0] for prompt in prompts]
        assert written(run, prompts, *way) == alone


@pytest.mark.parametrize("name", FAMILIES)
def test_a_seed_repeats_a_text_and_the_next_sample_is_another(loaded, name):
    run, prompts = loaded(name), ["We", "I have"]
    assert written(run, prompts) == written(run, prompts) != written(run, prompts, sample=1)
    assert written(run, prompts, "seed=2") == written(run, prompts, sample=1)


@pytest.mark.parametrize("name", FAMILIES)
def test_text_is_the_same_streamed_and_at_once(loaded, name):
    run = loaded(name)
    assert written(run, ["We"], "stream=false") == written(run, ["We"], "stream=true")


def test_no_temperature_is_the_usual_one(loaded):
    run = loaded("gpt")
    assert written(run, ["We"]) == written(run, ["We"], f"temperature={TEMPERATURE}")
    assert written(run, ["We"]) != written(run, ["We"], "temperature=0.0")


def test_text_has_no_special_token_but_its_end():
    allowed = set(range(N_SPECIAL)) - set(special(None).banned)
    assert allowed == {EOS} == {special(None).eos}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("null", [""]), ("We", ["We"]), ("1789", ["1789"]), ('["We, the",I]', ["We, the", "I"])],
)
def test_prompts_as_they_are_typed(run_folder, prompt, expected):
    assert texts(compose("generate", [RUN, f"prompt={prompt}"]).prompt) == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prompt=[]", "prompt takes text, or a list of texts"),
        ("prompt={a: 1}", "prompt takes text, or a list of texts"),
        ("beams=0", "beams takes a whole number of at least 1"),
        ("length_penalty=long", "length_penalty takes a number"),
        ("temperature=-1", "temperature takes a number of at least 0, or null"),
    ],
)
def test_bad_values_are_refused(run_folder, override, message):
    with pytest.raises(ConfigError, match=message):
        compose("generate", [RUN, override])


@pytest.mark.parametrize("drawn", ["temperature=0.7", "top_k=5", "top_p=0.9", "samples=2"])
def test_a_search_and_draws_exclude_each_other(run_folder, drawn):
    check_search(compose("generate", [RUN, "beams=4", "temperature=0.0"]))
    check_search(compose("generate", [RUN, drawn]))
    with pytest.raises(ValueError, match=rf"beams=4 .* {drawn} draws at random"):
        check_search(compose("generate", [RUN, "beams=4", drawn]))


@given(st.text(max_size=20))
@settings(max_examples=50)
def test_streamed_pieces_join_to_the_text(text):
    pieces = list(stream_text(BYTES, iter(BYTES.encode(text).tolist())))
    assert "".join(pieces) == text
    assert "\N{REPLACEMENT CHARACTER}" in text or not any("\N{REPLACEMENT CHARACTER}" in p for p in pieces)


@given(st.text(max_size=8), st.integers(1, 3))
@settings(max_examples=50)
def test_streamed_bytes_that_are_no_text_spoil_no_more_than_at_once(text, cut):
    ids = BYTES.encode(text).tolist()[cut:]  # perhaps in the middle of a character
    assert "".join(stream_text(BYTES, iter(ids))) == BYTES.decode(ids)
