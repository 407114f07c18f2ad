from harness.compose import compose
from harness.listing import first_sentence, measured, run
from harness.searchpath import conf_dir


def test_everything_that_can_be_chosen_is_listed_with_its_size(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert run(compose("list", ["size=null", "length=64"])) == 0
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for name in ("bert", "gpt", "mamba", "mixtral", "t5"):
        family, *counts, state = next(line for line in lines if line[0] == name)[1:6]
        non_embedding, total, active = (int(count.replace(",", "")) for count in counts)
        assert 0 < non_embedding < total
        assert (active < total) == (name == "mixtral")
        assert (state == "–") == (family == "encoder")
    for group in ("arch/mixer", "arch/mlp", "arch/norm", "arch/position", "arch/head", "task", "objective"):
        for option in (conf_dir() / group).glob("*.yaml"):
            assert option.stem in text


def test_sizes_are_solved_and_what_cannot_be_is_said():
    family, non_embedding, *_ = measured("gpt", compose("list", ["size=200k"]))
    assert family == "decoder"
    assert abs(int(non_embedding.replace(",", "")) / 200_000 - 1) < 0.02
    (why,) = measured("gpt", compose("list", ["size=1"]))
    assert "size" in why


def test_a_description_is_the_first_sentence_of_the_first_comment():
    assert first_sentence("# A net (Me et al. 2020): deep.\n# More. And more\nkey: 1 # no\n") == (
        "A net (Me et al. 2020): deep"
    )
    assert first_sentence("# Two\n# lines\nkey: 1\n") == "Two lines"
    assert first_sentence("key: 1\n") == ""
