"""A plugin that is broken is named with its file and the reason, and takes nothing else down."""

from pathlib import Path

import pytest
from rich.markup import escape
from sample_plugins import BAG, BAG_YAML, LEAKY, LEAKY_YAML

from harness import building
from harness.compose import compose
from harness.errors import ConfigError
from harness.listing import measured
from harness.listing import run as archs_list

ROOT = Path(__file__).parents[2]


def module(*lines):
    return {"broken.py": "\n".join(lines) + "\n"}


def of(target):
    return {"c/arch/b.yaml": f"# B.\n_target_: {target}\ndim: 8\n"}


NET = "class Net(torch.nn.Module):"
LONE_BAG = BAG.replace("import bag_scale\n", "SCALE = 1.0\n").replace("bag_scale.", "")
BROKEN = {
    "raises": (
        module("x = 1", "raise RuntimeError('no\\nway')") | of("broken.Net"),
        "{site}/c/arch/b.yaml: arch._target_=broken.Net cannot be imported: "
        "{site}/broken.py:2: RuntimeError: no way",
    ),
    "exits": (
        module("import sys", "sys.exit(3)") | of("broken.Net"),
        "arch._target_=broken.Net cannot be imported: {site}/broken.py:2: SystemExit: 3",
    ),
    "does not parse": (
        module("def f(:") | of("broken.Net"),
        "arch._target_=broken.Net cannot be imported: {site}/broken.py:1: SyntaxError: ",
    ),
    "is not there": (
        of("nobody.Net"),
        "arch._target_=nobody.Net cannot be imported: "
        "ModuleNotFoundError: No module named 'nobody'; looked in ",
    ),
    "has another name": (module("class Nett: pass") | of("broken.Net"), "; nearest: broken.Nett"),
    "is no YAML": (
        {"c/arch/b.yaml": "# B.\n_target_: x.Net\ndim: [1\n"},
        "{site}/c/arch/b.yaml:4: not valid",
    ),
    "names no class": (
        {"c/arch/b.yaml": "# B.\ndim: 8\n"},
        "arch=b names no class to build: write _target_: ",
    ),
    "names a number": (of(5), "arch=b names no class to build: write _target_: "),
    "is made of itself": (
        {"c/arch/b.yaml": "# B.\ndefaults: [b]\n"},
        "a defaults list leads back to its own file",
    ),
    "is no module": (
        module("def Net(vocab_size): ...") | of("broken.Net"),
        "arch._target_=broken.Net is no subclass of torch.nn.Module",
    ),
    "has no family": (
        module("import torch", NET, "    pass") | of("broken.Net"),
        "arch._target_=broken.Net ({site}/broken.py) has no `family`: set it to one of encoder, decoder, ",
    ),
    "has another family": (
        module("import torch", NET, "    family = 'sideways'") | of("broken.Net"),
        "({site}/broken.py) has family='sideways': set it to one of encoder, decoder, encoder-decoder",
    ),
    "lacks methods": (
        module("import torch", NET, "    family = 'decoder'", "    def head(self, hidden): ...")
        | of("broken.Net"),
        "does not meet the decoders' contract (archs/contract.py): "
        "it has no forward, flops, state_bytes, start, step",
    ),
    "cannot be built": (
        module(LONE_BAG.replace("range(depth)", "None")) | of("broken.Bag"),
        "the architecture cannot be built (broken.Bag): {site}/broken.py:18: TypeError: 'NoneType' object",
    ),
    "exits while it is built": (
        module(LONE_BAG.replace("super().__init__()", "raise SystemExit(3)")) | of("broken.Bag"),
        "the architecture cannot be built (broken.Bag): {site}/broken.py:15: SystemExit: 3",
    ),
    "unpacks too much": (
        module(LONE_BAG.replace("super().__init__()", "a, b = range(3)")) | of("broken.Bag"),
        "too many values to unpack (expected 2) ({site}/broken.py:15)",
    ),
    "counts nothing": (
        module(LONE_BAG.replace("return 0", "return None")) | of("broken.Bag"),
        "arch._target_=broken.Bag: state_bytes(1, 0) gives None, not a whole number",
    ),
}


@pytest.fixture(scope="module")
def asis():
    return compose("list", ["size=null", "length=64"])


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_architecture_is_one_line_where_it_is_used_and_in_the_list(how, install, asis):
    files, reason = BROKEN[how]
    site = install("broken-net", files, conf="c")
    with pytest.raises(ConfigError) as error:
        building.build("b", vocab_size=300)
    assert reason.format(site=site) in str(error.value)
    assert "\n" not in str(error.value)
    assert measured("b", asis) == (escape(str(error.value)),)


def test_what_fails_when_it_is_counted_is_a_row_of_the_list(install, asis):
    idle = LONE_BAG.replace("max_len = None", "max_len = None\n    idle_parameters = 'many'")
    site = install("idle", module(idle) | of("broken.Bag"), conf="c")
    (said,) = measured("b", asis)
    assert said.startswith("the architecture cannot be counted (broken.Bag): TypeError: ")
    (site / "c/arch/b.yaml").write_bytes(b"\xff\xfe")
    (said,) = measured("b", asis)
    assert "no text: 'utf-8' codec" in said


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("a: 3\n", "arch/mixer=odd names no class to build"),
        ("_target_: archs.S6\n", "arch/mixer=odd is a part, built once per layer: write _partial_: true"),
    ],
)
def test_a_part_that_cannot_be_one_is_refused(yaml, message, install):
    install("odd", {"c/arch/mixer/odd.yaml": yaml}, conf="c")
    with pytest.raises(ConfigError, match=message):
        compose("train", ["arch=gpt", "arch/mixer=odd", "arch/position=none"])


def test_broken_packages_are_listed_and_nothing_else_is_worse_off(install, asis, capsys, monkeypatch):
    site = install("broken-net", BROKEN["raises"][0], conf="c")
    weak = LEAKY.replace("def flops", "def cost")
    install("leaky-mixer", {"leaky.py": weak, "d/arch/mixer/leaky.yaml": LEAKY_YAML}, conf="d")
    install("shadow", {"e/arch/gpt.yaml": "# Mine.\ndefaults: [mamba]\n"}, conf="e")
    install("lost", {}, conf="lost.conf", code="lost.early")
    install("late", {"late.py": "1 / 0\n"}, code="late")
    good = {"bag.py": BAG, "bag_scale.py": "SCALE = 1.0\n", "bag_conf/arch/bag.yaml": BAG_YAML}
    install("bag-of-words", good, conf="bag_conf")
    monkeypatch.setenv("COLUMNS", "400")
    assert archs_list(asis) == 0
    out, err = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines()]

    def row(start):
        return next(line for line in lines if line.startswith(start))

    for name, family in {"gpt": "decoder", "bert": "encoder", "bag": "encoder"}.items():
        said, size = row(f"{name} ").split()[1:3]
        assert (said, int(size.replace(",", "")) > 0) == (family, True)
    assert f"bag A bag of words [bag-of-words 0.1 ({site}/bag_conf)]" in lines
    assert "bag-of-words 0.1 arch=bag" in lines
    assert "RuntimeError: no way" in row("arch b B [broken-net 0.1")
    assert "does not meet the contract of a mixer or MLP (see archs/s6.py): it has no flops" in row(
        "leaky A mixer that does not mix"
    )
    taken = f"arch=gpt; broken: {site}/e/arch/gpt.yaml has the name of {ROOT}/conf/arch/gpt.yaml"
    assert f"shadow 0.1 {taken}" in lines
    assert 'lost 0.1 archs.conf: lost = "lost.conf" names no folder of an installed package' in lines
    assert "broken: archs.plugins:" in row("lost 0.1 broken")
    assert f"{site}/late.py:1: ZeroDivisionError: division by zero" in row("late 0.1 broken")
    for name in ("lost", "late"):
        assert f"plugin {name} 0.1 is left out: archs.plugins: {name}" in err
    with pytest.raises(ConfigError, match=r"it has no flops$"):
        compose("train", ["arch=gpt", "arch/mixer=leaky"])
