"""From a function to the text by which a child process finds it, and back: `module:name` or `/path/file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

from ..authoring.step import Step
from ..core.retry import FILE_MODULE
from ..errors import InvalidConfig, RipresaError

_HINT = "a step that runs in a process must be a def at the top level of a module or in a class of one"


def target_of(fn: Callable[..., Any]) -> str:
    """The target of a step or a plain function.

    A file where its module cannot be imported by name, as `__main__` and files that were loaded by their path. Raises
    `InvalidConfig` for what cannot be found by name at all: lambdas, functions inside functions, bound methods.
    """
    function = _plain(fn)
    name: str = getattr(function, "__qualname__", "")
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if not name or module is None or _plain(_lookup(module, name)) is not function:
        raise InvalidConfig(
            f"{name or repr(function)} cannot be found by its name", op="process", where=_where(fn), hint=_HINT
        )
    return f"{_place(module, fn)}:{name}"


def find(target: str) -> Callable[..., Any]:
    """The plain function behind a target. Raises `RipresaError(unknown_target)`."""
    place, _, name = target.rpartition(":")
    try:
        module = _load(place) if os.path.isabs(place) else importlib.import_module(place)
    except (ImportError, OSError) as error:
        raise _unknown(target, f"{place} cannot be imported: {error}") from error
    found: Any = _plain(_lookup(module, name))
    if not callable(found):
        raise _unknown(target, f"{place} has no function {name!r}")
    function: Callable[..., Any] = found
    return function


def _lookup(module: ModuleType, name: str) -> object:
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _plain(found: Any) -> Any:
    return found.fn if isinstance(found, Step) else found


def _place(module: ModuleType, fn: Callable[..., Any]) -> str:
    spec = module.__spec__
    name = spec.name if spec is not None and module.__name__ == "__main__" else module.__name__
    if name != "__main__" and _is_importable(name, module):
        return name
    file = _file(module)
    if not os.path.isfile(file):
        raise InvalidConfig(
            f"{module.__name__} is no file that a process could load", op="process", where=_where(fn), hint=_HINT
        )
    return file


def _file(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return os.path.abspath(file) if file else ""


def _is_importable(name: str, module: ModuleType) -> bool:
    """Whether importing the name anew would give this module (`importlib.util.find_spec` asks what is loaded)."""
    parent = name.rpartition(".")[0]
    path = getattr(sys.modules.get(parent), "__path__", None)
    if parent and path is None:
        return False
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return module.__spec__ is not None and module.__spec__.origin == spec.origin
    return False


def _where(fn: Any) -> str:
    return fn.name if isinstance(fn, Step) else ""


def _unknown(target: str, why: str) -> RipresaError:
    return RipresaError(f"{target!r} names no function: {why}", code="unknown_target", op="process")


def file_name(path: str) -> str:
    """The name of the module that is loaded from a file by its absolute path."""
    return f"{FILE_MODULE}{sha256(path.encode()).hexdigest()[:12]}__"


def _load(path: str) -> ModuleType:
    """The module of a file, run once under a name of its own, so that what is for `__main__` alone does not run."""
    name = file_name(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceFileLoader(name, path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
