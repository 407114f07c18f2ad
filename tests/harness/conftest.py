"""A user's own folder, and packages as an installer leaves them."""

import sys

import pytest
from sample_plugins import tree

from harness import errors, plugins


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's working directory; what is imported from it, or noted about it, is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    plugins.load_code.cache_clear()
    errors.note.cache_clear()


@pytest.fixture
def install(folder):
    """install("some-net", files, conf="some_net.conf") leaves what an installer would, on the path."""
    site = folder / "site"
    sys.path.insert(0, str(site))

    def installed(name, files, conf=None, code=None):
        entries = ""
        for group, value in (("archs.conf", conf), ("archs.plugins", code)):
            entries += f"[{group}]\n{name.replace('-', '_')} = {value}\n" if value else ""
        info = {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n",
            "entry_points.txt": entries,
        }
        tree(site / f"{name.replace('-', '_')}-0.1.dist-info", info)
        tree(site, files)
        plugins.load_code.cache_clear()
        errors.note.cache_clear()
        return site

    return installed
