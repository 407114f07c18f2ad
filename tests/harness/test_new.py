"""archs-new: what it writes is clean, what it refuses is one line (test_installed.py uses what it writes)."""

import subprocess
import sys

import pytest

from harness.new import FAMILIES, write
from harness.new import main as archs_new


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["own", "a-very-long-name-of-something-brand-new"])
def test_a_skeleton_is_clean(family, name, folder):
    written = write(name, family, folder)
    for command in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", str(written)], check=True)
    assert len(list(written.rglob("*.py"))) == 2  # the architecture and its test
    assert len(list(written.rglob("*.yaml"))) == 1


def test_archs_new_says_what_to_do_next(folder, capsys):
    archs_new(["my-net", "--family", "encoder"])
    said = capsys.readouterr().out
    assert "archs-train arch=my_net size=200k" in said
    before = {path: path.read_bytes() for path in (folder / "my-net").rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as status:
        archs_new(["my-net", "--family", "decoder"])
    assert status.value.code == 2
    assert "my-net exists already" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in (folder / "my-net").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "required: NAME, --family; usage: archs-new NAME --family FAMILY"),
        (
            "net --family decodr",
            "--family decodr: choose from decoder, encoder, encoder-decoder, mixer; nearest: decoder",
        ),
        ("net --famly decoder", "usage: archs-new NAME"),
        ("Net --family decoder", "'Net' is no name for a package"),
        ("../net --family decoder", "'../net' is no name for a package"),
        ("class --family decoder", "'class' already means something in Python"),
        ("layer --family decoder", "'layer' already means something"),
        ("f --family encoder", "'f' already means something"),
        ("null --family mixer", "'null' already means something in Python, in YAML"),
        ("gpt --family decoder", "'gpt' is taken: arch=gpt is built in"),
        ("s6 --family mixer", "'s6' is taken: arch/mixer=s6 is built in"),
        ("torch --family mixer", "'torch' is taken: there is a module torch"),
        ("archs --family mixer", "'archs' is taken: there is a module archs"),
        ("net --family mixer --into a.txt", "a.txt"),
    ],
)
def test_archs_new_refuses_in_one_line(arguments, message, folder, capsys):
    (folder / "a.txt").write_text("a file")
    with pytest.raises(SystemExit) as status:
        archs_new(arguments.split())
    assert status.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["a.txt"]


def test_archs_new_explains_itself(capsys):
    with pytest.raises(SystemExit) as status:
        archs_new(["--help"])
    assert status.value.code == 0
    assert "archs-new gated-memory --family mixer" in capsys.readouterr().out
