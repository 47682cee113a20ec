"""A call that does not fit a function's signature is a coded error that says what the function takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Signature, signature
from typing import Any, ParamSpec, TypeVar, cast

from ..errors import BadCall

P = ParamSpec("P")
R = TypeVar("R")
K = TypeVar("K", bound=type[Any])


def told(fn: Callable[P, R]) -> Callable[P, R]:
    """The same function; called with arguments that it does not take it raises `BadCall`, a `TypeError` with a code."""

    @wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fn(*args, **kwargs)
        except TypeError as error:
            trace = error.__traceback__
            if trace is not None and trace.tb_next is not None:  # it was raised inside
                raise
            why = str(error)
        raise _bad_call(fn, why)

    return call


def told_of(kind: K) -> K:
    """The same class; making one of arguments that it does not take raises `BadCall`."""
    made: Any = kind
    made.__init__ = told(made.__init__)
    return kind


def _bad_call(fn: Callable[..., Any], why: str) -> BadCall:
    name = cast("str", getattr(fn, "__qualname__", "")).removesuffix(".__init__")
    takes = [
        parameter.replace(annotation=parameter.empty)
        for parameter in signature(fn).parameters.values()
        if parameter.name != "self"
    ]
    shown = str(signature(fn).replace(parameters=takes, return_annotation=Signature.empty))
    return BadCall(why.replace(".__init__()", "()"), op=name, hint=f"it takes {name}{shown}")
