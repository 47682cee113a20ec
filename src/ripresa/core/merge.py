"""Reducers on encoded values: how a write changes a field of a run's state.

Law: pure, and the cost of a write does not depend on what the field holds: writes that cannot be combined without
looking into a large value are held one behind the other, and put together by whoever reads the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from .values import NULL, Value, is_inline, text_of

SET: Final = "set"
CUSTOM: Final = "custom"
"""A reducer of the user's: the value of a write is what came out in its own branch."""

LONGEST: Final = 256
"""So many writes of small values are held one behind the other before they are put together."""

Load = Callable[[Value], bytes]
"""Gives the JSON text of a value, large ones looked up."""


class Held(NamedTuple):
    """What a field holds: a write after those before it. Never changed, so that branches share what they began with."""

    before: Held | None
    op: str
    value: Value
    length: int


def put(held: Held | None, op: str, value: Value) -> Held:
    """The field after one more write."""
    if op in _WHOLE:
        return Held(None, SET, value, 1)
    if held is None:
        return Held(None, op, value, 1)
    if op in _SMALL and held.before is None and is_inline(held.value) and is_inline(value):
        start = text_of(held.value) if held.op == SET else _REDUCERS[op](NULL, [text_of(held.value)])
        return Held(None, SET, _REDUCERS[op](start, [text_of(value)]), 1)
    longer = Held(held, op, value, held.length + 1)
    if op in _COMBINED and longer.length > LONGEST and all(is_inline(write.value) for write in unwound(longer)):
        return Held(None, SET, read(longer, text_of), 1)
    return longer


def unwound(held: Held | None) -> Iterator[Held]:
    """The writes that a field holds, the last one first."""
    while held is not None:
        yield held
        held = held.before


def writes_of(held: Held) -> list[tuple[str, Value]]:
    """The same in order, as operation and value."""
    return [(write.op, write.value) for write in unwound(held)][::-1]


def held_of(writes: list[tuple[str, Value]]) -> Held | None:
    """The field that holds exactly these writes."""
    held: Held | None = None
    for length, (op, value) in enumerate(writes, 1):
        held = Held(held, op, value, length)
    return held


def read(held: Held, load: Load) -> bytes:
    """The field's value as JSON text."""
    text = NULL
    for op, writes in groupby(writes_of(held), key=_op):
        operands = [load(value) for _, value in writes]
        text = operands[-1] if op == SET else _REDUCERS[op](text, operands)
    return text


def whole(fields: Mapping[str, Held], load: Load) -> bytes:
    """All fields as the JSON text of one object."""
    return b"{" + b",".join(_write(name) + b":" + read(held, load) for name, held in fields.items()) + b"}"


def _op(write: tuple[str, Value]) -> str:
    return write[0]


# --- what the reducers do; JSON text here is compact, without white space around it


def _append(text: bytes, operands: list[bytes]) -> bytes:
    inner = [] if text in (NULL, b"[]") else [text[1:-1]]
    return b"[" + b",".join((*inner, *operands)) + b"]"


def _extend(text: bytes, operands: list[bytes]) -> bytes:
    return b"[" + b",".join(items[1:-1] for items in (text, *operands) if items not in (NULL, b"[]")) + b"]"


def _add(text: bytes, operands: list[bytes]) -> bytes:
    return _write(sum(map(from_json, operands), from_json(text) or 0))


def _union(text: bytes, operands: list[bytes]) -> bytes:
    found: dict[bytes, Any] = {}
    for items in (text, *operands):
        for item in from_json(items) or ():
            found.setdefault(_write(item), item)
    return b"[" + b",".join(found) + b"]"


def _merge(text: bytes, operands: list[bytes]) -> bytes:
    found: dict[str, Any] = {}
    for items in (text, *operands):
        found.update(from_json(items) or {})
    return _write(found)


def _least(text: bytes, operands: list[bytes]) -> bytes:
    return min((item for item in (text, *operands) if item != NULL), key=from_json, default=NULL)


def _greatest(text: bytes, operands: list[bytes]) -> bytes:
    return max((item for item in (text, *operands) if item != NULL), key=from_json, default=NULL)


def _write(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="constants")


_REDUCERS: Final[dict[str, Callable[[bytes, list[bytes]], bytes]]] = {
    "append": _append,
    "extend": _extend,
    "add": _add,
    "union": _union,
    "merge": _merge,
    "min": _least,
    "max": _greatest,
}
REDUCERS: Final = tuple(_REDUCERS)
"""The names of the built-in reducers."""

_WHOLE: Final = (SET, CUSTOM)
_SMALL: Final = ("add", "min", "max")
_COMBINED: Final = ("union", "merge")
