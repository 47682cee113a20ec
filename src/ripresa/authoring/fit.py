"""Whether a value of one type may be given where another is wanted: sound, and lenient where nothing is known.

What is not known (no annotation, `Any`, `object`, type variables) fits everywhere; a mismatch is reported only where
both sides say what they are. Type arguments are compared covariantly: every consumer gets a value of its own.
"""

from __future__ import annotations

import collections.abc as abc
from enum import Enum
from inspect import Parameter, isclass
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    ForwardRef,
    Literal,
    Never,
    NewType,
    NoReturn,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import typing_extensions as te

from ..core.items import Items

_WRAPPERS = {te.Annotated, te.Required, te.NotRequired, te.ReadOnly, te.Final, te.ClassVar}
_VARIABLES = (TypeVar, ParamSpec, te.TypeVar, te.ParamSpec, te.TypeVarTuple)
_CALLABLE: Any = abc.Callable
_WIDER: dict[Any, tuple[type, ...]] = {float: (int,), complex: (int, float)}


def bare(kind: Any) -> Any:
    """The annotation without what says nothing about the value: metadata, wrappers, aliases."""
    if type(kind) is type:
        return kind
    while True:
        origin = get_origin(kind)
        if origin in _WRAPPERS:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__value__"):  # type X = ...
            kind = kind.__value__
        elif kind is None:
            return NoneType
        else:
            return kind


def known(kind: Any) -> bool:
    """Whether an annotation says anything about the value."""
    if type(kind) is type:
        return kind is not object and kind is not Parameter.empty
    kind = bare(kind)
    if kind is Any or kind is object or kind is Parameter.empty or isinstance(kind, str | ForwardRef):
        return False
    return not isinstance(kind, _VARIABLES)


def specific(kind: Any) -> bool:
    """Whether an annotation says all about the value: it is known and has no type variables within."""
    if type(kind) is type:
        return known(kind)
    if _parameters(kind) is not None:  # of a Callable
        return True
    kind = bare(kind)
    return known(kind) and all(specific(arg) for arg in get_args(kind) if arg is not Ellipsis and _is_type(kind))


def _is_type(kind: Any) -> bool:
    return get_origin(kind) is not Literal


def members(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union, flat; a type that is none is its only one."""
    kind = bare(kind)
    if get_origin(kind) not in (Union, UnionType):
        return (kind,)
    return tuple(found for arg in get_args(kind) for found in members(arg))


class Skipped:
    """Metadata of a type: null stands for a value whose node was skipped. For neighbours the type is what it was."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {"type": "nullable", "schema": handler(source)}


SKIPPED: Final = Skipped()


def skippable(kind: Any) -> Any:
    """The type of a value that may have been skipped."""
    return te.Annotated[kind, SKIPPED] if known(kind) else kind


def union(kinds: abc.Iterable[Any]) -> Any:
    """The type of a value that is of one of these types; `Any` if one is not known or there is none."""
    found: list[Any] = []
    may_be_skipped = False
    for kind in kinds:
        if not known(kind):
            return Any
        may_be_skipped |= SKIPPED in getattr(kind, "__metadata__", ())
        found.extend(member for member in members(kind) if member not in found)
    whole: Any = Union[tuple(found)] if found else Any  # noqa: UP007
    return skippable(whole) if may_be_skipped else whole


def narrowest(kinds: abc.Sequence[Any]) -> Any:
    """The type whose values fit all of these; None if there is none, `Any` if nothing is known."""
    stated = [kind for kind in kinds if known(kind)]
    if not stated:
        return Any
    return next((kind for kind in stated if all(fits(kind, other) for other in stated)), None)


def fits(given: Any, wanted: Any) -> bool:
    """Whether a value of type `given` may stand where `wanted` is asked for."""
    if given is wanted:
        return True
    given, wanted = bare(given), bare(wanted)
    if not known(given) or not known(wanted) or given is wanted or given in (Never, NoReturn):
        return True
    if len(members(given)) > 1:
        return all(fits(member, wanted) for member in members(given))
    if len(members(wanted)) > 1:
        return any(fits(given, member) for member in members(wanted))
    if isinstance(wanted, NewType):
        return isinstance(given, NewType) and fits(given.__supertype__, wanted)
    if isinstance(given, NewType):
        return fits(given.__supertype__, wanted)
    if get_origin(given) is Literal or get_origin(wanted) is Literal:
        return _literal_fits(given, wanted)
    return _class_fits(given, wanted)


def _literal_fits(given: Any, wanted: Any) -> bool:
    allowed: list[tuple[type, Any]] = [(type(value), value) for value in get_args(wanted)]
    if get_origin(given) is Literal:
        values = get_args(given)
        if get_origin(wanted) is Literal:
            return all((type(value), value) in allowed for value in values)
        return all(fits(type(value), wanted) for value in values)
    if given is bool:
        return {value for kind, value in allowed if kind is bool} == {True, False}
    if isinstance(given, type) and issubclass(given, Enum):
        return all((given, member) in allowed for member in given)
    return given is NoneType and (NoneType, None) in allowed


def _class_fits(given: Any, wanted: Any) -> bool:
    have, want = get_origin(given) or given, get_origin(wanted) or wanted
    if want is _CALLABLE:
        return _callable_fits(given, wanted)
    if want is Items:
        return _is_ordered(have) and _argument_fits(given, wanted)
    if not isclass(have) or not isclass(want):
        return True
    if te.is_typeddict(want) or te.is_typeddict(have):
        return _dict_fits(have, want)
    if have in _WIDER.get(want, ()):
        return True
    try:
        related = issubclass(have, want)
    except TypeError:  # a protocol that cannot be asked
        return True
    return related and (want is not tuple or _tuple_fits(given, wanted)) and _argument_fits(given, wanted)


def _is_ordered(kind: Any) -> bool:
    if not isclass(kind):
        return True
    unordered = (str, bytes, bytearray, abc.Set, abc.Mapping, abc.Iterator, NoneType)
    return not issubclass(kind, unordered) and hasattr(kind, "__getitem__") and hasattr(kind, "__len__")


def _argument_fits(given: Any, wanted: Any) -> bool:
    """Whether the type arguments fit, as far as they are known."""
    want, wishes = get_origin(wanted) or wanted, get_args(wanted)
    if want is tuple or not wishes:
        return True
    seen = _seen_as(given, abc.Iterable if want is Items else want)
    if len(wishes) == 1:
        return fits(item_type(seen), wishes[0])
    have = get_args(seen)
    return len(have) != len(wishes) or all(map(fits, have, wishes))


def _seen_as(given: Any, want: type) -> Any:
    """The type with arguments by which a class is what is wanted: `list[int]` for `class Pages(list[int])`."""
    have = get_origin(given) or given
    if have is want or have.__module__ in ("builtins", "collections", "collections.abc"):
        return given
    for base in getattr(have, "__orig_bases__", ()):
        origin = get_origin(base)
        if isclass(origin) and issubclass(origin, want):
            return _seen_as(base, want)
    return want


def _tuple_fits(given: Any, wanted: Any) -> bool:
    have, want = get_args(given), get_args(wanted)
    if not have or not want:
        return True
    if want[-1] is Ellipsis:
        return fits(item_type(given), want[0])
    if have[-1] is Ellipsis:
        return False
    return len(have) == len(want) and all(map(fits, have, want))


def _callable_fits(given: Any, wanted: Any) -> bool:
    have, want = get_args(given), get_args(wanted)
    if get_origin(given) is not _CALLABLE:
        return not isclass(given) or any("__call__" in vars(base) for base in given.__mro__)
    if not have or not want:
        return True
    takes, gets = _parameters(have[0]), _parameters(want[0])
    if takes is not None and gets is not None and (len(takes) != len(gets) or not all(map(fits, gets, takes))):
        return False
    return fits(have[-1], want[-1])


def _parameters(kinds: Any) -> list[Any] | None:
    """The parameters of a Callable, None where they are not known (`...`)."""
    return [*kinds] if class_of(kinds) is list else None


def _dict_fits(have: type, want: type) -> bool:
    if not te.is_typeddict(want):
        return issubclass(dict, want)
    if not te.is_typeddict(have):
        return issubclass(have, dict)
    mine, theirs = hints_of(have), hints_of(want)
    required: frozenset[str] = getattr(want, "__required_keys__", frozenset())
    return required <= mine.keys() and all(fits(mine[name], theirs[name]) for name in mine.keys() & theirs.keys())


def hints_of(kind: Any) -> dict[str, Any]:
    """The annotated members of a class, resolved as far as they can be."""
    try:
        return get_type_hints(kind, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return dict(getattr(kind, "__annotations__", {}))


def is_list(kind: Any) -> bool:
    """Whether values of this type may be gone over item by item, in order: not text, not a set."""
    return all(not known(member) or _is_ordered(get_origin(member) or member) for member in members(kind))


def list_of(kind: Any) -> Any:
    """The type of a list of these."""
    return list[kind]


def class_of(value: object) -> Any:
    """The class of a value, as an annotation."""
    return type(value)


def tuple_of(kinds: tuple[Any, ...]) -> Any:
    """The type of a tuple of these, one by one."""
    return tuple[kinds]  # type: ignore[valid-type]


def dict_of(kind: Any) -> Any:
    """The type of a dict of these."""
    return dict[Any, kind]


def item_type(kind: Any) -> Any:
    """The type of the items of a list, of all of them together; `Any` where it is not known."""
    kinds = [_item_type(member) for member in members(kind)]
    return union(kinds)


def _item_type(kind: Any) -> Any:
    args = get_args(kind)
    if (get_origin(kind) or kind) is tuple:
        return union(arg for arg in args if arg is not Ellipsis)
    if args:
        return args[0]
    if kind is range:
        return int
    bases = getattr(kind, "__orig_bases__", ())
    return item_type(bases[0]) if bases and get_args(bases[0]) else Any


def named(kind: Any) -> str:
    """An annotation as people write it, without modules."""
    parameters = _parameters(kind)
    if parameters is not None:
        return f"[{', '.join(map(named, parameters))}]"
    if kind is Ellipsis:
        return "..."
    kind = bare(kind)
    if kind is NoneType:
        return "None"
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " | ".join(map(named, args))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    name = str(getattr(origin or kind, "__qualname__", None) or getattr(kind, "__name__", None) or kind)
    name = name.rpartition("<locals>.")[2]
    return f"{name}[{', '.join(map(named, args))}]" if args else name
