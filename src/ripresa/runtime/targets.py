"""From the text that names a workflow's code to the code, and back: `file.py:name`, `package.module:name`, a file.

`FOLDER/package.module:name` is what runs record of a module that the command line found in its working directory; where
there is no such folder, as on another machine, the module is looked for as if none were named.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import sysconfig
from difflib import get_close_matches
from functools import cache, lru_cache
from inspect import isroutine
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ..authoring.flow import Runnable
from ..authoring.function import Workflow
from ..authoring.migration import Migration
from ..authoring.single import Single, runnable_of
from ..authoring.step import Step
from ..core.retry import FILE_MODULE
from ..errors import RipresaError
from ..executors.targets import file_name
from ..foreign import family_of, is_agent_like

_OURS = f"{__name__.partition('.')[0]}."
_log = logging.getLogger("ripresa")
_FOLDER = "__ripresa_folder__"
"""Under which the package of a target says in which folder it stands."""

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def load_target(target: str) -> Runnable[..., Any]:
    """Import what a target names.

    Raises `RipresaError(unknown_target)` if the file, module or name is not there; what the code itself raises while
    it is imported comes through as it is.
    """
    return _loaded(target)[0]


def load_version(target: str, version: str) -> Runnable[..., Any]:
    """The same; if that is of another version, the one of this version and name that stands beside it, if any."""
    found, module = _loaded(target)
    if found.version == version:
        return found
    return next((other for other in _beside(found, module) if other.version == version), found)


def versions_beside(target: str) -> list[Runnable[..., Any]]:
    """What a target names, and what stands beside it under the same name, in other versions."""
    found, module = _loaded(target)
    return list({each.version: each for each in (*_beside(found, module), found)}.values())


def _beside(found: Runnable[..., Any], module: ModuleType | None) -> list[Runnable[..., Any]]:
    """What stands in a module under the same name."""
    named = () if module is None else vars(module).values()
    return [value for value in named if isinstance(value, Runnable) and value.name == found.name]


def migrations_beside(target: str) -> list[Migration]:
    """The migrations that stand in the module of a target."""
    module = _loaded(target)[1]
    return [] if module is None else [value for value in vars(module).values() if isinstance(value, Migration)]


def find_object(target: str) -> tuple[Any, ModuleType, str, str]:
    """Whatever stands under a target (None: nothing does), its module, and the two parts of the target.

    Raises `RipresaError(unknown_target)` if there is no such file or module.
    """
    place, separator, name = target.rpartition(":")
    if not separator or not place or not name:
        hint = "write file.py:name, package.module:name or a .yaml or .json file"
        if target.endswith(".py") and Path(target).is_file():
            hint = f"say which of its workflows: {target}:NAME"
        raise _unknown(target, "it names no object", hint)
    module = _file(place, target) if place.endswith(".py") else _module(place, target)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found, module, place, name


def _loaded(target: str) -> tuple[Runnable[..., Any], ModuleType | None]:
    from .documents import is_document, load_target_document

    if is_document(target):
        return load_target_document(target), None
    found, module, place, name = find_object(target)
    if isinstance(found, Step | Runnable):
        return runnable_of(cast("Runnable[..., Any]", found)), module
    if found is None:
        raise _unknown(target, f"{place} has no {name!r}", _candidates(module, name))
    made = "put @step above it, or " if isroutine(found) else ""
    if family_of(found) is not None or is_agent_like(found):
        made = f"make a flow of it, as in flow = chain({name}), and name that; "
    hint = f"{made}{_candidates(module, name)}"
    raise _unknown(target, f"{name!r} is a {type(found).__name__}, which cannot be run", hint)


def find_target(target: str) -> Runnable[..., Any] | None:
    """What a target names; None, and a line in the log, if that cannot be imported here."""
    try:
        return load_target(target)
    except Exception:  # the border: whatever the user's module raises while it is imported
        _log.warning("the code of a run cannot be imported", exc_info=True, extra={"target": target})
        return None


def _file(place: str, target: str) -> ModuleType:
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise _unknown(target, f"there is no file {place}", f"{near_file(path)}looked in {path.parent}")
    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) and Path(str(main.__file__)).resolve() == path:
        return main
    name = file_name(str(path))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, SyntaxError | ImportError):
            error.add_note(
                f"while {place} was imported to find {target!r}; what a script does belongs below "
                'if __name__ == "__main__":'
            )
        raise
    return module


def _module(place: str, target: str) -> ModuleType:
    name, folder = Path(place).name, Path(place).expanduser().parent.resolve()
    known = folder.is_dir()
    where = str(folder) if known else os.getcwd()
    if where not in sys.path:
        sys.path.insert(0, where)
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise _unknown(target, f"there is no module {name}", f"looked in {where} and sys.path") from None
        raise
    if known and place != name:
        _remember(found, folder)
    return found


def remember_folder(target: str) -> None:
    """Let runs record the working directory with a target of `package.module:name` that stands there.

    Another process, in another directory, finds it then.
    """
    place = target.rpartition(":")[0]
    module = sys.modules.get(place)
    if module is not None:
        _remember(module, Path.cwd())


def _remember(module: ModuleType, folder: Path) -> None:
    """Note with the package of a module, unless it is installed, that it stands in this folder."""
    top = module.__name__.partition(".")[0]
    within = (folder / f"{top}.py", folder / top)
    file = Path(str(getattr(module, "__file__", None))).resolve()
    if is_own(module.__name__) and any(each == file or each in file.parents for each in within):
        vars(sys.modules[top])[_FOLDER] = folder.as_posix()


def _with_folder(place: str) -> str:
    """A target with the folder that was noted for it."""
    top = sys.modules.get(place.partition(":")[0].partition(".")[0])
    folder = None if top is None else vars(top).get(_FOLDER)
    return f"{folder.rstrip('/')}/{place}" if folder else place


def _candidates(module: ModuleType, wanted: str) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, Runnable)]
    near = get_close_matches(wanted, names, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"it has {', '.join(names)}" if names else "it defines no chain, graph or workflow"


def near_file(path: Path) -> str:
    """The file that may have been meant instead of one that is not there."""
    folder = path.parent
    names = [each.name for each in folder.glob(f"*{path.suffix}")] if folder.is_dir() else []
    near = get_close_matches(path.name, names, 1)
    return f"did you mean {near[0]}? " if near else ""


def _unknown(target: str, why: str, hint: str) -> RipresaError:
    return RipresaError(f"{target!r} names no workflow: {why}", code="unknown_target", op="load", hint=hint)


def target_of(runnable: Runnable[..., Any]) -> str:
    """The target that finds a runnable again from another process; empty if it stands nowhere by name."""
    value: Any = runnable.step if isinstance(runnable, Single) else runnable.stands_for or runnable
    if isinstance(value, Workflow | Step):
        fn: Any = value.fn  # pyright: ignore[reportUnknownMemberType]
        found = place_of(fn.__module__, fn.__qualname__, value)  # pyright: ignore[reportUnknownArgumentType]
        if found or not fn.__module__.startswith(_OURS):  # those that are made here stand where they are named
            return _with_folder(found)
    known: str | None = value.__dict__.get("_target")
    if known is None:
        known = value.__dict__["_target"] = _search(value)  # pyright: ignore[reportUnknownArgumentType]
    return _with_folder(known)


def _search(runnable: object) -> str:
    """Look for a name that stands for it in the modules of the user's own code."""
    for module_name in own_modules(len(sys.modules)):
        for name, value in list(vars(sys.modules[module_name]).items()):
            if value is runnable:
                return place_of(module_name, name, runnable)
    return ""


@lru_cache(maxsize=1)
def own_modules(loaded: int) -> list[str]:
    """The modules of the user's own code, looked for again when `loaded`, the number of all, has changed."""
    return [name for name in sys.modules if is_own(name)]


@cache
def is_own(module_name: str) -> bool:
    """Whether a module, by its name, is neither of the standard library nor installed nor of this package."""
    if module_name.partition(".")[0] == __name__.partition(".")[0]:
        return False
    file = getattr(sys.modules.get(module_name), "__file__", None)
    return file is not None and not file.startswith(_INSTALLED) and not file.startswith("<")


def place_of(module_name: str, name: str, value: object) -> str:
    """The target under which something stands in a module; empty if something else does."""
    module = sys.modules.get(module_name)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if module is None or found is not value:
        return ""
    file = getattr(module, "__file__", None)
    if module_name == "__main__" or module_name.startswith(FILE_MODULE):
        return f"{Path(file).resolve()}:{name}" if file else ""
    return f"{module_name}:{name}"
