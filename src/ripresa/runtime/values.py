"""Reads the values of runs: looks large ones up, splits lists, decodes by type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic_core import from_json, to_json

from ..authoring.encoding import decode
from ..core.lazily import Late
from ..core.values import LARGE, Pick, Value, by_content, digest_of, is_inline, text_of
from ..errors import InvalidValue, RipresaError

if TYPE_CHECKING:
    from ..core.state import RunState


_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})
"""No large value."""


class Values:
    """The border's `Reader`. `load` gives the large value with a digest.

    Lists that were split are remembered while they are being worked through, so that a map over many items splits its
    list once.
    """

    REMEMBERED = 8
    __slots__ = ("_known", "_load")
    known = Late[dict[int, tuple[Value, list[Value]]]](dict)
    """The lists that have been split, by their identity."""

    def __init__(self, load: Callable[[str], bytes]) -> None:
        self._load = load

    def text(self, value: Value) -> bytes:
        """The whole value as JSON text."""
        if isinstance(value, bytes):
            digest = digest_of(value)
            return value if digest is None else self.large(digest)
        if isinstance(value, Pick):
            return self.text(self.items(value.source)[value.index])
        if is_inline(value):
            return text_of(value)
        return b"[" + b",".join(map(self.text, value)) + b"]"

    def large(self, digest: str) -> bytes:
        """The large value of this digest."""
        return self._load(digest)

    def read(self, value: Value, kind: Any) -> Any:
        """The value decoded by the annotation `kind`, a new object each time."""
        if isinstance(value, bytes) and value[:1] != b"@":
            return decode(value, kind)
        return decode(self.text(value), kind)

    def field(self, name: str) -> Any:
        """Raises `RipresaError(no_state)`: a run without a typed state has no fields."""
        raise RipresaError(f"nothing here has a state to read {name} of", code="no_state", op="state")

    def outcome(self, step: str) -> tuple[str, Value] | None:
        """See `Reader`: nothing is known here of how steps ended."""
        return None

    def items(self, value: Value) -> list[Value]:
        """The items of a list value, undecoded. Raises `InvalidValue` if it is no list."""
        if isinstance(value, tuple):
            return list(value)
        known = self.known
        found = known.get(id(value))
        if found is not None and found[0] is value:
            return found[1]
        items = split(self.text(value))
        while len(known) >= self.REMEMBERED:
            del known[next(iter(known))]
        known[id(value)] = (value, items)
        return items


def split(text: bytes) -> list[Value]:
    """The items of a JSON array as JSON texts."""
    whole = from_json(text)
    if not isinstance(whole, list):
        shown = text[:60].decode(errors="replace")
        hint = "map and fold go over the items of a list"
        raise InvalidValue(f"a list is needed here, not {shown}", op="items", hint=hint)
    items: list[Any] = whole  # pyright: ignore[reportUnknownVariableType]
    return [to_json(item, inf_nan_mode="constants") for item in items]


class Keeper:
    """Takes large values out of what a run records; they are stored by content, once."""

    __slots__ = ("blobs", "limit")

    def __init__(self, limit: int = LARGE) -> None:
        self.limit = limit
        self.blobs: Mapping[str, bytes] = _NOTHING

    def keep(self, text: bytes) -> bytes:
        """The value as it goes into an event: itself, or a reference if it is large."""
        if len(text) <= self.limit:
            return text
        reference, digest = by_content(text)
        self.add(digest, text)
        return reference

    def add(self, digest: str, text: bytes) -> None:
        """Let a large value become durable with what is appended next."""
        if not self.blobs:
            self.blobs = {digest: text}
        else:
            cast("dict[str, bytes]", self.blobs)[digest] = text

    def take(self) -> tuple[tuple[str, bytes], ...]:
        """What has been kept since the last time."""
        if not self.blobs:
            return ()
        taken = tuple(self.blobs.items())
        self.blobs = _NOTHING
        return taken


class RunValues(Values):
    """The values of one run: those that wait to be appended too, and how its steps ended."""

    __slots__ = ("_keeper", "_state")

    def __init__(self, load: Callable[[str], bytes], keeper: Keeper, state: RunState) -> None:
        super().__init__(load)
        self._keeper = keeper
        self._state = state

    def outcome(self, step: str) -> tuple[str, Value] | None:
        """See `Reader`."""
        return self._state.outcomes.get(step)

    def large(self, digest: str) -> bytes:
        """A large value: one that waits to be appended, or a stored one."""
        return self._keeper.blobs.get(digest) or self._load(digest)
