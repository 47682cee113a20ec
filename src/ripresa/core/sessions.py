"""The life of a session as a table, and how the values that it holds change.

Law: pure. A change that several runs make at the same time (`add`, `append`, `merge`) is an operation, applied by the
store in the transaction that makes it durable, so that none is lost.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, Final

from ..errors import InvalidValue, SessionError

TRANSITIONS: Final[dict[str, tuple[str, ...]]] = {
    "active": ("suspended", "completed"),
    "suspended": ("active", "completed"),
    "completed": ("archived",),
    "archived": (),
}

OPERATIONS: Final = ("set", "delete", "add", "append", "merge")
"""`set` and `delete` a value; `add` to a number, `append` to a list, `merge` into an object."""

LARGEST: Final = 65_536
"""Bytes of the largest value that a session holds."""


def check_session(id: str, status: str, to: str, op: str) -> None:
    """Raise `SessionError(illegal_transition)` unless a session of this status may go to that one."""
    if to not in TRANSITIONS[status]:
        allowed = ", ".join(TRANSITIONS[status]) or "nothing: that is its end"
        raise SessionError(
            f"session {id!r} is {status} and cannot become {to}",
            session=id,
            code="illegal_transition",
            op=op,
            hint=f"from {status} it can become {allowed}",
        )


def apply(op: str, value: bytes | None, operand: bytes) -> bytes | None:
    """A value (JSON text; None: not there) after an operation, which always succeeds.

    A value of a kind that the operation does not fit counts as not there (see `check_fit`, which is asked before).
    """
    match op:
        case "set":
            return operand
        case "delete":
            return None
        case "add":
            return _dump(_as(value, (int, float), 0) + json.loads(operand))
        case "append":
            return _dump([*_as(value, list, []), json.loads(operand)])
        case _:
            return _dump({**_as(value, dict, {}), **json.loads(operand)})


def amount_of(amount: object) -> int | float:
    """A number that is added. Raises `InvalidValue`."""
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise InvalidValue(f"add takes a number, not {amount!r}", op="add", where="session")
    return amount


def check_change(name: str, op: str, value: bytes | None, operand: bytes) -> None:
    """Raise `InvalidValue` if a value cannot have this name, or an operation does not fit it (see `check_fit`)."""
    if not name or not name.isprintable() or len(name) > 200:
        raise InvalidValue(f"the name {name!r} is no printable text of 1 to 200 characters", op=op, where="session")
    check_fit(name, op, value, operand)


def check_fit(name: str, op: str, value: bytes | None, operand: bytes) -> None:
    """Raise `InvalidValue` if an operation does not fit the value that is there, or makes it too large."""
    kinds: Any = {"add": (int, float), "append": list, "merge": dict}.get(op)
    if kinds is not None and value is not None and not _is(json.loads(value), kinds):
        shown = value[:60].decode(errors="replace")
        raise InvalidValue(f"{op} does not fit the value {name!r}, which is {shown}", op=op, where="session")
    size = len(apply(op, value, operand) or b"")
    if size > LARGEST:
        raise InvalidValue(
            f"the value {name!r} would have {size} bytes, a session holds values of up to {LARGEST}",
            op=op,
            where="session",
            hint="save it as an artifact",
        )


def _is(found: Any, kinds: Any) -> bool:
    return isinstance(found, kinds) and not isinstance(found, bool)


def _as(value: bytes | None, kinds: Any, empty: Any) -> Any:
    found = empty if value is None else json.loads(value)
    return found if _is(found, kinds) else empty


def _dump(found: Any) -> bytes:
    return json.dumps(found, separators=(",", ":")).encode()


class Changing(ABC):
    """The ways to change a value of a session, as steps have them wherever they run."""

    def set(self, name: str, value: object, /) -> None:
        """See `SessionData.set`."""
        self._change(name, "set", value)

    def delete(self, name: str, /) -> None:
        """See `SessionData.delete`."""
        self._change(name, "delete", None)

    def add(self, name: str, amount: float, /) -> None:
        """See `SessionData.add`."""
        self._change(name, "add", amount_of(amount))

    def append(self, name: str, item: object, /) -> None:
        """See `SessionData.append`."""
        self._change(name, "append", item)

    def merge(self, name: str, /, **fields: object) -> None:
        """See `SessionData.merge`."""
        self._change(name, "merge", fields)

    @abstractmethod
    def _change(self, name: str, op: str, operand: object) -> None:
        """Make one change; `op`: see `apply`."""
