"""Exceptions become data here, and data exceptions: the same ones live and in replay."""

from __future__ import annotations

import re
import sys
import traceback
from functools import lru_cache
from typing import Any, cast

from ..core.events import Failure
from ..core.retry import FILE_MODULE, module_key, type_key
from ..errors import CODES, RipresaError, StepError, StepFailed, StepTimeout, is_retryable

_PACKAGE = __file__.rpartition("authoring")[0]
_FILE_MODULE = re.compile(rf"{FILE_MODULE}\w+?__\.")
_LINE = re.compile(r'^  File "(.+)", line (\d+)', re.MULTILINE)
_LIBRARY = traceback.__file__.rpartition("traceback")[0]
_MESSAGE = 4000
_TRACEBACK = 16_000
_CAUSES = 8


def failure_of(error: BaseException, path: str = "", attempt: int = 0, depth: int = 0) -> Failure:
    """An exception as data, with its causes (at most `_CAUSES`). Its traceback shows the user's own frames only."""
    recorded = getattr(error, "failure", None)
    if isinstance(recorded, Failure):
        return recorded
    inside: tuple[BaseException, ...] = getattr(error, "exceptions", ()) if _is_group(error) else ()
    if len(inside) == 1:
        return failure_of(inside[0], path, attempt)
    code = error.code if isinstance(error, RipresaError) else "step_failed"
    types = tuple(type_key(kind) for kind in type(error).__mro__ if kind not in (object, BaseException))
    cause = error.__cause__
    return Failure(
        code,
        _message(error)[:_MESSAGE],
        types,
        is_retryable(error),
        path,
        attempt,
        user_traceback(error)[-_TRACEBACK:],
        failure_of(cause, path, attempt, depth + 1) if cause is not None and depth < _CAUSES else None,
    )


def _is_group(error: BaseException) -> bool:
    return isinstance(error, BaseExceptionGroup)


def _message(error: BaseException) -> str:
    if isinstance(error, RipresaError):
        return printable(f"{error.message} ({error.said})" if error.said else str(error.message))
    if isinstance(error, BaseExceptionGroup):
        found = cast("BaseExceptionGroup[BaseException]", error)
        members = "; ".join(f"{type(each).__name__}: {_message(each)}" for each in found.exceptions)
        return f"{printable(found.message)}: {members}"
    try:
        return printable(str(error.args[0]) if type(error) is KeyError and len(error.args) == 1 else str(error))
    except Exception as broken:  # an exception whose text raises is still a failure to record
        return f"<{type(error).__name__} whose text raised {type(broken).__name__}>"


def printable(text: str) -> str:
    """The text without what cannot be written as UTF-8 (lone surrogates)."""
    return text.encode("utf-8", "replace").decode()


def user_traceback(error: BaseException) -> str:
    """The traceback as text without the engine's own frames."""
    summary = traceback.TracebackException.from_exception(error, limit=-50, compact=True)
    _strip(summary)
    return printable(_FILE_MODULE.sub("", "".join(summary.format(chain=False))).rstrip())


def place_of(failure: Failure) -> str:
    """Where something failed: the path of the step, else the last line of the user's code in the traceback."""
    lines = [] if failure.path else _LINE.findall(failure.traceback)
    own = [line for line in lines if not line[0].startswith(_LIBRARY) and "site-packages" not in line[0]] or lines
    return failure.path or ":".join(own[-1] if own else ())


def _strip(summary: Any) -> None:
    kept = [frame for frame in summary.stack if not frame.filename.startswith(_PACKAGE)]
    summary.stack = traceback.StackSummary.from_list(kept)


def error_of(failure: Failure) -> BaseException:
    """The exception that a durable function sees for a failed call.

    Of the recorded class, with the recorded message and code and no other state; its `failure` is the whole record. A
    code that only a newer version knows is kept, and never tried again. The same in replay as live. A class that cannot
    be found by its name, as one that was defined inside a function, is stood in for by one of that name, made of the
    nearest of its bases that can be. What it was raised from is its `__cause__`.
    """
    error = _without_cause(failure)
    if failure.cause is not None:
        error.__cause__ = error_of(failure.cause)
    return error


def _without_cause(failure: Failure) -> BaseException:
    if failure.code in CODES and failure.code != "step_failed":
        return _coded(failure)
    for index, name in enumerate(failure.types):
        kind = _loaded(name)
        if kind is not None:
            return _instance(_stand_in(failure.types[0], cast("Any", kind)) if index else kind, failure)
    return _coded(failure)


def _coded(failure: Failure) -> RipresaError:
    kind = StepTimeout if failure.code == "timeout" else StepFailed
    error = kind(failure.message, where=failure.path)
    error.code = failure.code  # also one that only a newer version knows
    error.failure = failure
    return error


def _loaded(name: str) -> type[Exception] | None:
    module, _, qualname = name.rpartition(".")
    place: Any = _module(module or "builtins")
    while place is None and module:  # a class inside a class
        module, _, outer = module.rpartition(".")
        qualname = f"{outer}.{qualname}"
        place = _module(module)
    for part in qualname.split("."):
        place = getattr(place, part, None)
    return place if isinstance(place, type) and issubclass(place, Exception) else None


@lru_cache(256)
def _stand_in(name: str, base: Any) -> type[Exception]:
    """A class of this name; the base itself where making a class of it could do more than that."""
    if type(base) is not type or hasattr(base.__init_subclass__, "__func__"):
        return cast("type[Exception]", base)
    module, _, last = name.rpartition(".")
    return cast("type[Exception]", type(last, (base,), {"__module__": module, "__qualname__": last}))


def _module(key: str) -> Any:
    """The module that `module_key` names."""
    for name, module in list(sys.modules.items()):
        if (name == "__main__" or name.startswith(FILE_MODULE)) and module_key(name) == key:
            return module
    return sys.modules.get(key)


def _instance(kind: type[Exception], failure: Failure) -> Exception:
    try:
        error = kind.__new__(kind, failure.message)
    except TypeError:
        return _coded(failure)
    error.args = (failure.message,)
    if isinstance(error, RipresaError):
        RipresaError.__init__(error, failure.message, where=failure.path)
        error.code = failure.code
    if isinstance(error, StepError):
        error.retryable = failure.retryable
    error.__dict__["failure"] = failure
    error.add_note(f"in step {failure.path!r}, attempt {failure.attempt}")
    return error
