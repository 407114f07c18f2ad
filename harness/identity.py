"""What a run is: a hash of everything that makes a difference to its result, and of nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .counts import format_count, is_count, parse_count

VERSION = 1  # of this scheme; changing what is hashed, or how, is a new version
DIGITS = 12  # of the sha256, as shown in folder names

# Every key of conf/train.yaml declares whether it makes a difference. Groups do so key by key: True for
# all of a group, or the names of those of its keys that do.
MATTERS: dict[str, bool | tuple[str, ...]] = {
    "arch": True,
    "task": True,
    "corpus": True,
    "tokenizer": True,
    "objective": True,
    "budget": True,
    "optim": True,
    "trainer": ("devices", "num_nodes", "precision", "accumulate_grad_batches"),
    "logger": False,
    "size": True,
    "seed": True,
    "batch_size": True,
    "evaluations": True,  # checkpoint=best chooses among them
    "checkpoint": True,
    "init_from": False,  # a path; the identity of the run it names is passed in `extras`
    "results_dir": False,
    "study_name": False,
    "cache_dir": False,
    "progress": False,
    "choices": False,  # names of what the other keys say in full
}
# Inside groups: where something lies is not what it is (its digest is in `extras`), and `sizing` has
# become the solved widths.
NEVER = {"arch.sizing", "corpus.files"}

# A key equal to its default here is left out. A key that is added later stands here (or defaults to null,
# which is left out as well), so that the identities of older runs stay what they were.
DEFAULTS: dict[str, Any] = {
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.precision": "32-true",
    "trainer.accumulate_grad_batches": 1,
    "checkpoint": "last",
    "evaluations": 10,
}


def identity(config: Mapping[str, Any], extras: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that two runs share if and only if they would give the same result.

    config: the resolved configuration of archs-train, as plain values. extras: what it does not say:
    solved widths, digests of corpus, tokenizer and windows, sources(config), the identity behind init_from.
    """
    told = {key: value for key, value in relevant(config) if value != DEFAULTS.get(key)}
    content = {"version": VERSION, "config": told, "extras": canonical(extras)}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def relevant(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted key, canonical value) of what makes a difference; nulls are left out."""
    for key, value in config.items():
        matters = MATTERS[key]
        if isinstance(matters, tuple):
            value = {name: value[name] for name in matters if name in value}
        if matters:
            yield from _leaves(value, key)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if path in NEVER or value is None:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    else:
        yield path, canonical(value)


def canonical(value: Any) -> Any:
    """One form for values that mean the same: 2M is 2000000, 1.0 is 1, tuples are lists."""
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and is_count(value):
        return parse_count(value)
    return value


def run_name(config: Mapping[str, Any]) -> str:
    """A short readable name, e.g. "gpt-language-1M-s1"; only its identity tells a run from all others."""
    choices = config["choices"]
    size = "asis" if config["size"] is None else format_count(parse_count(config["size"]))
    name = f"{choices['arch']}-{choices['task']}-{size}-s{config['seed']}"
    return re.sub(r"[^\w.+=-]+", "_", name)[:100]


def sources(config: Mapping[str, Any]) -> dict[str, str]:
    """sha256 by module name of plugin code: of every `_target_` that is neither ours nor a dependency's.

    A plugin that is a package counts with all its Python files, since they may import one another.
    """
    names = {str(node["_target_"]).split(".")[0] for node in _nodes(config) if node.get("_target_")}
    digests = {}
    for name in sorted(names - {"archs", "tasks", "harness", "lightning", "torch"}):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ValueError(f"_target_ names the module {name!r}, which cannot be imported")
        origin = Path(spec.origin)
        files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        sha = hashlib.sha256()
        for file in files:
            sha.update(file.relative_to(origin.parent).as_posix().encode() + b"\0" + file.read_bytes())
        digests[name] = sha.hexdigest()
    return digests


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)
