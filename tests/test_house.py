"""The house: who may import whom, what is shipped, and that nothing is left behind."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {"archs": {"archs"}, "tasks": {"tasks", "archs"}, "harness": {"harness", "tasks", "archs"}}
FOREIGN = {"archs": {"lightning", "hydra", "omegaconf"}, "tasks": {"lightning", "hydra", "omegaconf"}}


def imported(path):
    """Top-level names of everything a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_point_one_way(room):
    forbidden = (set(ALLOWED) - ALLOWED[room]) | FOREIGN.get(room, set())
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / room).rglob("*.py")
        for name in imported(path)
        if name in forbidden
    }
    assert not wrong


def test_the_library_of_models_loads_without_the_harness():
    foreign = ("lightning", "hydra", "omegaconf", "datasets")
    code = f"import sys, archs; print([m for m in {foreign} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "[]"


def test_only_our_packages_land_at_the_top_of_site_packages():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tops = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert tops == {"archs", "tasks", "harness"}
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for room in ALLOWED
        for path in (ROOT / room).rglob("*.py")
    }
    assert found <= set(project["tool"]["setuptools"]["packages"])


@pytest.mark.slow
def test_the_wheel_holds_every_configuration_and_template(tmp_path):
    import zipfile

    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path), str(ROOT)],
        check=True,
    )
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"harness/conf/{path.relative_to(ROOT / 'conf')}" in names
    for path in (ROOT / "harness").iterdir():
        if path.suffix in (".jinja", ".css", ".js"):
            assert f"harness/{path.name}" in names


def test_published_reports_name_no_folder_of_a_machine():
    reports = [path for path in (ROOT / "results" / "reference").rglob("*.*") if path.is_file()]
    place = re.compile(r"(?<![\w.:/])/(tmp|home|root|work|mnt|Users|var)/")
    assert reports
    assert not [str(path.relative_to(ROOT)) for path in reports if place.search(path.read_text())]


def test_every_configuration_file_says_what_it_is():
    silent = [path for path in (ROOT / "conf").rglob("*.yaml") if not path.read_text().startswith("# ")]
    assert not silent
