"""What a sweep measures: architectures, variants, parts, sizes, sides; and what it refuses first."""

import io
import re

import pytest
from bench_tools import bench, planned
from rich.console import Console

from archs.contract import Family
from harness.compose import compose
from harness.diagnose import options_of
from harness.efficiency import device
from harness.efficiency.points import points
from harness.errors import ConfigError
from harness.searchpath import make_loader
from harness.strict import as_dict
from harness.study import bench as measured
from harness.study import lengths, prepared, spec
from harness.study.expand import typed

assert bench  # a fixture


def test_architectures_take_turns_at_each_length(tmp_path):
    found = [(p.label, p.length, p.batch, p.mode) for p in planned(tmp_path, "modes=[tokens,single]")]
    assert found == [
        ("gpt", 16, 4, "tokens"),
        ("mamba", 16, 4, "tokens"),
        ("gpt", 16, 1, "single"),
        ("mamba", 16, 1, "single"),
        ("gpt", 32, 2, "tokens"),
        ("mamba", 32, 2, "tokens"),
        ("gpt", 32, 1, "single"),
        ("mamba", 32, 1, "single"),
    ]


def test_an_encoder_decoder_has_a_curve_for_each_side(tmp_path):
    found = planned(tmp_path, "archs=[t5,bert]", "lengths=[16]")
    assert [(p.label, p.side, p.family) for p in found] == [
        ("t5", "source", "encoder-decoder"),
        ("t5", "target", "encoder-decoder"),
        ("bert", None, "encoder"),
    ]
    assert len({p.path for p in found}) == 3


def test_all_is_every_architecture_that_there_is(tmp_path):
    lines = []
    found = planned(tmp_path, "archs=all", "lengths=[16]", say=lines.append)
    assert {p.label for p in found} == set(options_of(make_loader(), "arch"))
    assert lines == []


def test_parts_are_measured_in_one_frame_where_they_fit(tmp_path):
    lines = []
    found = planned(tmp_path, "archs=[mamba]", "parts=[mixer]", "lengths=[16]", say=lines.append)
    labels = [p.label for p in found]
    assert len(labels) == len(set(labels))
    assert {"mamba", "gpt", "gpt+sliding", "gpt+s6", "gpt+ssd", "gpt+no_mixer"} <= set(labels)
    assert {p.base for p in found} == {"mamba", "gpt"}
    assert any("s6_bidirectional" in line and "\n" not in line for line in lines)  # a decoder has one side
    assert not any("bidirectional" in label for label in labels)


def test_one_sweep_holds_an_architecture_beside_itself_with_less_memory(tmp_path):
    saving = typed({"saving": ["arch=gpt", "trainer.activation_checkpointing=true"]})
    gpt, saving = planned(tmp_path, "archs=[gpt]", f"variants={saving}", "lengths=[16]")
    assert [(p.label, p.base) for p in (gpt, saving)] == [("gpt", "gpt"), ("saving", "gpt")]
    assert gpt.setting == saving.setting  # they share a picture
    different = {key for key in gpt.spec if gpt.spec[key] != saving.spec[key]}
    assert different == {"activation_checkpointing"}
    assert gpt.path != saving.path
    both, _ = planned(tmp_path, "activation_checkpointing=true", "chunked_loss=false", "lengths=[16]")
    assert both.spec == {**saving.spec, "chunked_loss": False, "setting": both.setting}
    assert both.setting == f"{gpt.setting}, activation checkpointing, logits whole"


def test_sizes_are_settings_of_their_own(tmp_path):
    found = planned(tmp_path, "size=[100k,200k]", "archs=[gpt]", "lengths=[16]")
    assert [p.setting.split(",")[0] for p in found] == ["size 100k", "size 200k"]
    assert len({p.path for p in found}) == 2


def test_a_table_of_positions_grows_with_the_length_and_another_end_is_told(tmp_path):
    [grown] = planned(tmp_path, "archs=[gpt]", "lengths=[4096]")
    assert grown.spec["node"]["position"]["max_len"] > 4096
    assert grown.beyond == {}


def test_an_architecture_whose_positions_end_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.efficiency.points.with_positions", lambda node, needed: node)
    [short, full, long] = planned(tmp_path, "archs=[gpt]", "lengths=[512,1024,2048]")
    assert short.beyond == {}
    assert full.beyond == dict.fromkeys(
        ("prefill", "decode"), "its positions end at 1,024, and 1,046 are needed"
    )
    assert set(long.beyond) == set(long.works)
    assert long.beyond["train_step"] == "its positions end at 1,024, and 2,048 are needed"
    assert long.weight == 0 < short.weight


@pytest.mark.parametrize("value", ["[]", "[32,16]", "[16,16]", "[-16]", "[0]", "16", "[1.5]", "[a]"])
def test_a_list_of_lengths_that_does_not_rise_is_refused(value):
    with pytest.raises(ConfigError, match=r"^lengths=.*lengths takes a") as error:
        compose("bench", [f"lengths={value}"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("archs=[gtp]", "unknown arch 'gtp'; nearest: gpt"),
        ("archs=gpt", "archs takes names"),
        ("archs=[]", "nothing to measure"),
        ("variants={seeds: ['arch=gpt', 'seed=3']}", "variants.seeds: seed=3 changes nothing here"),
        ("variants={plain: 'arch=gpt'}", "a variant is a list of overrides"),
        ("variants={both: ['arch=gpt', 'arch/mixer=s6_bidirectional']}", "variants.both: "),
        (
            "variants={half: ['arch=gpt', 'trainer.precision=16-mixed']}",
            "precision=16-mixed is not measured",
        ),
        ("variants={gpt: ['arch=gpt']}", "variants.gpt: archs names it already"),
        ("archs=all variants={gpt: ['arch=gpt', 'arch/position=rope']}", "gpt: archs names it already"),
        ("parts=[mixer] variants={gpt+s6: ['arch=gpt']}", "s6: parts has another of that name"),
        ("variants={v: ['arch=mamba', 'task.segments=0']}", "v: task.segments=0: a sequence"),
        (
            "variants={v: ['arch=t5', 'arch/mixer=sliding', 'task.segments=8']}",
            r"segments=8 .* but arch=t5\+sliding is an encoder-decoder",
        ),
        ("variants={v: ['arch=mamba', 'task.segments=3']}", "multiples of 3, and 16 is none"),
        ("parts=[mixers]", "there is no group arch/mixers; nearest: mixer"),
        ("parts=mixer", "parts takes groups"),
        ("device=cuda", "device=cuda: .*; device=cpu"),
    ],
)
def test_what_cannot_be_is_one_line_before_the_sweep(tmp_path, monkeypatch, override, words):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=words) as error:
        planned(tmp_path, *re.split(" (?=variants=)", override))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "override",
    ["size=[]", "size=big", "modes=[]", "modes=[both]", "precision=half", "memory=0", "device=tpu"],
)
def test_a_value_that_no_key_takes_is_refused(override):
    with pytest.raises(ConfigError, match=f"^{override.split('=')[0]}="):
        compose("bench", [override])


def test_several_sizes_are_for_the_sweep_alone():
    with pytest.raises(ConfigError, match=r"^size="):
        compose("train", ["size=[1M,2M]"])


def test_the_device_and_its_precision_are_chosen_together(tmp_path, monkeypatch):
    assert planned(tmp_path)[0].spec["precision"] == "32-true"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100")
    on_gpu = planned(tmp_path, "device=auto", "archs=[gpt]")[0]
    assert (on_gpu.spec["device"], on_gpu.spec["precision"]) == ("cuda", "bf16-mixed")
    assert "NVIDIA H100" in on_gpu.setting
    assert planned(tmp_path, "device=cuda", "precision=32-true")[0].spec["precision"] == "32-true"
    assert device.choose_device("cpu") == "cpu"


def test_a_study_measures_its_variants_by_what_costs_something(tmp_path):
    node = {
        "name": "mine",
        "title": "Mine",
        "archs": {"wide": ["arch=gpt", "arch.dim=32", "objective=fim"], "mamba": ["arch=mamba"]},
        "seeds": [1],
        "tasks": {"recall": {"overrides": {"task": "mqar"}, "lr": 1e-3}},
        "bench": {"lengths": [16], "size": None, "vocab_size": 120},
    }
    config = lengths(compose("compare", []), spec.read(node))
    mamba, wide = (point for point in points(config, tmp_path, print) if point.mode == "tokens")
    assert (wide.label, wide.base, wide.spec["node"]["dim"]) == ("wide", "gpt", 32)
    assert (mamba.label, mamba.family) == ("mamba", Family.DECODER)
    plain = lengths(compose("compare", []), spec.read({**node, "archs": ["gpt", "mamba"]}))
    assert (list(plain.archs), plain.variants) == (["gpt", "mamba"], None)
    own = lengths(compose("compare", []), spec.read({**node, "bench": {"archs": ["wide", "gpt"]}}))
    assert (list(own.archs), own.variants) == (["wide", "gpt"], None)


@pytest.mark.parametrize("name", options_of(make_loader(), "study"))
def test_the_bench_of_every_study_composes(name):
    study = spec.read(as_dict(compose("compare", [f"study={name}"]).study, resolve=True))
    if study.bench is not None:
        assert lengths(compose("compare", []), study).lengths


def test_lengths_double_up_to_65536_unless_others_are_asked_for():
    assert list(compose("bench").lengths) == [128 * 2**n for n in range(10)]


def study_with(bench):
    node = {
        "name": "mine",
        "title": "Mine",
        "archs": ["gpt"],
        "seeds": [1],
        "tasks": {"recall": {"overrides": {"task": "mqar"}, "lr": 1e-3}},
        "bench": {"lengths": [16], "size": None, **bench},
    }
    return spec.read(node)


def test_a_study_whose_bench_cannot_be_is_refused_before_its_runs(tmp_path, monkeypatch):
    config = compose("compare", [f"results_dir={tmp_path}"])
    monkeypatch.setattr("harness.study.launch.job_overrides", list)
    study = study_with({"archs": ["gtp"]})
    monkeypatch.setattr("harness.study.spec.read", lambda *_: study)
    with pytest.raises(ConfigError, match="unknown arch 'gtp'; nearest: gpt"):
        prepared(config, Console(quiet=True))
    assert list(tmp_path.iterdir()) == []


def test_a_study_says_what_became_of_its_bench_and_whether_a_point_failed(bench):
    config = lengths(compose("compare", []), study_with({"archs": ["gpt"], "vocab_size": 120}))
    console = Console(record=True, width=200, file=io.StringIO())
    assert measured(config, bench.folder.parent, console)
    bench.answer = lambda spec: {"status": "failed", "error": "train_step: wrong"}
    config.lengths = [32]
    assert not measured(config, bench.folder.parent, console)
    assert "gpt at 32: train_step: wrong" in console.export_text()
