"""What a function takes and returns, read from its signature once, and how its arguments are written as one value."""

from __future__ import annotations

import collections.abc as abc
import inspect
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NotRequired, get_args, get_origin, get_type_hints

from ..core.items import Items
from ..core.values import Value
from ..errors import InvalidValue
from .annotations import Unresolved, resolved_one_by_one
from .encoding import Reader, encode

_EMPTY = inspect.Parameter.empty
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_LISTS = (Items, abc.Iterable, abc.Collection, abc.Reversible)
_AWAITED = (abc.Awaitable, abc.Coroutine)


def _same(value: Any) -> Any:
    """The signature of a builtin that does not tell its own."""


class Parameters:
    """The parameters of a function, without the first `skip`.

    Arguments become one value: that of the only parameter, or an object of named arguments; for a function without
    parameters an empty object.
    """

    def __init__(self, fn: Callable[..., Any], *, skip: int = 0) -> None:
        self.fn = fn
        self.skip = skip

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature without the skipped parameters and without annotations resolved."""
        try:
            whole = inspect.signature(self.fn)
        except (TypeError, ValueError):  # a builtin that does not tell
            whole = inspect.signature(_same)
        return whole.replace(parameters=list(whole.parameters.values())[self.skip :])

    @property
    def hints(self) -> dict[str, Any]:
        """The annotations, resolved as far as they can be."""
        return self._resolved[0]

    @property
    def unresolved(self) -> tuple[Unresolved, ...]:
        """The annotations that cannot be resolved: anything is let through there."""
        return self._resolved[1]

    @cached_property
    def _resolved(self) -> tuple[dict[str, Any], tuple[Unresolved, ...]]:
        fn: Any = self.fn
        while isinstance(fn, partial):
            fn = fn.func
        target = fn if inspect.isroutine(fn) or inspect.isclass(fn) else type(fn).__call__
        if inspect.isclass(fn):
            target = fn.__init__
        others: tuple[Unresolved, ...] = ()
        try:
            hints = get_type_hints(target, include_extras=True)
        except (NameError, TypeError, AttributeError):
            hints, others = resolved_one_by_one(target)
        return (hints | {"return": fn} if inspect.isclass(fn) else hints), others

    @property
    def names(self) -> list[str]:
        """The parameters' names in order."""
        return list(self.signature.parameters)

    @cached_property
    def only(self) -> str | None:
        """The name of the parameter if there is just one and it takes one value, else None."""
        parameters = list(self.signature.parameters.values())
        if len(parameters) != 1 or parameters[0].kind in _VARIABLE:
            return None
        return parameters[0].name

    @property
    def single(self) -> str | None:
        """The name of the parameter that stands for the whole input; that of the only one, if there is just one."""
        return self.only

    def type_of(self, name: str) -> Any:
        """The annotation of a parameter, `Any` without one; a list or dict of it for `*args` and `**kwargs`."""
        kind = decodable(self.hints.get(name, Any))
        match self.signature.parameters[name].kind:
            case inspect.Parameter.VAR_POSITIONAL:
                return list[kind]  # type: ignore[valid-type]
            case inspect.Parameter.VAR_KEYWORD:
                return dict[str, kind]  # type: ignore[valid-type]
            case _:
                return kind

    @cached_property
    def positional(self) -> list[str]:
        """The names of those that can be given by position."""
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return [name for name, parameter in self.signature.parameters.items() if parameter.kind in kinds]

    @cached_property
    def takes_more(self) -> bool:
        """Whether any number can be given by position."""
        return any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in self.signature.parameters.values())

    @cached_property
    def required(self) -> list[str]:
        """The names of those that have no default."""
        parameters = self.signature.parameters.items()
        return [name for name, p in parameters if p.default is _EMPTY and p.kind not in _VARIABLE]

    @cached_property
    def returns(self) -> Any:
        """The annotation of the result, `Any` without one."""
        kind = self.hints.get("return", Any)
        while get_origin(kind) in _AWAITED:  # a plain function that gives a coroutine
            kind = get_args(kind)[-1]
        return decodable(type(None) if kind is None else kind)

    def refuses(self, count: int) -> str | None:
        """Why the function cannot be called with this many positional arguments, or None."""
        missing = [name for name in self.required if name not in self.positional[:count]]
        if missing or (count > len(self.positional) and not self.takes_more):
            taken = f"({', '.join(self.names)})"
            return f"takes {taken}, is given {count} value{'' if count == 1 else 's'} by position"
        return None

    def kind_at(self, index: int) -> Any:
        """The annotation of the argument at a position that the function takes."""
        if index < len(self.positional):
            return self.hints.get(self.positional[index], Any)
        rest = next(name for name, p in self.signature.parameters.items() if p.kind is inspect.Parameter.VAR_POSITIONAL)
        return self.hints.get(rest, Any)

    def name_at(self, index: int) -> str:
        """The name of the parameter that takes the argument at a position."""
        return self.positional[index] if index < len(self.positional) else f"argument {index + 1}"

    def kind_of(self, keyword: str) -> Any:
        """The annotation of the argument given by a keyword that the function takes."""
        if keyword in self.names:
            return self.hints.get(keyword, Any)
        rest = next(name for name, p in self.signature.parameters.items() if p.kind is inspect.Parameter.VAR_KEYWORD)
        return self.hints.get(rest, Any)

    @cached_property
    def input_type(self) -> Any:
        """The type of the one value that the arguments become."""
        if self.only is not None:
            return self.type_of(self.only)
        return self.fields

    @cached_property
    def fields(self) -> Any:
        """The type of the object of named arguments, also of a function with one parameter."""
        from typing_extensions import TypedDict

        kinds = {name: self.type_of(name) for name in self.names}
        fields = {name: kind if name in self.required else NotRequired[kind] for name, kind in kinds.items()}
        return TypedDict("Arguments", fields)  # type: ignore[operator]

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, where: str = "") -> bytes:
        """Validate arguments and write them as one value. Raises `InvalidValue(invalid_input)`."""
        if len(args) == 1 and not kwargs and self._takes_one:
            return encode(args[0], self.input_type, where=where, code="invalid_input")
        try:
            bound = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidValue(
                str(error),
                code="invalid_input",
                where=where,
                hint=f"it is {getattr(self.fn, '__name__', '')}{self.signature}",
            ) from None
        if self.only is not None:
            value = bound.get(self.only, self.signature.parameters[self.only].default)
            return encode(value, self.input_type, where=where, code="invalid_input")
        return encode(dict(bound), self.fields, where=where, code="invalid_input")

    @cached_property
    def _takes_one(self) -> bool:
        return self.only is not None and self.only in self.positional

    def decode(self, value: Value, reader: Reader) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that a value stands for, as positional and keyword arguments."""
        if self.only is not None:
            argument = reader.read(value, self.input_type)
            return ((argument,), {}) if self._takes_one else ((), {self.only: argument})
        found: dict[str, Any] = reader.read(value, self.fields)
        bound = inspect.BoundArguments(self.signature, {})
        bound.arguments = {name: found[name] for name in self.names if name in found}
        return bound.args, bound.kwargs


def decodable(kind: Any) -> Any:
    """What values are decoded to where only an interface is asked for: a list where items are."""
    if get_origin(kind) in _LISTS:
        return list[get_args(kind)[0]]  # type: ignore[misc]
    return kind
