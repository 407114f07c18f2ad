"""What decides the result of a point, and so its file and the curve that it may stand in."""

import pytest
from bench_tools import planned

from harness.study.expand import typed


@pytest.mark.parametrize(
    ("changed", "override"),
    [
        ("harness.efficiency.points.processor", None),
        ("torch.__version__", None),
        (None, "tokens_per_batch=33"),  # as many rows as before, in other words
        (None, "precision=bf16-true"),
        ("harness.efficiency.points.source", None),
    ],
)
def test_what_must_not_share_a_picture_shares_no_file(tmp_path, monkeypatch, changed, override):
    lines = ["archs=[gpt]", "lengths=[16]", "tokens_per_batch=32"]
    [before] = planned(tmp_path, *lines)
    if changed is not None:
        other = "9.9" if "version" in changed else lambda *of: "another"
        monkeypatch.setattr(changed, other)
    [after] = planned(tmp_path, *lines, *filter(None, [override]))
    assert before.path != after.path
    assert before.batch == after.batch
    own = ("torch.__version__", "harness.efficiency.points.source")
    assert (before.setting == after.setting) == (changed in own)
    assert (before.model != after.model) == (changed in own or override == "precision=bf16-true")


def test_kernels_decide_what_a_point_is_of_those_who_have_them(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100")
    found = []
    for installed in (False, True):
        monkeypatch.setattr("archs.kernels.scan._installed", lambda package, there=installed: there)
        found.append(planned(tmp_path, "device=cuda", "lengths=[16]"))
    (gpt, mamba), (same, other) = found
    assert (gpt.path, gpt.model) == (same.path, same.model)
    assert mamba.path != other.path
    assert mamba.model != other.model


@pytest.mark.parametrize("module", ["loss", "savers", "efficiency.subject", "efficiency.timing"])
def test_the_code_that_measures_decides_what_a_point_is(tmp_path, monkeypatch, module):
    [before] = planned(tmp_path, "archs=[gpt]", "lengths=[16]")
    other = tmp_path / "other.py"
    other.write_text("# other code")
    monkeypatch.setattr(f"harness.{module}.__file__", str(other))
    [after] = planned(tmp_path, "archs=[gpt]", "lengths=[16]")
    assert before.model != after.model
    assert before.path != after.path


def test_so_do_versions_of_what_kernels_need_for_those_who_have_them(tmp_path, monkeypatch):
    gpt, mamba = planned(tmp_path, "lengths=[16]")
    monkeypatch.setattr("harness.efficiency.points.version_of", lambda package: f"{package} 9.9")
    same, other = planned(tmp_path, "lengths=[16]")
    assert (gpt.model, gpt.path) == (same.model, same.path)
    assert mamba.model != other.model
    assert mamba.path != other.path


def test_what_has_a_curve_in_common_is_one_model(tmp_path):
    lines = ["archs=[gpt,t5,mamba]", "lengths=[16,4096]", "modes=[tokens,single]"]
    models = {}
    for point in planned(tmp_path, *lines):
        models.setdefault(point.label, set()).add(point.model)
    assert [len(own) for own in models.values()] == [1, 1, 1]
    assert len(set.union(*models.values())) == 3
    saving = typed({"gpt-saving": ["arch=gpt", "trainer.activation_checkpointing=true"]})
    wide = typed({"gpt-wide": ["arch=gpt", "arch.dim=256"]})
    for variant in (saving, wide):
        [point] = planned(tmp_path, "archs=[]", f"variants={variant}", "lengths=[16]")
        assert point.model not in models["gpt"]
