"""What decides, and values to come, written as a document says them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, get_origin

from ...core.conditions import Condition
from ...core.durations import MICROSECONDS, microseconds
from ...errors import RipresaError
from ..encoding import encode
from ..expression import Compared, Constant, Decided, Field, Item, Made, Shared, Source, Tested
from ..expression import Expression as Wire
from ..expression import Written as Fixed
from ..fit import known, members
from .cel import OPEN, Asked, Use, rewritten
from .graphs import looks_at_value
from .source import is_list, is_object
from .wires import ALL, ANY, ASK, MAKE, PAIRS, TUPLE, About, Denied, Evaluated, Loose, Written, is_marked

Place = Callable[[Any], str]
"""The target of a function. Raises `RipresaError(not_exportable)`."""

_NUMBER: Final = 2**63
"""Beyond this a whole number is none for expressions."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SIGNS: Final = {"&": "&&", "|": "||"}
_JOINED: Final = {"&": ALL, "|": ANY}
_RESERVED: Final = frozenset(
    ("as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
     "namespace", "null", "package", "return", "true", "var", "void", "while")
)  # fmt: skip


def refused(what: str, why: str) -> RipresaError:
    """The error that something cannot be said in a document."""
    return RipresaError(f"{what!r} can stand in no document: {why}", code="not_exportable", op="export", where=what)


def length_of(value: int) -> Any:
    """A length in microseconds as documents write it: seconds, such that it reads back as the same."""
    seconds = value / MICROSECONDS
    if microseconds(seconds) != value:  # rounded up past it
        seconds = (value - 0.5) / MICROSECONDS
    return int(seconds) if seconds == int(seconds) else seconds


# --- what decides


def asked(predicate: Any, place: Place) -> Any:
    """A predicate."""
    if isinstance(predicate, Asked):
        return f"${{{{ {predicate.expression.text} }}}}"
    if isinstance(predicate, Condition):
        return condition_data(predicate, place)
    return {"function": place(predicate)}


def condition_data(condition: Condition, place: Place) -> Any:
    """A condition that is data."""
    return condition.op == "always" if condition.op in ("always", "never") else _condition(condition, place)


def _condition(condition: Condition, place: Place) -> dict[str, Any]:
    if condition.parts:
        return {"op": condition.op, "of": [_condition(part, place) for part in condition.parts]}
    said = condition.plain()
    return {**said, "function": place(condition.custom_fn)} if condition.op == "custom" else said


def selecting(predicate: Any, place: Place) -> Any:
    """What gives names."""
    return asked(predicate, place)


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
    return {ASK: node_condition(wire, place)} if _asks(wire) else _expression(wire)


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
        if not all(isinstance(name, str | int | float | None) for name in names):
            raise refused(str(wire), "its keys are no texts or numbers")
        return {PAIRS: [[_escaped(name), part] for name, part in said.items()]}
    mark = "$" if is_marked(said) else ""
    return {mark + key: part for key, part in said.items()}


def cel_of(wire: Any) -> str:
    """A value to come as an expression."""
    match wire:
        case Source():
            return "input" if wire.index < 0 else f"{_step(wire.name)}.output"
        case Shared():
            return f"state{_member(wire.name)}"
        case Field():
            return f"{cel_of(wire.of)}{_member(wire.name)}"
        case Item(of=of, key=key) | Loose(of=of, key=key):
            return f"{cel_of(of)}{_key(key, wire)}"
        case Compared():
            return _compared(wire)
        case Constant():
            return _literal(wire.constant, str(wire))
        case Evaluated():
            return _rewritten(wire)
        case _:
            raise refused(str(wire), "it is asked in Python in the middle of an expression")


def _compared(wire: Compared) -> str:
    kinds = (wire.left.kind, wire.right.kind)
    if wire.sign in _SIGNS and kinds != (bool, bool):
        why = f"{wire.sign} of values that are not true or false: ask a function at the top level of a module, by test"
        raise refused(str(wire), why)
    left, right = (
        f"({cel_of(side)})" if isinstance(side, Compared) else _operand(side, wire) for side in (wire.left, wire.right)
    )
    return f"{left} {_SIGNS.get(wire.sign, wire.sign)} {right}"


def _operand(side: Wire, wire: Compared) -> str:
    """One side of a comparison: whether an object is the same as another is asked of what both are as plain data."""
    if not isinstance(side, Constant) or isinstance(side.constant, bool | int | float | str | None):
        return cel_of(side)
    data = _plain(side.constant)
    if wire.sign not in ("==", "!=") or not (is_object(data) or is_list(data)):
        why = f"{wire.sign} with {side.constant!r}: ask a function at the top level of a module, by test"
        raise refused(str(wire), why)
    return json.dumps(data)


def _literal(value: Any, what: str) -> str:
    if isinstance(value, bool | str | None) or (isinstance(value, int | float) and abs(value) < _NUMBER):
        return json.dumps(value)
    raise refused(what, f"{value!r} is nothing for expressions")


def _member(name: str) -> str:
    """What leads to a member of this name."""
    if name.startswith("_"):
        raise refused(name, "names that begin with _ are nothing for documents")
    return f".{name}" if _NAME.fullmatch(name) and name not in _RESERVED else f"[{json.dumps(name)}]"


def _step(name: str) -> str:
    return f"steps{_member(name)}"


def _key(key: Any, wire: Any) -> str:
    if not known(wire.of.kind) and isinstance(key, str) and _NAME.fullmatch(key):
        return _member(key)
    if isinstance(key, str) and "\\" not in json.dumps(key) and not key.startswith("_"):
        return f"[{json.dumps(key)}]"
    if type(key) is int and key >= 0:
        return f"[{key}]"
    if type(key) is int and _is_listed(wire.of.kind):
        return f"[size({cel_of(wire.of)}) - {-key}]"
    raise refused(str(wire), "its key is neither a text nor a number: take it in a step of your own")


def _is_listed(kind: Any) -> bool:
    """Whether what is known of a type does not keep its values from being lists."""
    origins = [get_origin(member) or member for member in members(kind)] if known(kind) else [list]
    return all(origin in (list, tuple) for origin in origins)


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
            if looks_at_value(wire.condition):
                raise refused(str(wire), "it asks about a value, and there is none: ask about a result, by test")
            return condition_data(wire.condition, place)
        case About():
            return {"test": condition_data(wire.condition, place), "of": data_of(wire.of, place)}
        case Denied():
            return {"not": node_condition(wire.of, place)}
        case Tested():
            return {"test": _tested(wire.predicate, place), "of": data_of(wire.of, place)}
        case Constant(constant=bool() as constant):
            return constant
        case Compared() if wire.sign in _JOINED and _asks(wire):
            return {_JOINED[wire.sign]: [node_condition(side, place) for side in (wire.left, wire.right)]}
        case _:
            return _expression(wire)


def _asks(wire: Any) -> bool:
    """Whether something is asked in it that is no expression."""
    if isinstance(wire, Compared):
        return _asks(wire.left) or _asks(wire.right)
    return isinstance(wire, Decided | About | Denied | Tested)


def _tested(predicate: Any, place: Place) -> Any:
    found = asked(predicate, place)
    return found["function"] if isinstance(found, dict) and "function" in found else found  # pyright: ignore[reportUnknownVariableType]
