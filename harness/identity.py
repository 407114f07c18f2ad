"""What a run is: a hash of everything that makes a difference to its result, and of nothing else."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .counts import format_count, is_count, parse_count
from .foreign import is_foreign, targets_of

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
    # Threads, and what saves memory (activation_checkpointing, chunked_loss), change rounding at most.
    "trainer": ("devices", "num_nodes", "precision", "accumulate_grad_batches"),
    "logger": False,
    "size": True,
    "match": True,
    "seed": True,
    "batch_size": True,
    "evaluations": True,  # checkpoint=best chooses among them
    "checkpoint": True,
    "init_from": False,  # a path; the identity of what it names is passed in `extras`
    "freeze": True,
    "label": False,
    "results_dir": False,
    "study_name": False,
    "cache_dir": False,
    "progress": False,
    "choices": False,  # names of what the other keys say in full
}
# Inside groups: where something lies is not what it is (its digest is in `extras`), and `sizing` has
# become the solved widths.
NEVER = {"arch.sizing", "corpus.files", "task.nearest"}
NEVER |= {"task.files", "task.validation_files", "task.test_files"}

# A key equal to its default here is left out. A key that is added later stands here (or defaults to null,
# which is left out as well), so that the identities of older runs stay what they were.
DEFAULTS: dict[str, Any] = {
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.precision": "32-true",
    "trainer.accumulate_grad_batches": 1,
    "match.kind": "params",
    "task.beyond": [],
    "task.segments": 1,
    "task.beyond_windows": 64,
    "task.curriculum": False,
    "checkpoint": "last",
    "evaluations": 10,
    "arch.head.fixed_bias": False,
    "arch.head.transform.bias": True,
    "arch.position.fraction": 1,
}


def identity(config: Mapping[str, Any], extras: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that two runs share if and only if they would give the same result.

    config: the resolved configuration of archs-train, as plain values. extras: what it does not say:
    solved widths, digests of corpus, tokenizer and windows, sources(config), the identity behind init_from.
    """
    content = {"version": VERSION, "config": told(config), "extras": canonical(extras)}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def told(config: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a difference, by dotted key, defaults left out."""
    return {key: value for key, value in relevant(config) if value != DEFAULTS.get(key)}


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
    """A short readable name, e.g. "gpt-language-1M-s1"; only its identity tells a run from all others.

    It holds nothing that Hydra would have to have quoted, so that `run=PATH` can be pasted.
    """
    choices = config["choices"]
    size = "asis" if config["size"] is None else format_count(parse_count(config["size"]))
    name = f"{choices['arch']}-{choices['task']}-{size}-s{config['seed']}"
    return re.sub(r"[^\w.+-]+", "_", name)[:100]


def sources(config: Mapping[str, Any]) -> dict[str, str]:
    """sha256 by module name of plugin code: of every `_target_` that is neither ours nor a dependency's.

    A plugin that is a package counts with all its Python files, since they may import one another; one that
    is a module, with those beside it that it imports.
    """
    names = {target.split(".")[0] for target in targets_of(config) if is_foreign(target)}
    return {name: source(name) for name in sorted(names)}


def source(name: str) -> str:
    """sha256 of the Python files that make up a top-level module. Raises ValueError where there is none."""
    root, files = _module_files(name)
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return sha.hexdigest()


def _module_files(name: str) -> tuple[Path, list[Path]]:
    """(folder, the Python files below it that make up a top-level module), none of them imported."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ValueError(f"_target_ names the module {name!r}, which cannot be imported")
    if spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        return root, sorted(root.rglob("*.py"))
    file = Path(str(spec.origin))
    return file.parent, sorted(_with_siblings(file, set()))


def _with_siblings(file: Path, seen: set[Path]) -> set[Path]:
    """A module and what it imports from its own folder, and so on."""
    seen.add(file)
    for node in ast.walk(ast.parse(file.read_bytes())) if file.suffix == ".py" else ():
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for name in filter(is_foreign, names):
            beside = file.with_name(name.split(".")[0])
            if beside.is_dir():
                seen.update(beside.rglob("*.py"))
            elif (module := beside.with_suffix(".py")).is_file() and module not in seen:
                _with_siblings(module, seen)
    return seen
