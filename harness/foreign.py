"""Code that is not ours: imported, held against the contract, its failures told in one line with their place.

What a plugin does wrong is its author's to read: a line with file and reason, not a traceback through us.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from .errors import ConfigError, nearest, one_line

OURS = ("archs", "tasks", "harness")
KNOWN = {*OURS, "lightning", "torch"}  # top-level modules that are no plugins
BACKBONE = ("forward", "head", "flops", "state_bytes")
AUTOREGRESSIVE = ("start", "step")
MIXER = ("forward", "init_state", "flops", "state_bytes", "reset_parameters")  # and channel mixers


def is_foreign(target: str) -> bool:
    return target.split(".")[0] not in KNOWN


def why(error: BaseException, target: str = "") -> str:
    """ "net.py:3: ZeroDivisionError: division by zero": the place is the deepest in `target`'s own files."""
    if isinstance(error, ImportError) and error.__cause__ is not None:  # Hydra's, around the plugin's own
        error = error.__cause__
    said = one_line(error)
    name = type(error).__name__
    text = name if said == name else f"{name}: {said}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {name}: {error.msg}"
    place = _place(error, [_files(target.split(":")[0].split(".")[0])])
    return f"{place}: {text}" if place else text


def _place(error: BaseException, folders: Sequence[Path]) -> str:
    """ "net.py:3", the deepest in `folders` that an error came through; "" where it did not."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if any(Path(f.filename).is_relative_to(folder) for folder in folders)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _files(module: str) -> Path:
    """The folder of a top-level package, or the file of a module; where there is none, an empty place."""
    nowhere = Path("/dev/null")
    try:
        spec = find_spec(module) if module else None
    except (ImportError, ValueError):
        return nowhere
    if spec is None:
        return nowhere
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin or nowhere)


def load(target: str, path: str, file: str | None = None) -> Any:
    """What `_target_` names. Raises ConfigError naming the key, its file if known, and why not."""
    try:
        return get_object(target)
    except (Exception, SystemExit) as error:  # whatever the plugin's module raises
        where = f"{file}: " if file else ""
        raise ConfigError(
            f"{where}{path}._target_={target} cannot be imported: {why(error, target)}{_hint(target, error)}"
        ) from error


def _hint(target: str, error: BaseException) -> str:
    module, _, name = target.rpartition(".")
    try:
        known = find_spec(target.split(".")[0]) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        return f"; looked in {Path.cwd()} and among installed packages"
    cause = error.__cause__
    if isinstance(cause, AttributeError | ModuleNotFoundError):
        try:
            near = nearest(name, dir(get_object(module)))
        except Exception:  # the module cannot be imported either, and `why` has said so
            near = None
        return f"; nearest: {module}.{near}" if near else ""
    return ""


def check_class(built: Any, path: str, target: str) -> None:
    """Hold an architecture's class, or a mixer's, against the contract. Raises ConfigError."""
    if path == "arch":
        _check_backbone(built, target)
    elif path.startswith(("arch.mixer", "arch.mlp")) and inspect.isclass(built):
        _require(built, MIXER, path, target, "the contract of a mixer or MLP (see archs/s6.py)")


def _check_backbone(built: Any, target: str) -> None:
    from torch.nn import Module

    from archs.contract import Family

    if not (inspect.isclass(built) and issubclass(built, Module)):
        raise ConfigError(
            f"arch._target_={target} is no subclass of torch.nn.Module, as a backbone has to be"
        )
    families = [str(family) for family in Family]
    family = getattr(built, "family", None)
    if family not in families:
        said = "has no `family`" if family is None else f"has family={family!r}"
        raise ConfigError(f"{_named(built, 'arch', target)} {said}: set it to one of {', '.join(families)}")
    names = BACKBONE if family == Family.ENCODER else BACKBONE + AUTOREGRESSIVE
    _require(built, names, "arch", target, f"the {family}s' contract (archs/contract.py)")


def check_backbone(backbone: Any, target: str) -> None:
    """Hold a built architecture against the contract. Raises ConfigError, or what its methods raise."""
    from archs.contract import Family

    missing = [name for name in ("vocab_size", "max_len") if not hasattr(backbone, name)]
    if missing:
        raise ConfigError(f"arch._target_={target} sets no {', '.join(missing)} (see archs/contract.py)")
    source = 1 if backbone.family == Family.ENCODER_DECODER else 0
    costs = {"flops": backbone.flops(1, source, scored=1), "state_bytes": backbone.state_bytes(1, source)}
    for name, value in costs.items():
        if not isinstance(value, int):
            raise ConfigError(
                f"arch._target_={target}: {name}(1, {source}) gives {value!r}, not a whole number"
            )


def _require(built: type, names: Iterable[str], path: str, target: str, what: str) -> None:
    from torch.nn import Module

    missing = [name for name in names if getattr(built, name, None) is getattr(Module, name, None)]
    if missing:
        raise ConfigError(
            f"{_named(built, path, target)} does not meet {what}: it has no {', '.join(missing)}"
        )


def _named(built: type, path: str, target: str) -> str:
    """A class, with the file it stands in."""
    try:
        return f"{path}._target_={target} ({inspect.getsourcefile(built)})"
    except (TypeError, OSError):  # made in a running program, or compiled
        return f"{path}._target_={target}"


def guarded(make: Callable[[], Any], node: Mapping[str, Any], what: str) -> Any:
    """make(), where a plugin's code is involved with its failures as one ConfigError line."""
    targets = [target for target in targets_of(node) if is_foreign(target)]
    if not targets:
        return make()
    try:
        return make()
    except MemoryError:
        raise
    except ValueError as error:  # says what is wrong; where, if a plugin's code said it and not ours
        theirs, ours = [_files(target.split(".")[0]) for target in targets], [_files(name) for name in OURS]
        place = _place(error, theirs)
        if not place or place != _place(error, [*theirs, *ours]):
            raise
        raise ConfigError(f"{one_line(error)} ({place})") from error
    except (Exception, SystemExit) as error:  # whatever the plugin's code raises
        if "allocate memory" in str(error) or type(error).__name__ == "OutOfMemoryError":
            raise
        reasons = [why(error, target) for target in targets]
        reason = max(reasons, key=lambda text: text.count(":"))  # one that knows the place
        raise ConfigError(f"{what} ({', '.join(dict.fromkeys(targets))}): {reason}") from error


def targets_of(content: Any) -> list[str]:
    """Every `_target_` in a configuration, in order."""
    if isinstance(content, Mapping):
        own = [str(content["_target_"])] if content.get("_target_") else []
        return own + [target for value in content.values() for target in targets_of(value)]
    if isinstance(content, list):
        return [target for value in content for target in targets_of(value)]
    return []
