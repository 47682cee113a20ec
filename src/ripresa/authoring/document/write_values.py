"""What decides, and values to come, written as a document says them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from ...core.conditions import Condition
from ...errors import RipresaError
from ..encoding import encode
from ..expression import Compared, Constant, Decided, Field, Item, Made, Shared, Source, Tested
from ..expression import Expression as Wire
from ..expression import Written as Fixed
from ..fit import known
from ..step import step_name
from .cel import OPEN, Asked, Use, rewritten
from .source import is_list, is_object
from .wires import MAKE, TUPLE, About, Denied, Evaluated, Loose, Written, is_marked

Place = Callable[[Any], str]
"""The target of a function. Raises `RipresaError(not_exportable)`."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SIGNS: Final = {"&": "&&", "|": "||"}
_RESERVED: Final = frozenset(
    ("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
     "namespace", "null", "package", "return", "true", "var", "void", "while")
)  # fmt: skip


def refused(what: str, why: str) -> RipresaError:
    """The error that something cannot be said in a document."""
    return RipresaError(f"{what!r} can stand in no document: {why}", code="not_exportable", op="export", where=what)


# --- what decides


def asked(predicate: Any, where: str, place: Place) -> Any:
    """A predicate."""
    if isinstance(predicate, Asked):
        return f"${{{{ {predicate.expression.text} }}}}"
    if isinstance(predicate, Condition):
        return condition_data(predicate, where)
    return {"function": place(predicate)}


def condition_data(condition: Condition, where: str) -> Any:
    """A condition that is data."""
    if condition.op in ("always", "never"):
        return condition.op == "always"
    _check_custom(condition, where)
    return condition.plain()


def _check_custom(condition: Condition, where: str) -> None:
    if condition.op == "custom":
        raise refused(where, f"the condition {condition} is a function under a name of its own")
    for part in condition.parts:
        _check_custom(part, where)


def selecting(predicate: Any, place: Place) -> Any:
    """What gives names."""
    return asked(predicate, step_name(predicate), place)


# --- values to come


def data_of(wire: Wire, place: Place) -> Any:
    """A value to come, or one that is there, as data."""
    if isinstance(wire, Constant):
        return _plain(wire.constant)
    if isinstance(wire, Fixed):
        return _escaped(json.loads(wire.text))
    if isinstance(wire, Written):
        return "".join(_escaped(part) if isinstance(part, str) else _expression(part) for part in wire.parts)
    if isinstance(wire, Made):
        return _made(wire, place)
    return _expression(wire)


def _expression(wire: Wire) -> str:
    return f"${{{{ {cel_of(wire)} }}}}"


def _plain(value: Any) -> Any:
    try:
        return _escaped(json.loads(encode(value)))
    except RipresaError as error:
        raise refused(repr(value), error.message) from error


def _escaped(data: Any) -> Any:
    """Data in which no text is taken for an expression."""
    if isinstance(data, str):
        return data.replace(OPEN, "$" + OPEN)
    if is_object(data):
        mark = "$" if is_marked(data) else ""
        return {mark + key: _escaped(value) for key, value in data.items()}
    if is_list(data):
        return [_escaped(value) for value in data]
    return data


def _made(wire: Made, place: Place) -> Any:
    make: Any = wire.make
    parts = [data_of(part, place) for part in wire.parts]
    if make is list:
        return parts
    if make is tuple:
        return {TUPLE: parts}
    names = make.args[-1]
    said = dict(zip(names, parts, strict=True))
    if len(make.args) > 1:
        return {MAKE: {"type": place(make.args[0]), "of": said}}
    if not all(isinstance(name, str) for name in names):
        raise refused(str(wire), "its keys are no texts")
    mark = "$" if is_marked(said) else ""
    return {mark + key: part for key, part in said.items()}


def cel_of(wire: Any) -> str:
    """A value to come as an expression."""
    match wire:
        case Source():
            return "input" if wire.index < 0 else f"{_step(wire.name)}.output"
        case Shared():
            return f"state.{wire.name}"
        case Field():
            return f"{cel_of(wire.of)}.{_name(wire.name)}"
        case Item(of=of, key=key) | Loose(of=of, key=key):
            return f"{cel_of(of)}{_key(key, wire)}"
        case Compared():
            return _compared(wire)
        case Constant():
            return _literal(wire.constant)
        case Evaluated():
            return _rewritten(wire)
        case _:
            raise refused(str(wire), "it is asked in Python in the middle of an expression")


def _compared(wire: Compared) -> str:
    kinds = (wire.left.kind, wire.right.kind)
    if wire.sign in _SIGNS and kinds != (bool, bool):
        raise refused(str(wire), f"{wire.sign} of values that are not true or false")
    left, right = (
        f"({cel_of(side)})" if isinstance(side, Compared) else cel_of(side) for side in (wire.left, wire.right)
    )
    return f"{left} {_SIGNS.get(wire.sign, wire.sign)} {right}"


def _literal(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return json.dumps(value)
    raise refused(repr(value), "it is compared with a value to come")


def _name(name: str) -> str:
    if _NAME.fullmatch(name) is None or name in _RESERVED:
        raise refused(name, "it is no name for expressions")
    return name


def _step(name: str) -> str:
    return f"steps.{name}" if _NAME.fullmatch(name) and name not in _RESERVED else f"steps[{json.dumps(name)}]"


def _key(key: Any, wire: Any) -> str:
    if not known(wire.of.kind) and isinstance(key, str) and _NAME.fullmatch(key) and key not in _RESERVED:
        return f".{key}"
    if (isinstance(key, str) and "\\" not in json.dumps(key)) or (type(key) is int and key >= 0):
        return f"[{json.dumps(key)}]"
    raise refused(str(wire), "its key is neither a text nor a number from 0")


def _rewritten(wire: Evaluated) -> str:
    parts = {(use.root, use.name): part for use, part in zip(wire.expression.uses, wire.parts, strict=True)}

    def written(use: Use) -> str:
        return cel_of(parts[use.root, use.name])

    return rewritten(wire.expression.text, written)


# --- conditions of nodes


def node_condition(wire: Any, place: Place) -> Any:
    """Whether a node of a graph runs."""
    match wire:
        case Decided():
            return condition_data(wire.condition, str(wire))
        case About():
            return {"test": condition_data(wire.condition, str(wire)), "of": data_of(wire.of, place)}
        case Denied():
            return {"not": node_condition(wire.of, place)}
        case Tested():
            return {"test": _tested(wire.predicate, place), "of": data_of(wire.of, place)}
        case Constant(constant=bool() as constant):
            return constant
        case _:
            return _expression(wire)


def _tested(predicate: Any, place: Place) -> Any:
    found = asked(predicate, step_name(predicate), place)
    return found["function"] if isinstance(found, dict) and "function" in found else found  # pyright: ignore[reportUnknownVariableType]
