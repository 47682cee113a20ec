"""Stand-ins for values to come: statically of the value's own type, in truth an expression that a graph records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from typing import Any, NoReturn, cast

from ..errors import RipresaError
from ..users_code import users_line
from .expression import Compared, Constant, Expression, Field, Item, Made, Shared
from .fit import class_of, dict_of, list_of, named, tuple_of, union
from .options import refuse
from .reducers import Target


def _refuse(what: str) -> Callable[..., NoReturn]:
    def refuse(self: Proxy, *_: object) -> NoReturn:
        raise RipresaError(
            f"{what} needs a value, but {self!r} exists only in a run",
            code="usage",
            where=users_line(),
            hint="use when= or unless=, branch(), map(), or do it in a step",
        )

    return refuse


class Proxy:
    """Stands for a value to come. Fields, items and comparisons give others; what needs the value itself raises."""

    __slots__ = ("_ripresa_expression",)

    _ripresa_expression: Expression

    def __init__(self, expression: Expression) -> None:
        object.__setattr__(self, "_ripresa_expression", expression)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Proxy(Field(self._ripresa_expression, name))

    def __getitem__(self, key: object) -> Any:
        return Proxy(Item(self._ripresa_expression, key))

    def _ripresa_target(self) -> object:
        """What a reducer writes to, if this is a field of a graph's state."""
        expression = self._ripresa_expression
        if not isinstance(expression, Shared):
            return self
        graph: Any = expression.graph
        target: Target[Any] = Target(partial(graph.contribute, expression.name))
        return target

    def __repr__(self) -> str:
        return f"<value to come: {self._ripresa_expression}>"

    def __eq__(self, other: object) -> Any:
        return self._compared("==", other)

    def __ne__(self, other: object) -> Any:
        return self._compared("!=", other)

    def __lt__(self, other: object) -> Any:
        return self._compared("<", other)

    def __le__(self, other: object) -> Any:
        return self._compared("<=", other)

    def __gt__(self, other: object) -> Any:
        return self._compared(">", other)

    def __ge__(self, other: object) -> Any:
        return self._compared(">=", other)

    def __and__(self, other: object) -> Any:
        return self._compared("&", other)

    def __or__(self, other: object) -> Any:
        return self._compared("|", other)

    def __rand__(self, other: object) -> Any:
        return Proxy(Compared("&", lift(other), self._ripresa_expression))

    def __ror__(self, other: object) -> Any:
        return Proxy(Compared("|", lift(other), self._ripresa_expression))

    def _compared(self, sign: str, other: object) -> Proxy:
        return Proxy(Compared(sign, self._ripresa_expression, lift(other)))

    __hash__ = cast("Any", _refuse("a set or a dictionary key"))
    __bool__ = _refuse("`if`, `not`, `and` or `or`")
    __len__ = _refuse("len()")
    __iter__ = _refuse("going over it")
    __contains__ = _refuse("`in`")
    __str__ = cast("Any", _refuse("text"))
    __format__ = cast("Any", _refuse("text"))
    __int__ = __float__ = __index__ = _refuse("a number")
    __await__ = _refuse("await")
    __call__ = _refuse("calling it")
    __enter__ = __aenter__ = _refuse("with")
    __setattr__ = cast("Any", _refuse("setting a field"))
    __setitem__ = _refuse("setting an item")
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse("arithmetic")
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __abs__ = _refuse("arithmetic")
    __invert__ = _refuse("`~`")


class StateProxy:
    """Stands for the typed state of a graph: its fields are values to come, and assigning one is a write."""

    __slots__ = ("_ripresa_graph",)

    def __init__(self, graph: Any) -> None:
        object.__setattr__(self, "_ripresa_graph", graph)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Proxy(self._ripresa_graph.shared(name))

    def __setattr__(self, name: str, value: object) -> None:
        self._ripresa_graph.assign(name, value)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __setitem__(self, name: str, value: object) -> None:
        setattr(self, name, value)

    def __repr__(self) -> str:
        return f"<state of {self._ripresa_graph.name}>"


def lift(value: Any) -> Expression:
    """The expression that a value is, also where values to come stand inside lists, dicts and dataclasses."""
    if isinstance(value, Proxy):
        return value._ripresa_expression  # pyright: ignore[reportPrivateUsage] - fields of proxies are expressions
    if not _is_made(value):
        return Constant(value)
    return _made(value)


def object_of(kind: Any, parts: Mapping[str, Any]) -> Any:
    """An object of a dataclass with values to come as its fields. Raises `InvalidConfig` for what it has not."""
    known = [each for each in fields(kind) if each.init] if is_dataclass(kind) else []
    names = [each.name for each in known]
    needed = [each.name for each in known if each.default is MISSING and each.default_factory is MISSING]
    lacks = [name for name in needed if name not in parts]
    unknown = [name for name in parts if name not in names]
    refuse(
        "document",
        None if known else f"{kind!r} is no dataclass with fields",
        f"{named(kind)} has no {', '.join(unknown)}, but {', '.join(names)}" if known and unknown else None,
        f"{named(kind)} lacks {', '.join(lacks)}" if lacks else None,
    )
    return Proxy(Made(partial(_object_of, kind, tuple(parts)), tuple(map(lift, parts.values())), kind))


def _is_made(value: Any) -> bool:
    """Whether there is a value to come inside."""
    return isinstance(value, Proxy) or any(map(_is_made, _parts(value)))


def _parts(value: Any) -> tuple[Any, ...]:
    """What a container or dataclass is made of."""
    kind = class_of(value)
    if kind is dict:
        return tuple(value.values())
    if kind in (list, tuple):
        return tuple(value)
    if is_dataclass(kind):
        return tuple(getattr(value, name) for name in _names(value))
    return ()


def _names(value: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(value) if field.init)


def _made(value: Any) -> Made:
    kind = class_of(value)
    parts = tuple(map(lift, _parts(value)))
    kinds = tuple(part.kind for part in parts)
    if kind is dict:
        return Made(partial(_dict_of, tuple(value)), parts, dict_of(union(kinds)))
    if kind is list:
        return Made(list, parts, list_of(union(kinds)))
    if kind is tuple:
        return Made(tuple, parts, tuple_of(kinds))
    return Made(partial(_object_of, kind, _names(value)), parts, kind)


def _dict_of(keys: tuple[Any, ...], parts: list[Any]) -> dict[Any, Any]:
    return dict(zip(keys, parts, strict=True))


def _object_of(kind: Any, names: tuple[str, ...], parts: list[Any]) -> Any:
    return kind(**dict(zip(names, parts, strict=True)))
